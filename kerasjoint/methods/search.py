"""What methods of several descents share: the best points, the minima found, and what was spent."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasjoint.confirmation import Confirmation
from kerasjoint.counting import History
from kerasjoint.methods.base import LocalMethod
from kerasjoint.methods.descents import Descents
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Solution, with_runs

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]

CANDIDATES = 24
# No instance spends more than so many times the budget of one, however little the others need.
MOST_SHARES = 4
# An instance looks unsolved if the noise of solved ones reaches its loss less often than this.
UNSOLVED = 0.01


class Search:
    """Descents from the guess, and then from any starts, of which the best point of each instance is kept.

    Parameters
    ----------
    problem_set
        The instances.
    from_guess, from_start
        The local methods.
    evaluations
        Budget per instance, in values with gradient. All instances share it, up to four times as much for one.
    value_cost
        What a value without gradient costs beside one with.
    seconds
        Budget of wall time, looked at between descents; ``None`` for none.

    Attributes
    ----------
    best
        The best point of each instance, with the cost of the descents.
    confirmation
        What the descents say about these.
    """

    def __init__(
        self,
        problem_set: ProblemSet,
        from_guess: LocalMethod,
        from_start: LocalMethod,
        evaluations: int,
        value_cost: float,
        seconds: float | None = None,
    ) -> None:
        self._began = time.perf_counter()
        self.problem_set, self._from_start = problem_set, from_start
        self._evaluations, self._value_cost = evaluations, value_cost
        self._seconds = np.inf if seconds is None else seconds
        self.best = from_guess.solve(problem_set)
        self._values = np.zeros(len(problem_set), dtype=np.int64)
        self._count = len(problem_set)
        self._estimates = [(self.best.z, self.best.loss)]
        self._descents = Descents(self.best)
        self.confirmation = self._confirm()
        self._compile_seconds = 0.0
        self._history = History(problem_set)
        self._record()

    @property
    def left(self) -> float:
        """What all instances may still spend together; nothing once the time is over."""
        if time.perf_counter() - self._began >= self._seconds:
            return 0.0
        return max(self._evaluations * len(self.problem_set) - float(self._spent.sum()), 0.0)

    @property
    def descent_cost(self) -> float:
        """What a descent took on average."""
        return float(self.best.cost(self._value_cost).sum()) / self._count

    @property
    def open(self) -> Rows:
        """The instances that are not confirmed, without those that had their share."""
        return np.flatnonzero(~self.confirmation.confirmed & (self._spent < MOST_SHARES * self._evaluations))

    @property
    def unsolved(self) -> Rows:
        """Of these the ones whose loss is above what noise explains."""
        rows = self.open
        return rows[~(self._descents.tail(self.best.loss)[rows] >= UNSOLVED)]

    @property
    def estimates(self) -> tuple[FloatArray, FloatArray]:
        """Where all descents ended: z (m, d) and loss (m,)."""
        z, loss = (np.concatenate(parts) for parts in zip(*self._estimates, strict=True))
        return z, loss

    def plan(self, rows: Rows, budget: float) -> tuple[int, int]:
        """Return how many candidates and how many descents each of ``rows`` gets within about this budget."""
        share = 0.5 * budget / len(rows)
        count = int(np.clip(share / self._value_cost, 1, CANDIDATES))
        return count, int(np.clip(share / self.descent_cost, 1, count))

    def descend(self, rows: Rows, candidates: FloatArray, count: int, source: int) -> None:
        """Screen candidates and descend from the best.

        Parameters
        ----------
        rows
            The instances, (m,).
        candidates
            Normalised coordinates, (m, c, d). They are dealt out into ``count`` hands, and the best of each is a start.
        count
            Descents of each instance.
        source
            Where the candidates come from, as for ``Descents.add``.
        """
        problem_set, m, size = self.problem_set, len(rows), candidates.shape[2]
        if candidates.shape[1] > count:
            owners = np.repeat(rows, candidates.shape[1])
            loss = self.values(candidates.reshape(-1, size), owners).reshape(m, -1)
            hands = [candidates[:, k::count] for k in range(count)]
            best = [np.argmin(loss[:, k::count], axis=1) for k in range(count)]
            candidates = np.stack([hand[np.arange(m), one] for hand, one in zip(hands, best, strict=True)], axis=1)
        owners = np.repeat(rows, count)
        found = self._from_start.solve(problem_set[owners], start=candidates.reshape(-1, size))
        self._count += len(owners)
        self._estimates.append((found.z, found.loss))
        self._descents.add(owners, found, source)
        self.best = with_runs(self.best, owners, found)
        self.confirmation = self._confirm()
        self._record()

    def values(self, z: FloatArray, owners: Rows) -> FloatArray:
        """Return the losses (m,) of the instances ``owners`` (m,) at z (m, d), and count them."""
        self.count_values(owners)
        return self.problem_set.objective(self.problem_set.space.to_xi(z, self.problem_set.guess[owners]), owners)

    def count_values(self, owners: Rows) -> None:
        """Count one evaluation without gradient for each of ``owners``, an instance perhaps several times."""
        self._values += np.bincount(owners, minlength=len(self._values))

    def count_seconds(self, compile_seconds: float) -> None:
        """Take ``compile_seconds`` of the time that passed as compilation."""
        self._compile_seconds += compile_seconds

    def solution(self, method: str, solver: str) -> Solution:
        """Return the best points, with the cost of everything."""
        curve = pd.concat([self.best.history.iloc[:1], self._history.frame], ignore_index=True)
        compile_seconds = self.best.compile_seconds + self._compile_seconds
        return replace(
            self.best,
            method=method,
            solver=solver,
            history=curve,
            evaluations=self.best.evaluations + self._values,
            values=self.best.values + self._values,
            confirmation=self.confirmation,
            seconds=time.perf_counter() - self._began - compile_seconds,
            compile_seconds=compile_seconds,
        )

    @property
    def _spent(self) -> FloatArray:
        return self.best.cost(self._value_cost) + self._value_cost * self._values

    def _confirm(self) -> Confirmation:
        return self._descents.confirmation(self.best.loss)

    def _record(self) -> None:
        best = self.best
        seconds = time.perf_counter() - self._began - best.compile_seconds - self._compile_seconds
        self._history.record(len(self._history.frame) + 1, float(self._spent.mean()), seconds, best.z, best.loss)
