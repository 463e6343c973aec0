"""What global searches share: a budget per instance that is kept exactly, a box, and a final descent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from kerasjoint.checks import check_count, check_seed
from kerasjoint.counting import CHECKPOINT_RATIO, CountingObjective, History
from kerasjoint.errors import ArgumentError, describe
from kerasjoint.methods.base import Method, check_problem_set
from kerasjoint.problem_set import ProblemSet
from kerasjoint.progress import stage
from kerasjoint.solution import Solution, Status

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]

# Draws from the prior that say how far unknowns spread, and by which share of their range the box is wider.
DRAWS = 1000
MARGIN = 0.25


class BudgetSpent(Exception):
    """The evaluations of an instance are used up; ends the library's search of it."""


class Search:
    """The objective within a budget per instance, what the prior says of the unknowns, and the way so far.

    Parameters
    ----------
    problem_set
        The instances. The guess of each is evaluated first.
    evaluations
        How many evaluations each instance may take.
    seed
        Of all random numbers; every instance has a generator of its own.

    Attributes
    ----------
    objective
        Counts, and keeps the best point of each instance.
    limit
        How many evaluations each instance may take now, (n,).
    iterations
        Of each instance, counted by the method, (n,).
    generators
        Of the random numbers of each instance.
    deviation
        Of draws from the prior of each instance, in normalised coordinates, (n, d).
    """

    def __init__(self, problem_set: ProblemSet, evaluations: int, seed: int) -> None:
        n = len(problem_set)
        self.objective, self.evaluations = CountingObjective(problem_set), evaluations
        self.limit, self.iterations = np.full(n, evaluations), np.zeros(n, dtype=np.int64)
        self.generators = [np.random.default_rng(np.random.SeedSequence([seed, i])) for i in range(n)]
        last = math.ceil(math.log(evaluations, CHECKPOINT_RATIO)) if evaluations > 1 else 0
        self._times = sorted({min(math.ceil(CHECKPOINT_RATIO**k), evaluations) for k in range(last + 1)})
        self._z = np.zeros((len(self._times), n, problem_set.space.size))
        self._loss = np.full((len(self._times), n), np.inf)
        self._passed = np.zeros(n, dtype=np.int64)
        space = problem_set.space
        low, high, self.deviation = self._prior(seed)
        both = np.isfinite(space.lower) & np.isfinite(space.upper)
        self._low = np.where(both, space.lower, np.maximum(low - MARGIN * (high - low), space.lower))
        self._width = np.where(both, space.upper, np.minimum(high + MARGIN * (high - low), space.upper)) - self._low
        self.values(np.zeros((n, space.size)), np.arange(n))

    def _prior(self, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the least and the greatest unknowns of draws from each prior, and the deviations of z, (n, d) each."""
        problem_set, n = self.objective.problem_set, len(self.limit)
        found = np.empty((3, n, problem_set.space.size))
        for i in range(n):
            rows, generator = np.full(DRAWS, i), np.random.default_rng(np.random.SeedSequence([seed, n, 1]))
            z = problem_set.draw_starts(rows, generator)
            xi = problem_set.space.to_xi(z, problem_set.guess[rows])
            found[:, i] = xi.min(axis=0), xi.max(axis=0), np.maximum(z.std(axis=0), np.finfo(np.float64).tiny)
        return found[0], found[1], found[2]

    def left(self, i: int) -> int:
        """Return how many evaluations the instance ``i`` has left."""
        return int(self.limit[i] - self.objective.evaluations[i])

    def values(self, z: FloatArray, rows: Rows) -> FloatArray:
        """Return losses at ``z`` (m, d) of the instances ``rows`` (m,), all of which must have so many left."""
        loss = self.objective.value(z, rows)
        self._pass(np.unique(rows))
        return loss

    def values_of(self, i: int, z: FloatArray) -> FloatArray:
        """Return the losses of one instance at ``z`` (m, d); evaluate what is left of the budget before it ends."""
        count = min(len(z), self.left(i))
        loss = self.values(z[:count], np.full(count, i)) if count else np.zeros(0)
        if count < len(z):
            raise BudgetSpent
        return loss

    def value_and_gradient(self, i: int, z: FloatArray) -> tuple[float, FloatArray]:
        """Return loss and gradient of one instance at ``z`` (d,)."""
        if not self.left(i):
            raise BudgetSpent
        loss, gradient = self.objective(z[None], np.array([i]))
        self._pass(np.array([i]))
        return float(loss[0]), gradient[0]

    def draw(self, i: int, count: int) -> FloatArray:
        """Draw starts of one instance from the prior, (count, d), in normalised coordinates."""
        return self.objective.problem_set.draw_starts(np.full(count, i), self.generators[i])

    def to_unit(self, i: int, z: FloatArray) -> FloatArray:
        """Map normalised coordinates (m, d) into the box of the search, the unit cube.

        Its edges are the bounds of the unknown where it has two, else those of draws from the prior and a margin.
        """
        problem_set = self.objective.problem_set
        xi = problem_set.space.to_xi(z, problem_set.guess[np.full(len(z), i)])
        return np.clip((xi - self._low[i]) / self._width[i], 0.0, 1.0)

    def from_unit(self, i: int, unit: FloatArray) -> FloatArray:
        """Map points of the unit cube (m, d) to normalised coordinates."""
        problem_set = self.objective.problem_set
        xi = problem_set.space.move_inside(self._low[i] + self._width[i] * unit, 1e-9)
        return problem_set.space.to_z(xi, problem_set.guess[np.full(len(unit), i)])

    def unit_gradient(self, i: int, z: FloatArray, gradient: FloatArray) -> FloatArray:
        """Turn a gradient in normalised coordinates (d,) into one in the unit cube."""
        guess = self.objective.problem_set.guess[[i]]
        slope = self.objective.space.to_xi_and_slope(z[None], guess)[1][0]
        return gradient / slope * self._width[i]

    def descend(self, i: int, start: FloatArray, tolerance: float = 1e-12) -> None:
        """Run L-BFGS of SciPy from ``start`` (d,) on one instance."""
        loss, gradient = self.value_and_gradient(i, start)
        size = float(np.linalg.norm(gradient)) if np.isfinite(loss) else 0.0
        if not size:
            return

        def scaled(z: FloatArray) -> tuple[float, FloatArray]:
            loss, gradient = self.value_and_gradient(i, z)
            return loss / size, gradient / size

        minimize(
            scaled,
            start,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": self.evaluations, "maxfun": self.evaluations, "ftol": 0.0, "gtol": tolerance},
        )

    def solution(self, method: str, solver: str, seconds: float) -> Solution:
        """Return the best points, and the way to them in the history."""
        objective = self.objective
        z, loss = objective.best_z.copy(), objective.best_loss.copy()
        history, spent = History(objective.problem_set), objective.evaluations
        rate = (seconds - objective.compile_seconds) / float(spent.mean())
        for k, evaluations in enumerate(self._times):
            if evaluations >= spent.max():
                break
            there = self._passed > k
            points = np.where(there[:, None], self._z[k], z), np.where(there, self._loss[k], loss)
            cost = float(np.minimum(evaluations, spent).mean())
            history.record(evaluations, cost, rate * cost, *points)
        history.record(int(spent.max()), float(spent.mean()), rate * float(spent.mean()), z, loss)
        status = np.where(np.isfinite(loss), Status.SEARCHED, Status.NON_FINITE).astype(np.int8)
        return objective.solution(method, solver, (z, loss), status, self.iterations, seconds, history.frame)

    def _pass(self, rows: Rows) -> None:
        """Keep the best points of instances that came to a checkpoint."""
        for i in rows:
            count, k = self.objective.evaluations[i], int(self._passed[i])
            while k < len(self._times) and self._times[k] <= count:
                self._z[k, i], self._loss[k, i] = self.objective.best_z[i], self.objective.best_loss[i]
                k += 1
            self._passed[i] = k


class GlobalSearch(Method):
    """A search of every instance for itself that goes on, with restarts, until its evaluations are used up.

    Parameters
    ----------
    evaluations
        Budget per instance, never exceeded. A value counts as one evaluation, as one with gradient does;
        ``Solution.cost`` counts it as a third.
    polish
        How many of them are kept for L-BFGS with gradients from the best point, at most half. 0: none. A gradient by
        finite differences takes d + 1 of them.
    """

    needs_gradient = False

    def __init__(self, evaluations: int = 1000, polish: int = 100) -> None:
        self.evaluations = check_count("evaluations", evaluations)
        if isinstance(polish, bool) or not isinstance(polish, (int, np.integer)) or polish < 0:
            raise ArgumentError("polish", "a whole number not below 0", describe(polish))
        self.polish = int(polish)

    def solve(self, problem_set: ProblemSet, seed: int = 0) -> Solution:
        """Solve all instances; see ``Method.solve``."""
        self._check_installed()
        began, n, seed = time.perf_counter(), len(check_problem_set(problem_set)), check_seed(seed)
        search = Search(problem_set, self.evaluations, seed)
        polish = min(self.polish, self.evaluations // 2)
        by_differences = problem_set.evaluator.by_differences
        if not (by_differences or problem_set.evaluator.has_gradient(n, problem_set.data)):
            polish = 0
        with stage(self.name, total=n) as done:
            search.limit[:] = self.evaluations - polish
            self._search(search, done)
            gradients = self.evaluations - search.objective.evaluations
            search.limit = search.objective.evaluations + gradients // (1 + problem_set.space.size * by_differences)
            for i in range(n) if polish else ():
                within_budget(partial(search.descend, i, search.objective.best_z[i].copy()))
        return search.solution(self.name, type(self).__name__, time.perf_counter() - began)

    def _search(self, search: Search, done: Callable[[int], None]) -> None:
        """Search all instances; by default one after the other."""
        for i in range(len(search.limit)):
            left = 0
            while search.left(i) not in (0, left):
                left = search.left(i)
                within_budget(partial(self._search_once, search, i))
            done(i + 1)

    def _search_once(self, search: Search, i: int) -> None:
        """Search one instance until the method ends, or the budget does; called again while there is some."""
        raise NotImplementedError

    def _check_installed(self) -> None:
        """Refuse to begin where a package is missing."""


def within_budget(run: Callable[[], object]) -> None:
    """Run a search up to the end of its budget."""
    try:
        run()
    except BudgetSpent:
        return
