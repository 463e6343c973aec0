"""L-BFGS on all instances in lockstep: each for itself, and one batch evaluation serves all that are not done."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kerasjoint.counting import CountingObjective
from kerasjoint.methods.base import QuasiNewtonMethod
from kerasjoint.methods.line_search import LineSearch
from kerasjoint.methods.local_run import LocalRun
from kerasjoint.methods.lockstep import ActiveInstances, run_in_lockstep
from kerasjoint.methods.stopping import Stagnation, stalled_status
from kerasjoint.solution import Status

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

EPSILON = float(np.finfo(np.float64).eps)
# Losses below this go on falling.
UNBOUNDED = -1e150


class LockstepLBFGS(QuasiNewtonMethod):
    """L-BFGS in which every instance has its own history and line search, and no instance waits for another.

    Each round evaluates one trial point of every instance that is not done, in one batch on all cores. So the cost is
    what the evaluations cost, where a loop over instances pays for small batches, and a batched optimiser that runs one
    line search for all pays for its slowest member. The line search is that of Moré and Thuente with strong Wolfe
    conditions; where it fails, the instance forgets its history and tries the gradient's direction. It ends if that
    fails too, where the decrease to be expected is below rounding, and where it stagnates: gains below 1e-9 of the loss
    that do not grow.

    Its parameters are those of ``QuasiNewtonMethod``.

    Example
    -------
    >>> LockstepLBFGS().solve(problem_set)
    """

    name = "lockstep-lbfgs"

    def _advance(self, run: LocalRun) -> None:
        active = ActiveLBFGS(run, run.movable, self.history_size, self.first_step)
        run_in_lockstep(run, active, self.tolerance, self.max_iterations)


class ActiveLBFGS(ActiveInstances):
    """The instances that are not done: iterate, history and line search of each, in arrays with m on axis 0."""

    def __init__(self, run: LocalRun, rows: NDArray[np.intp], history_size: int, first_step: float) -> None:
        z, loss, gradient = run.z[rows], run.loss[rows], run.gradient[rows]
        m, size = z.shape
        self.rows, self.z, self.loss, self.gradient = rows, z, loss, gradient
        self.iterations = np.zeros(m, dtype=np.int64)
        self._largest_at_start = run.largest[rows]
        self._length = np.full(m, first_step)
        # Correction pairs in a ring, the latest at (pairs - 1) mod history_size; unused ones are zero: no correction.
        self._pairs = np.zeros(m, dtype=np.int64)
        self._moves, self._changes = np.zeros((2, m, history_size, size))
        self._inverse_curvature = np.zeros((m, history_size))
        # Where the line search's best trial is.
        self._near_z, self._near_loss, self._near_gradient = z.copy(), loss.copy(), gradient.copy()
        self._stagnation = Stagnation(loss)
        self._direction = -gradient * (first_step / run.norm[rows])[:, None]
        self._search = LineSearch(loss, np.vecdot(gradient, self._direction))

    def advance(
        self, objective: CountingObjective, tolerance: float, max_iterations: int
    ) -> tuple[Mask, NDArray[np.int8]]:
        """Evaluate one trial of each; return where that ended an iteration, and how each instance ended if it did."""
        trial = self.z + self._search.step[:, None] * self._direction
        loss, gradient = objective(trial, self.rows)
        improved, ended = self._search.advance(loss, np.vecdot(gradient, self._direction))
        self._near_z[improved] = trial[improved]
        self._near_loss[improved], self._near_gradient[improved] = loss[improved], gradient[improved]
        moved = ended & self._search.decreased
        failed = ended & ~moved
        self._move(np.flatnonzero(moved))

        largest = np.abs(self.gradient).max(axis=1) / self._largest_at_start
        stuck = failed & (self._pairs == 0)
        stalled = stuck | self._stagnation.update(self.loss, moved)
        verdict = np.where(stalled, stalled_status(largest), Status.RUNNING)
        verdict[moved & (self.iterations >= max_iterations)] = Status.ITERATIONS
        verdict[moved & (largest <= tolerance)] = Status.CONVERGED

        self._forget(np.flatnonzero(failed))
        turning = np.flatnonzero(ended & (verdict == Status.RUNNING))
        slope = self._turn(turning)
        verdict[turning[slope >= -EPSILON * np.abs(self.loss[turning])]] = Status.PRECISION
        # Below any bound there is no minimum.
        verdict[(verdict == Status.PRECISION) & (self.loss < UNBOUNDED)] = Status.FAILED
        return moved, verdict

    def _move(self, rows: NDArray[np.intp]) -> None:
        """Go to the best trial and remember the correction pair unless the curvature along it is not positive."""
        move, change = self._near_z[rows] - self.z[rows], self._near_gradient[rows] - self.gradient[rows]
        self.z[rows], self.loss[rows] = self._near_z[rows], self._near_loss[rows]
        self.gradient[rows] = self._near_gradient[rows]
        self._length[rows] = np.linalg.norm(move, axis=1)
        self.iterations[rows] += 1
        curvature = np.vecdot(move, change)
        # Whatever the units of the loss: positive by more than rounding.
        useful = curvature > EPSILON * self._length[rows] * np.linalg.norm(change, axis=1)
        rows, move, change = rows[useful], move[useful], change[useful]
        slot = self._pairs[rows] % self._moves.shape[1]
        self._moves[rows, slot], self._changes[rows, slot] = move, change
        self._inverse_curvature[rows, slot] = 1 / curvature[useful]
        self._pairs[rows] += 1

    def _forget(self, rows: NDArray[np.intp]) -> None:
        self._pairs[rows] = 0
        for pairs in (self._moves, self._changes, self._inverse_curvature):
            pairs[rows] = 0.0

    def _turn(self, rows: NDArray[np.intp]) -> FloatArray:
        """Begin a search of the instances ``rows`` in their quasi-Newton direction; return the slopes along it."""
        gradient = self.gradient[rows]
        direction = -self._inverse_hessian(rows, gradient)
        steepest = (self._pairs[rows] == 0) | ~(np.vecdot(direction, gradient) < 0)
        norm = np.linalg.norm(gradient[steepest], axis=1)
        direction[steepest] = -gradient[steepest] * (self._length[rows[steepest]] / norm)[:, None]
        slope = np.vecdot(direction, gradient)
        self._direction[rows] = direction
        self._near_z[rows], self._near_loss[rows], self._near_gradient[rows] = self.z[rows], self.loss[rows], gradient
        self._search.restart(rows, self.loss[rows], slope)
        return slope

    def _inverse_hessian(self, rows: NDArray[np.intp], vector: FloatArray) -> FloatArray:
        """Multiply by the inverse Hessian that the correction pairs stand for: Nocedal's two loops."""
        size = self._moves.shape[1]
        used = range(min(size, int(self._pairs[rows].max(initial=0))))
        latest = rows[:, None], (self._pairs[rows, None] - 1 - np.arange(max(len(used), 1))) % size
        moves, changes, inverse = self._moves[latest], self._changes[latest], self._inverse_curvature[latest]
        result = vector.copy()
        weights = np.zeros_like(inverse)
        for k in used:
            weights[:, k] = inverse[:, k] * np.vecdot(moves[:, k], result)
            result -= weights[:, k, None] * changes[:, k]
        square = np.vecdot(changes[:, 0], changes[:, 0]) * inverse[:, 0]
        result /= np.where(square > 0, square, 1.0)[:, None]
        for k in reversed(used):
            back = weights[:, k] - inverse[:, k] * np.vecdot(changes[:, k], result)
            result += back[:, None] * moves[:, k]
        return result
