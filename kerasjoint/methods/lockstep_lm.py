"""Levenberg-Marquardt on all instances in lockstep: each with its own damping, one batch evaluation for all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kerasjoint.checks import check_positive
from kerasjoint.costs import jacobian_cost
from kerasjoint.counting import CountingObjective
from kerasjoint.methods.base import LocalMethod
from kerasjoint.methods.local_run import LocalRun
from kerasjoint.methods.lockstep import ActiveInstances, run_in_lockstep
from kerasjoint.methods.stopping import Stagnation, stalled_status
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Solution, Status

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

EPSILON, TINY = float(np.finfo(np.float64).eps), float(np.finfo(np.float64).tiny)
FIRST_DAMPING, MOST_DAMPING = 1e-3, 1 / EPSILON
FIRST_STEP = 1.0
# A step counts as a decrease if the loss falls by this share of what the model expects, as in MINPACK.
LEAST_RATIO = 1e-4
# Smaller than that of L-BFGS: along a valley, steps that hardly change the loss still move the unknowns.
LEAST_GAIN = 1e-14
# Where Jacobians are dear, one serves as long as each step takes the gradient to at most this share of what it was.
ENOUGH = 0.95


class LockstepLM(LocalMethod):
    """Levenberg-Marquardt in which every instance has its own damping, and no instance waits for another.

    For problems whose misfit is a sum over the residuals. Each round evaluates loss, gradient and Gauss-Newton Hessian
    at one trial point of every instance that is not done, in one batch. With few unknowns, or where gradients are
    finite differences, that costs about what a gradient costs, and near a solution that fits, convergence is quadratic.
    Otherwise Jacobians are dear: one serves for several steps, between which the Hessian learns from the gradients
    (BFGS, with Powell's damping), until gradients no longer fall or a step fails. A ``regularizer`` enters by its exact
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

    def __init__(self, max_iterations: int = 200, tolerance: float = 1e-12, first_step: float = FIRST_STEP) -> None:
        super().__init__(max_iterations, tolerance)
        check_positive(first_step=first_step)
        self.first_step = first_step

    @staticmethod
    def applies_to(problem_set: ProblemSet) -> bool:
        """Return whether the misfit is a sum over residuals that can be differentiated; others are refused.

        Example
        -------
        >>> LockstepLM.applies_to(problem_set)
        True
        """
        return problem_set.evaluator.has_jacobian

    @classmethod
    def pays_near_a_solution(cls, problem_set: ProblemSet) -> bool:
        """Return whether it applies and its Jacobians cost about what gradients cost; ``jacobian_cost`` says where.

        Example
        -------
        >>> LockstepLM.pays_near_a_solution(problem_set)
        True
        """
        return jacobian_cost(problem_set) == 1 and cls.applies_to(problem_set)

    def _advance(self, run: LocalRun) -> None:
        assert run.hessian is not None
        rows = run.movable
        active = ActiveLM(run, rows, run.hessian[rows], self.first_step)
        run_in_lockstep(run, active, self.tolerance, self.max_iterations)


class ActiveLM(ActiveInstances):
    """The instances that are not done: iterate, quadratic model and damping of each, in arrays with m on axis 0."""

    def __init__(
        self, run: LocalRun, rows: NDArray[np.intp], hessian: FloatArray, first_step: float = FIRST_STEP
    ) -> None:
        self.rows, self.z, self.loss, self.gradient = rows, run.z[rows], run.loss[rows], run.gradient[rows]
        m = len(rows)
        self.iterations = np.zeros(m, dtype=np.int64)
        self._largest_at_start = run.largest[rows]
        self._damping, self._growth = np.full(m, FIRST_DAMPING), np.full(m, 2.0)
        self._scale = np.zeros_like(self.z)
        self._curvatures, self._axes = np.zeros_like(self.z), np.zeros((m, *self.z.shape[1:] * 2))
        self._hessian = hessian
        # What the second derivatives of the residuals add to the Hessian, and where that is believed.
        self._rest, self._believed = np.zeros_like(self._hessian), np.zeros(m, dtype=bool)
        self._dear = jacobian_cost(run.objective.problem_set) > 1
        # Whether the next trial is evaluated with a Jacobian, whether the present one is of an earlier point, and
        # whether the next trial is no step but the same point, for its Jacobian.
        self._anew, self._old, self._renewed = np.full(m, not self._dear), np.zeros(m, bool), np.zeros(m, bool)
        self._model(np.arange(m))
        self._stagnation = Stagnation(self.loss, LEAST_GAIN)
        while (long := np.linalg.norm(self._step()[0], axis=1) > first_step).any():
            self._damping[long] *= 2

    def advance(
        self, objective: CountingObjective, tolerance: float, max_iterations: int
    ) -> tuple[Mask, NDArray[np.int8]]:
        """Evaluate one trial of each; return where it was accepted, and how each instance ended if it did."""
        step, expected = self._step()
        step[self._renewed] = 0.0
        trial = self.z + step
        loss, gradient, hessian = self._evaluate(objective, trial)
        moved = self.loss - loss > LEAST_RATIO * expected
        ratio = (self.loss - np.where(moved, loss, self.loss)) / np.maximum(expected, TINY)
        rows = np.flatnonzero(moved)
        anew, kept = rows[self._anew[rows]], rows[~self._anew[rows]]
        self._learn_rest(anew, step[anew], loss[anew], gradient[anew], hessian[anew])
        self._learn_curvature(kept, step[kept], gradient[kept])
        known = np.flatnonzero((moved & self._anew) | self._renewed)
        self._hessian[known] = hessian[known]
        # An old Jacobian may be why a step fails: then the next one is that at the same point.
        self._old[kept], self._old[known] = True, False
        blamed = ~moved & self._old
        if self._dear:
            before, after = (np.linalg.norm(g / self._unit(self._scale), axis=1) for g in (self.gradient, gradient))
            self._anew = blamed | (moved & (after > ENOUGH * before))
        self.z[moved], self.loss[moved], self.gradient[moved] = trial[moved], loss[moved], gradient[moved]
        self.iterations[moved] += 1
        self._model(np.union1d(rows, known))
        failed = ~moved & ~blamed & ~self._renewed
        self._damping *= np.where(
            moved, np.maximum(1 / 3, 1 - (2 * ratio - 1) ** 3), np.where(failed, self._growth, 1.0)
        )
        self._growth = np.where(moved, 2.0, np.where(failed, 2 * self._growth, self._growth))
        self._renewed = blamed

        largest = np.abs(self.gradient).max(axis=1) / self._largest_at_start
        invisible = self._step()[1] <= EPSILON * np.abs(self.loss)
        stalled = failed & (invisible | (self._damping > MOST_DAMPING))
        stalled |= self._stagnation.update(self.loss, moved)
        verdict = np.where(stalled, stalled_status(largest), Status.RUNNING)
        verdict[moved & invisible] = Status.PRECISION
        verdict[moved & (self.iterations >= max_iterations)] = Status.ITERATIONS
        verdict[moved & (largest <= tolerance)] = Status.CONVERGED
        return moved, verdict

    def _evaluate(self, objective: CountingObjective, trial: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return losses, gradients and, where it is wanted anew, the Gauss-Newton Hessian at a trial point of each."""
        if self._anew.all():
            return objective.normal_equations(trial, self.rows)
        loss, gradient, hessian = np.empty_like(self.loss), np.empty_like(trial), self._hessian.copy()
        anew, kept = np.flatnonzero(self._anew), np.flatnonzero(~self._anew)
        loss[kept], gradient[kept] = objective(trial[kept], self.rows[kept])
        if anew.size:
            loss[anew], gradient[anew], hessian[anew] = objective.normal_equations(trial[anew], self.rows[anew])
        return loss, gradient, hessian

    def _learn_curvature(self, rows: NDArray[np.intp], step: FloatArray, gradient: FloatArray) -> None:
        """Let the Hessian explain how the gradient changed along an accepted step, by the damped update of BFGS."""
        change = gradient - self.gradient[rows]
        model = self._hessian[rows] + np.where(self._believed[rows, None, None], self._rest[rows], 0.0)
        foretold = np.matvec(model, step)
        bend, along = np.vecdot(foretold, step), np.vecdot(change, step)
        # Powell's: never less than a fifth of the curvature that the model has along the step.
        share = np.divide(0.8 * bend, bend - along, out=np.ones_like(bend), where=along < 0.2 * bend)[:, None]
        change = share * change + (1 - share) * foretold
        along = np.vecdot(change, step)
        least = EPSILON * np.linalg.norm(step, axis=1)
        usable = (along > least * np.linalg.norm(change, axis=1)) & (bend > least * np.linalg.norm(foretold, axis=1))
        old, new = (
            part / np.sqrt(np.where(usable, size, 1.0))[:, None] for part, size in ((foretold, bend), (change, along))
        )
        update = new[:, :, None] * new[:, None, :] - old[:, :, None] * old[:, None, :]
        self._hessian[rows] += np.where(usable[:, None, None], update, 0.0)

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


def in_gradients(solution: Solution) -> Solution:
    """Return a solution with its evaluations counted in values with gradient: one with a Jacobian as several.

    Example
    -------
    >>> in_gradients(LockstepLM().solve(problem_set)).evaluations
    """
    extra = jacobian_cost(solution.problem_set) - 1
    evaluations = solution.evaluations + extra * solution.jacobians
    dearer = float(evaluations.mean() / solution.evaluations.mean())
    history = solution.history.assign(evaluations=solution.history["evaluations"] * dearer)
    return replace(solution, evaluations=evaluations, history=history)
