"""A run of a local method: where each instance is, at its own pace, how it ended, and what that cost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kerasjoint.counting import CHECKPOINT_RATIO, CountingObjective, History
from kerasjoint.loss_scale import residual_scale
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Solution, Status

FloatArray = NDArray[np.float64]
Counts = NDArray[np.int64]
Rows = NDArray[np.intp]

# Tolerances are relative to the first gradient, or to so many times the sum of squares of y if that is less.
LARGEST_GRADIENT = 1e6


class Checkpoint(NamedTuple):
    """Where all instances were after so many iterations; those that ended before stay where they ended."""

    iteration: int
    z: FloatArray
    loss: FloatArray
    evaluations: Counts


class LocalRun:
    """What the local methods share: the tracked objective, the current point of every instance, sparse checkpoints.

    Parameters
    ----------
    problem_set
        The instances.
    start
        Normalised coordinates, (n, d). Loss and gradient are evaluated there.
    max_iterations
        The largest number of iterations of an instance.
    done
        Takes how many instances ended, for showing progress.
    second_order
        Whether to evaluate the Gauss-Newton Hessian too.

    Attributes
    ----------
    objective
        The tracked objective.
    z, loss, iterations
        Where each instance is now, and after how many iterations.
    gradient, hessian
        At the start, (n, d) and, if it was asked for, (n, d, d).
    status
        How each instance ended; ``RUNNING`` until that is set.

    Example
    -------
    >>> run = LocalRun(problem_set, start, max_iterations=200)
    >>> run.reach(rows, z, loss)
    >>> run.solution("lbfgs", "LBFGS")
    """

    def __init__(
        self,
        problem_set: ProblemSet,
        start: FloatArray,
        max_iterations: int,
        done: Callable[[int], None] = lambda count: None,
        second_order: bool = False,
    ) -> None:
        self._began = time.perf_counter()
        self.objective = CountingObjective(problem_set)
        self._done = done
        self.z = start.copy()
        evaluate = self.objective.normal_equations if second_order else self.objective
        self.loss, self.gradient, *hessian = evaluate(start, np.arange(len(start)))
        self.hessian = hessian[0] if hessian else None
        self.status = initial_status(self.loss, self.gradient)
        # Where only the gradient is not finite, as at a norm of zero, the start is a point all the same.
        immovable = np.flatnonzero(self.status == Status.NON_FINITE)
        if immovable.size:
            self.loss[immovable] = self.objective.value(start[immovable], immovable)
        # What tolerances are relative to, and what scales the first step; 1 where there is no way to go.
        self.largest = _or_one(np.abs(self.gradient).max(axis=1))
        if problem_set.problem.sums_squares:
            # The first gradient may be astronomical, as of an exponential, and say nothing of the solution.
            size = residual_scale(problem_set)[1]
            self.largest = np.minimum(self.largest, np.where(size > 0, LARGEST_GRADIENT * size, np.inf))
        self.norm = _or_one(np.linalg.norm(self.gradient, axis=1))
        self.iterations = np.zeros(len(start), dtype=np.int64)
        self._evaluations = self.objective.evaluations.copy()
        self._start = Checkpoint(0, start.copy(), self.loss.copy(), self._evaluations.copy())
        count = math.ceil(math.log(max_iterations, CHECKPOINT_RATIO)) + 1
        self._times = {min(max_iterations, math.ceil(CHECKPOINT_RATIO**k)) for k in range(count)}
        self._checkpoints: dict[int, Checkpoint] = {}

    @property
    def at_start(self) -> FloatArray:
        """The losses at the start, (n,)."""
        return self._start.loss

    @property
    def movable(self) -> Rows:
        """The instances that have not ended."""
        return np.flatnonzero(self.status == Status.RUNNING)

    def end(self, rows: Rows, status: NDArray[np.int8] | Status) -> None:
        """Set how the instances ``rows`` (m,) ended."""
        self.status[rows] = status
        self._done(int(np.count_nonzero(self.status != Status.RUNNING)))

    def resume(self, rows: Rows) -> Rows:
        """Let instances that ended run on where they are; return those that can."""
        return rows[self._resume(rows, *self.objective(self.z[rows], rows))]

    def resume_with_hessians(self, rows: Rows) -> tuple[Rows, FloatArray]:
        """Do the same; return their Hessians (k, d, d) of Gauss and Newton too, without which an instance cannot."""
        loss, gradient, hessian = self.objective.normal_equations(self.z[rows], rows)
        going = self._resume(rows, loss, gradient)
        return rows[going], hessian[going]

    def _resume(self, rows: Rows, loss: FloatArray, gradient: FloatArray) -> NDArray[np.bool_]:
        going = initial_status(loss, gradient) == Status.RUNNING
        rows = rows[going]
        self.loss[rows], self.gradient[rows] = loss[going], gradient[going]
        self.status[rows] = Status.RUNNING
        return going

    def reach(self, rows: Rows, z: FloatArray, loss: FloatArray) -> None:
        """Record that the instances ``rows`` (m,) ended an iteration at ``z`` (m, d)."""
        evaluations = self.objective.evaluations[rows]
        self.iterations[rows] += 1
        self.z[rows], self.loss[rows], self._evaluations[rows] = z, loss, evaluations
        iterations = self.iterations[rows]
        for k in self._times.intersection(iterations.tolist()):
            if k not in self._checkpoints:
                nowhere = np.zeros_like(self._evaluations)
                self._checkpoints[k] = Checkpoint(k, np.empty_like(self.z), np.empty_like(self.loss), nowhere)
            stored, here = self._checkpoints[k], iterations == k
            there = rows[here]
            stored.z[there], stored.loss[there], stored.evaluations[there] = z[here], loss[here], evaluations[here]

    def checkpoints(self) -> Iterator[Checkpoint]:
        """Iterate over the start, what was passed since, and the end."""
        yield self._start
        last = int(self.iterations.max())
        for k in sorted(self._checkpoints.keys() | {last} - {0}):
            stored = self._checkpoints.get(k)
            if stored is None:
                yield Checkpoint(k, self.z, self.loss, self._evaluations)
                continue
            there = stored.evaluations > 0
            yield Checkpoint(
                k,
                np.where(there[:, None], stored.z, self.z),
                np.where(there, stored.loss, self.loss),
                np.where(there, stored.evaluations, self._evaluations),
            )

    def solution(self, method: str, solver: str) -> Solution:
        """Return the best points seen, the last ones beside them; seconds are shared out over the history by cost."""
        seconds = time.perf_counter() - self._began
        history = History(self.objective.problem_set)
        rate = (seconds - self.objective.compile_seconds) / float(self._evaluations.mean())
        for iteration, z, loss, evaluations in self.checkpoints():
            spent = float(evaluations.mean())
            history.record(iteration, spent, rate * spent, z, loss)
        last = self.z, self.loss
        return self.objective.solution(method, solver, last, self.status, self.iterations, seconds, history.frame)


def initial_status(loss: FloatArray, gradient: FloatArray) -> NDArray[np.int8]:
    """Status at the start: ``NON_FINITE``, ``STATIONARY``, or ``RUNNING`` for those that can move."""
    status = np.full(len(loss), Status.RUNNING, dtype=np.int8)
    status[~np.any(gradient, axis=1)] = Status.STATIONARY
    status[~np.isfinite(loss)] = Status.NON_FINITE
    return status


def _or_one(size: FloatArray) -> FloatArray:
    return np.where(size > 0, size, 1.0)
