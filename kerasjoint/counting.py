"""The objective as optimisers see it: normalised coordinates, exact counts, and the best point of each instance."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasjoint.best import keep_better
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Point, Solution

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]

CHECKPOINT_RATIO = 1.25


class CountingObjective:
    """Loss and gradient in z for any subset of the instances; remembers the best point and counts per instance.

    Example
    -------
    >>> objective = CountingObjective(problem_set)
    >>> loss, gradient = objective(z, rows)          # (m,), (m, d) for instances rows (m,)
    >>> objective.best_loss, objective.evaluations
    """

    def __init__(self, problem_set: ProblemSet) -> None:
        n = len(problem_set)
        self.problem_set = problem_set
        self.space = problem_set.space
        self._best = {"z": np.zeros((n, self.space.size)), "loss": np.full(n, np.inf)}
        self.evaluations = np.zeros(n, dtype=np.int64)
        self.values = np.zeros(n, dtype=np.int64)
        self.jacobians = np.zeros(n, dtype=np.int64)
        self.non_finite = np.zeros(n, dtype=np.int64)
        self.compile_seconds = 0.0

    @property
    def best_z(self) -> FloatArray:
        """The best point of each instance so far, (n, d)."""
        return self._best["z"]

    @property
    def best_loss(self) -> FloatArray:
        """Its loss, (n,)."""
        return self._best["loss"]

    def __call__(self, z: FloatArray, rows: Rows) -> tuple[FloatArray, FloatArray]:
        """Return losses and gradients at ``z`` (m, d) of the instances ``rows`` (m,)."""
        self._compile("value_and_gradient", len(rows))
        xi, slope = self.space.to_xi_and_slope(z, self.problem_set.guess[rows])
        loss, gradient = self.problem_set.value_and_gradient(xi, rows)
        self._note(z, rows, loss)
        return loss, gradient * slope

    def normal_equations(self, z: FloatArray, rows: Rows) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return losses, gradients and Gauss-Newton Hessians at ``z`` (m, d): one evaluation, as a gradient is."""
        self._compile("normal_equations", len(rows))
        xi, slope = self.space.to_xi_and_slope(z, self.problem_set.guess[rows])
        loss, gradient, hessian = self.problem_set.normal_equations(xi, rows)
        np.add.at(self.jacobians, rows, 1)
        self._note(z, rows, loss)
        return loss, gradient * slope, hessian * slope[:, :, None] * slope[:, None, :]

    def value(self, z: FloatArray, rows: Rows) -> FloatArray:
        """Return the losses at ``z`` (m, d), where a gradient need not exist."""
        loss = self.problem_set.objective(self.space.to_xi(z, self.problem_set.guess[rows]), rows)
        np.add.at(self.values, rows, 1)
        self._note(z, rows, loss)
        return loss

    def _compile(self, function: str, m: int) -> None:
        start = time.perf_counter()
        if self.problem_set.compile(m, function):
            self.compile_seconds += time.perf_counter() - start

    def _note(self, z: FloatArray, rows: Rows, loss: FloatArray) -> None:
        # An instance may come several times.
        np.add.at(self.evaluations, rows, 1)
        np.add.at(self.non_finite, rows, ~np.isfinite(loss))
        keep_better(self._best, {"z": z, "loss": loss}, rows)

    def point(self, z: FloatArray, loss: FloatArray) -> Point:
        """Return the point of all instances at ``z``."""
        return Point(self.space.to_xi(z, self.problem_set.guess), z, loss)

    def solution(
        self,
        method: str,
        solver: str,
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
            solver=solver,
            non_finite=self.non_finite.copy(),
            values=self.values.copy(),
            jacobians=self.jacobians.copy(),
        )


class History:
    """Statistics of the true objective over the instances, one row per checkpoint."""

    def __init__(self, problem_set: ProblemSet) -> None:
        self._problem_set = problem_set
        # Evaluated here, once, so that no row runs the simulator.
        _ = problem_set.truth_loss
        self._rows: list[dict[str, float]] = []

    def record(self, iteration: int, evaluations: float, seconds: float, z: FloatArray, loss: FloatArray) -> None:
        """Add a row: ``loss`` (n,) at ``z`` (n, d) after ``iteration`` iterations; cost is the mean per instance."""
        problem_set = self._problem_set
        solved = problem_set.solved(loss, problem_set.space.to_xi(z, problem_set.guess))
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
