"""The objective as optimisers see it: normalised coordinates, exact counts, and the best point of each instance."""

from __future__ import annotations

import math
import time

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Point, Solution, Status

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]

CHECKPOINT_RATIO = 1.25


class TrackedObjective:
    """Loss and gradient in z for any subset of the instances; remembers the best point and counts per instance.

    Example
    -------
    >>> objective = TrackedObjective(problem_set)
    >>> loss, gradient = objective(z, rows)          # (m,), (m, d) for instances rows (m,)
    >>> objective.best_loss, objective.evaluations
    """

    def __init__(self, problem_set: ProblemSet) -> None:
        n = len(problem_set)
        self.problem_set = problem_set
        self.space = problem_set.problem.space
        self.best_z = np.zeros((n, self.space.size))
        self.best_loss = np.full(n, np.inf)
        self.evaluations = np.zeros(n, dtype=np.int64)
        self.non_finite = np.zeros(n, dtype=np.int64)
        self.compile_seconds = 0.0

    def __call__(self, z: FloatArray, rows: Rows) -> tuple[FloatArray, FloatArray]:
        """Return losses and gradients at ``z`` (m, d) of the instances ``rows`` (m,)."""
        start = time.perf_counter()
        if self.problem_set.compile(len(rows)):
            self.compile_seconds += time.perf_counter() - start
        xi, slope = self.space.to_xi_and_slope(z, self.problem_set.guess[rows])
        loss, gradient = self.problem_set.value_and_gradient(xi, rows)
        self.evaluations[rows] += 1
        self.non_finite[rows] += ~np.isfinite(loss)
        better = loss < self.best_loss[rows]
        self.best_loss[rows[better]] = loss[better]
        self.best_z[rows[better]] = z[better]
        return loss, gradient * slope

    def point(self, z: FloatArray, loss: FloatArray) -> Point:
        """Return the point of all instances at ``z``."""
        return Point(self.space.to_xi(z, self.problem_set.guess), z, loss)

    def solution(
        self,
        method: str,
        engine: str,
        last: tuple[FloatArray, FloatArray],
        status: NDArray[np.int8],
        iterations: NDArray[np.int64],
        seconds: float,
        history: pd.DataFrame,
    ) -> Solution:
        """Assemble the solution at the best points seen, with ``last`` = (z, loss) beside them."""
        last_z, last_loss = last
        unseen = ~np.isfinite(self.best_loss)
        z = np.where(unseen[:, None], last_z, self.best_z)
        loss = np.where(unseen, last_loss, self.best_loss)
        # Optimisers scale the loss, which costs its last bit; and no point seen has less than the best.
        last_loss = np.where((last_z == z).all(axis=1), loss, np.maximum(last_loss, loss))
        best = self.point(z, loss)
        return Solution(
            method=method,
            problem_set=self.problem_set,
            xi=best.xi,
            z=best.z,
            loss=best.loss,
            status=status,
            evaluations=self.evaluations.copy(),
            iterations=iterations,
            seconds=seconds - self.compile_seconds,
            compile_seconds=self.compile_seconds,
            last=self.point(last_z, last_loss),
            history=history,
            engine=engine,
            non_finite=self.non_finite.copy(),
        )


class History:
    """Statistics of the true objective over the instances, one row per checkpoint."""

    def __init__(self, problem_set: ProblemSet) -> None:
        self._problem_set = problem_set
        self._rows: list[dict[str, float]] = []

    def record(self, iteration: int, evaluations: float, seconds: float, z: FloatArray, loss: FloatArray) -> None:
        """Add a row: ``loss`` (n,) at ``z`` (n, d) after ``iteration`` iterations; cost is the mean per instance."""
        problem_set = self._problem_set
        xi = problem_set.problem.space.to_xi(z, problem_set.guess)
        solved = problem_set.problem.solved(loss, xi, problem_set)
        low, median, high = np.quantile(loss, (0.25, 0.5, 0.75), method="inverted_cdf")
        self._rows.append(
            {
                "iteration": iteration,
                "evaluations": evaluations,
                "seconds": seconds,
                "mean": float(np.mean(loss)),
                "lower_quartile": float(low),
                "median": float(median),
                "upper_quartile": float(high),
                "solved": float("nan") if solved is None else float(np.mean(solved)),
            }
        )

    @property
    def frame(self) -> pd.DataFrame:
        """All rows so far."""
        return pd.DataFrame(self._rows)


class Path:
    """Where instances that advance at their own pace were after so many iterations, at sparse checkpoints.

    Parameters
    ----------
    z, loss
        The start, (n, d) and (n,).
    most
        The largest number of iterations there can be.

    Attributes
    ----------
    z, loss, iterations
        Where each instance is now, and after how many iterations.
    """

    def __init__(self, z: FloatArray, loss: FloatArray, most: int) -> None:
        self.z, self.loss = z.copy(), loss.copy()
        self.iterations = np.zeros(len(z), dtype=np.int64)
        self._evaluations = np.ones(len(z), dtype=np.int64)
        self._start = self.z.copy(), self.loss.copy()
        count = math.ceil(math.log(most, CHECKPOINT_RATIO)) + 1
        self._times = {min(most, math.ceil(CHECKPOINT_RATIO**k)) for k in range(count)}
        self._checkpoints: dict[int, tuple[FloatArray, FloatArray, NDArray[np.int64]]] = {}

    def reach(
        self,
        rows: Rows,
        iterations: NDArray[np.int64],
        z: FloatArray,
        loss: FloatArray,
        evaluations: NDArray[np.int64],
    ) -> None:
        """Take in where the instances ``rows`` (m,) are after ``iterations`` (m,), with ``evaluations`` (m,) spent."""
        self.z[rows], self.loss[rows], self.iterations[rows], self._evaluations[rows] = z, loss, iterations, evaluations
        for k in self._times.intersection(np.unique(iterations).tolist()):
            if k not in self._checkpoints:
                self._checkpoints[k] = np.empty_like(self.z), np.empty_like(self.loss), np.zeros_like(self._evaluations)
            here = iterations == k
            for stored, now in zip(self._checkpoints[k], (z, loss, evaluations), strict=True):
                stored[rows[here]] = now[here]

    def history(self, problem_set: ProblemSet, seconds: float) -> pd.DataFrame:
        """Return the statistics at the checkpoints; instances that ended before one stay where they ended.

        ``seconds``, of the whole run, are shared out by evaluations.
        """
        history = History(problem_set)
        total = float(self._evaluations.mean())
        history.record(0, 1.0, seconds / total, *self._start)
        last = self.z, self.loss, self._evaluations
        for k in sorted({*self._checkpoints, int(self.iterations.max())} - {0}):
            stored = self._checkpoints.get(k, last)
            there = stored[2] > 0
            z, loss, evaluations = (
                np.where(there[:, None] if now.ndim == 2 else there, then, now)
                for then, now in zip(stored, last, strict=True)
            )
            spent = float(evaluations.mean())
            history.record(k, spent, seconds * spent / total, z, loss)
        return history.frame


def stationary_status(loss: FloatArray, gradient: FloatArray) -> NDArray[np.int8]:
    """Status at the start: ``NON_FINITE``, ``STATIONARY``, or ``ITERATIONS`` for those that can move."""
    status = np.full(len(loss), Status.ITERATIONS, dtype=np.int8)
    status[~np.any(gradient, axis=1)] = Status.STATIONARY
    status[~np.isfinite(loss)] = Status.NON_FINITE
    return status
