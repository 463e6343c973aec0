"""Levenberg-Marquardt on all instances in lockstep: each with its own damping, one batch evaluation for all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kerasjoint.checks import check_positive
from kerasjoint.counting import CountingObjective
from kerasjoint.methods.base import LocalMethod
from kerasjoint.methods.local_run import LocalRun
from kerasjoint.methods.lockstep import ActiveInstances, run_in_lockstep
from kerasjoint.methods.stopping import Stagnation, stalled_status
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Status

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

EPSILON, TINY = float(np.finfo(np.float64).eps), float(np.finfo(np.float64).tiny)
FIRST_DAMPING, MOST_DAMPING = 1e-3, 1 / EPSILON
# A step counts as a decrease if the loss falls by this share of what the model expects, as in MINPACK.
LEAST_RATIO = 1e-4
# Smaller than that of L-BFGS: along a valley, steps that hardly change the loss still move the unknowns.
LEAST_GAIN = 1e-14
# Up to so many unknowns, a time loop carries all tangents along, and a Jacobian costs about what a gradient costs.
FEW_UNKNOWNS = 8
# Beyond this, a Jacobian costs as many gradients as there are unknowns per gradient. Measured: 4.5 with the 20 of thin
# films, 6 with 64 of a heat equation, 7 with the 16 of layered ground and with the 40 of Lorenz-96, 23 with the 64 of a
# Kuramoto-Sivashinsky state.
UNKNOWNS_PER_GRADIENT = 4


class LockstepLM(LocalMethod):
    """Levenberg-Marquardt in which every instance has its own damping, and no instance waits for another.

    For problems whose misfit is a sum over the residuals. Each round evaluates loss, gradient and Gauss-Newton Hessian
    at one trial point of every instance that is not done, in one batch. With few unknowns that costs about what a
    gradient costs, and near a solution that fits, convergence is quadratic. A ``regularizer`` enters by its exact
    Hessian, a ``robust_loss`` by Triggs's correction, as in SciPy's ``least_squares``. Bounds are those of the
    unknowns, through the normalised coordinates.

    The damping is relative to the largest curvature seen along each coordinate (Moré), and changes with the ratio of
    actual to predicted decrease (Nielsen). What Gauss-Newton leaves out, the second derivatives of the residuals, is
    learned from how gradients change (NL2SOL: Dennis, Gay and Welsch, 1981), and added where it foretells decreases
    better: large residuals are no slow convergence. An instance ends where the decrease to be expected is below
    rounding, where no damping gives a decrease, and where it stagnates: gains below 1e-14 of the loss that do not grow.

    The Hessians are d x d: for up to some hundreds of unknowns.

    Parameters
    ----------
    max_iterations, tolerance
        As in ``LocalMethod``. A tolerance of 1e-15 goes on to what rounding allows, also from a bad start.
    first_step
        The most that the first trial step is long, in normalised coordinates. It sets the first damping.

    Example
    -------
    >>> LockstepLM().solve(problem_set)
    """

    name = "lockstep-lm"
    second_order = True

    def __init__(self, max_iterations: int = 200, tolerance: float = 1e-12, first_step: float = 1.0) -> None:
        super().__init__(max_iterations, tolerance)
        check_positive(first_step=first_step)
        self.first_step = first_step

    @staticmethod
    def applies_to(problem_set: ProblemSet) -> bool:
        """Return whether the misfit is a sum over residuals that TensorFlow differentiates; others are refused.

        Example
        -------
        >>> LockstepLM.applies_to(problem_set)
        True
        """
        return problem_set.evaluator.has_jacobian

    @classmethod
    def pays_near_a_solution(cls, problem_set: ProblemSet) -> bool:
        """Return whether it applies and its Jacobians cost about what gradients cost: for up to eight unknowns.

        Example
        -------
        >>> LockstepLM.pays_near_a_solution(problem_set)
        True
        """
        return problem_set.space.size <= FEW_UNKNOWNS and cls.applies_to(problem_set)

    @staticmethod
    def gradients_per_jacobian(unknowns: int) -> int:
        """Return what an evaluation costs with so many unknowns, in values with gradient, as far as known beforehand.

        Example
        -------
        >>> LockstepLM.gradients_per_jacobian(40)
        10
        """
        return max(-(-unknowns // UNKNOWNS_PER_GRADIENT), 1)

    def _advance(self, run: LocalRun) -> None:
        active = _Active(run, run.movable, self.first_step)
        run_in_lockstep(run, active, self.tolerance, self.max_iterations)


class _Active(ActiveInstances):
    """The instances that are not done: iterate, quadratic model and damping of each, in arrays with m on axis 0."""

    def __init__(self, run: LocalRun, rows: NDArray[np.intp], first_step: float) -> None:
        assert run.hessian is not None
        self.rows, self.z, self.loss, self.gradient = rows, run.z[rows], run.loss[rows], run.gradient[rows]
        m = len(rows)
        self.iterations = np.zeros(m, dtype=np.int64)
        self._largest_at_start = run.largest[rows]
        self._damping, self._growth = np.full(m, FIRST_DAMPING), np.full(m, 2.0)
        self._scale = np.zeros_like(self.z)
        self._curvatures, self._axes = np.zeros_like(self.z), np.zeros((m, *self.z.shape[1:] * 2))
        self._hessian = run.hessian[rows]
        # What the second derivatives of the residuals add to the Hessian, and where that is believed.
        self._rest, self._believed = np.zeros_like(self._hessian), np.zeros(m, dtype=bool)
        self._model(np.arange(m))
        self._stagnation = Stagnation(self.loss, LEAST_GAIN)
        while (long := np.linalg.norm(self._step()[0], axis=1) > first_step).any():
            self._damping[long] *= 2

    def advance(
        self, objective: CountingObjective, tolerance: float, max_iterations: int
    ) -> tuple[Mask, NDArray[np.int8]]:
        """Evaluate one trial of each; return where it was accepted, and how each instance ended if it did."""
        step, expected = self._step()
        trial = self.z + step
        loss, gradient, hessian = objective.normal_equations(trial, self.rows)
        moved = self.loss - loss > LEAST_RATIO * expected
        ratio = (self.loss - np.where(moved, loss, self.loss)) / np.maximum(expected, TINY)
        rows = np.flatnonzero(moved)
        self._learn_rest(rows, step[rows], loss[rows], gradient[rows], hessian[rows])
        self.z[moved], self.loss[moved], self.gradient[moved] = trial[moved], loss[moved], gradient[moved]
        self._hessian[moved] = hessian[moved]
        self.iterations[moved] += 1
        self._model(rows)
        self._damping *= np.where(moved, np.maximum(1 / 3, 1 - (2 * ratio - 1) ** 3), self._growth)
        self._growth = np.where(moved, 2.0, 2 * self._growth)

        largest = np.abs(self.gradient).max(axis=1) / self._largest_at_start
        invisible = self._step()[1] <= EPSILON * np.abs(self.loss)
        stalled = ~moved & (invisible | (self._damping > MOST_DAMPING))
        stalled |= self._stagnation.update(self.loss, moved)
        verdict = np.where(stalled, stalled_status(largest), Status.RUNNING)
        verdict[moved & invisible] = Status.PRECISION
        verdict[moved & (self.iterations >= max_iterations)] = Status.ITERATIONS
        verdict[moved & (largest <= tolerance)] = Status.CONVERGED
        return moved, verdict

    def _learn_rest(
        self, rows: NDArray[np.intp], step: FloatArray, loss: FloatArray, gradient: FloatArray, hessian: FloatArray
    ) -> None:
        """Let what is added to the Gauss-Newton Hessian explain how the gradient changed along an accepted step.

        By the sized update of NL2SOL. It is believed where the model with it foretold the decrease better.
        """
        before, rest, change = self.gradient[rows], self._rest[rows], gradient - self.gradient[rows]
        short = self.loss[rows] - loss + np.vecdot(before + 0.5 * np.matvec(self._hessian[rows], step), step)
        bend = np.vecdot(np.matvec(rest, step), step)
        self._believed[rows] = np.abs(short + 0.5 * bend) < np.abs(short)
        wanted, slope = change - np.matvec(hessian, step), np.vecdot(change, step)
        along = np.vecdot(wanted, step)
        too_large = np.abs(along) < np.abs(bend)
        rest = rest * np.divide(np.abs(along), np.abs(bend), out=np.ones_like(bend), where=too_large)[:, None, None]
        usable = slope > EPSILON * np.linalg.norm(change, axis=1) * np.linalg.norm(step, axis=1)
        towards = np.divide(change, slope[:, None], out=np.zeros_like(change), where=usable[:, None])
        wrong = wanted - np.matvec(rest, step)
        # With half of what lies along the step, both terms together are the update.
        wrong -= 0.5 * np.vecdot(wrong, step)[:, None] * towards
        outer = wrong[:, :, None] * towards[:, None, :]
        self._rest[rows] = rest + outer + outer.swapaxes(1, 2)

    def _model(self, rows: NDArray[np.intp]) -> None:
        """Take the Hessian in coordinates of unit curvature, by its principal axes; negative curvature counts as 0."""
        hessian = self._hessian[rows]
        diagonal = np.sqrt(np.maximum(np.diagonal(hessian, axis1=1, axis2=2), 0.0))
        scale = np.maximum(self._scale[rows], diagonal)
        self._scale[rows] = scale
        scale = self._unit(scale)
        hessian = hessian + np.where(self._believed[rows, None, None], self._rest[rows], 0.0)
        curvatures, axes = np.linalg.eigh(hessian / scale[:, :, None] / scale[:, None, :])
        self._curvatures[rows], self._axes[rows] = np.maximum(curvatures, 0.0), axes

    def _step(self) -> tuple[FloatArray, FloatArray]:
        """Return the damped Gauss-Newton steps and the decreases that the model expects of them."""
        scale = self._unit(self._scale)
        slope = np.matvec(self._axes.swapaxes(1, 2), self.gradient / scale)
        along = -slope / (self._curvatures + self._damping[:, None])
        expected = -np.vecdot(slope, along) - 0.5 * np.vecdot(self._curvatures * along, along)
        return np.matvec(self._axes, along) / scale, expected

    @staticmethod
    def _unit(scale: FloatArray) -> FloatArray:
        """Give coordinates without curvature the scale of the others."""
        largest = scale.max(axis=1, keepdims=True)
        return np.where(scale > 0, scale, np.where(largest > 0, largest, 1.0))
