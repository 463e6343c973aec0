"""What methods of several descents share: the best points, the minima found, and what was spent."""

from __future__ import annotations

import time
from copy import copy
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasjoint.best import with_runs
from kerasjoint.confirmation import FEWEST, SERVED_BETTER, Confirmation
from kerasjoint.costs import jacobian_cost
from kerasjoint.counting import History
from kerasjoint.methods.base import LocalMethod
from kerasjoint.methods.descents import Descents
from kerasjoint.methods.lockstep_hybrid import LockstepHybrid
from kerasjoint.methods.lockstep_lm import LockstepLM, in_gradients
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Solution, Status

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]

CANDIDATES = 24
# Where a descent costs several times as much as so many iterations, the starts of a descent are compared by these.
SHORT, SHORT_COST, WORTH = 20, 24, 2
# What going on from there takes of a whole descent, and the share of the budget for it.
GOING_ON = 0.3
# After so many descents of an instance that looks unsolved, only what is below its best loss goes on.
TO_THE_END = 8
# No instance spends more than so many times the budget of one, however little the others need.
MOST_SHARES = 4
# An instance looks unsolved if the noise of solved ones reaches its loss less often than this.
UNSOLVED = 1e-3
# Unless so many descents ended in its best minimum, and half of all: its noise may be larger.
AGREEING = 4
NOISE_MARGIN = 1.5
# What looks unsolved and is at most so many times as high as what noise explains may be a descent that ended short.
SHORT_OF = 3.0
POLISHING = LockstepLM(max_iterations=10)
# Without knowing the noise, of what is left for each time that short ends go on.
POLISHING_SHARE = 0.1
# Of Levenberg-Marquardt.
MOST_UNKNOWNS = 256


class Plan(NamedTuple):
    """How many candidates an instance gets, how many short descents decide between them, and how many long ones."""

    candidates: int
    shorts: int
    descents: int


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
        self._short = copy(from_start)
        self._short.max_iterations = min(SHORT, from_start.max_iterations)
        # What goes on where a short descent led.
        self._onwards, self._longer = from_start, from_guess
        if isinstance(from_start, LockstepHybrid) and from_start.changes_over(problem_set):
            self._onwards = from_start.second_half
        self._evaluations, self.value_cost = evaluations, value_cost
        self._seconds = np.inf if seconds is None else seconds
        run = from_guess.run(problem_set)
        self.best = run.solution(from_guess.name, type(from_guess).__name__)
        self._values = np.zeros(len(problem_set), dtype=np.int64)
        self._count, self._descent_evaluations = len(problem_set), float(self.best.evaluations.sum())
        self._estimates = [(self.best.z, self.best.loss)]
        self._descents = Descents(self.best, run.at_start)
        self.confirmation = self._confirm()
        self._compile_seconds = 0.0
        self._history = History(problem_set)
        # Where going on from a short end led, and whether that gained anything.
        self._polished, self._gaining = np.full(len(problem_set), np.inf), np.ones(len(problem_set), dtype=bool)
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
        return self._descent_evaluations / self._count

    @property
    def open(self) -> Rows:
        """The instances that are not confirmed, without those that had their share or have no data to explain."""
        residuals = self._descents.scale.residuals
        some = (residuals > 0) | ~residuals.any()
        return np.flatnonzero(~self.confirmation.confirmed & some & (self._spent < MOST_SHARES * self._evaluations))

    @property
    def unsolved(self) -> Rows:
        """Of these the ones whose loss is above what noise explains, and whose descents do not agree."""
        rows, known = self.open, self.confirmation
        agree = (known.hits >= AGREEING) & (2 * known.hits >= known.starts)
        return rows[~((self._descents.tail(self.best.loss) >= UNSOLVED) | agree)[rows]]

    def payable(self, rows: Rows, generator: np.random.Generator) -> Rows:
        """Return as many of ``rows`` as what is left pays a descent each for, drawn by the generator; at least one."""
        few = max(int(self.left / self.descent_cost), 1)
        return rows if few >= len(rows) else np.sort(generator.permutation(rows)[:few])

    def noise_of_observations(self, least: float, most: float) -> float:
        """Return the noise in standard deviations of y, as the best residuals suggest, between these limits."""
        y, problem = self.problem_set.y, self.problem_set.problem
        own_residuals = type(problem).residuals is not InverseProblem.residuals
        if own_residuals or not problem.sums_squares or not y.std() > 0:
            return most
        served = float(np.quantile(self.best.loss, SERVED_BETTER, method="inverted_cdf"))
        return float(np.clip(NOISE_MARGIN * np.sqrt(served / y[0].size) / y.std(), least, most))

    @property
    def estimates(self) -> tuple[FloatArray, FloatArray]:
        """Where all descents ended: z (m, d) and loss (m,)."""
        z, loss = (np.concatenate(parts) for parts in zip(*self._estimates, strict=True))
        return z, loss

    def plan(self, rows: Rows, budget: float) -> Plan:
        """Return how to spend about this budget on the instances ``rows``."""
        share, cost = budget / len(rows), self.descent_cost
        candidates = int(np.clip(0.5 * share / self.value_cost, 1, CANDIDATES))
        # Of what looks solved another descent is wanted, not a better one; fewer than eight instances do not tell.
        solved = len(self.problem_set) >= FEWEST and not np.isin(rows, self.unsolved).any()
        if solved or cost < WORTH * SHORT_COST:
            return Plan(candidates, 0, int(np.clip(0.5 * share / cost, 1, candidates)))
        descents = int(np.clip(GOING_ON * share / cost, 1, candidates))
        shorts = int((share - candidates * self.value_cost - GOING_ON * descents * cost) / SHORT_COST)
        return Plan(candidates, min(shorts, candidates) if shorts > descents else 0, descents)

    def descend(self, rows: Rows, candidates: FloatArray, plan: Plan, source: int) -> FloatArray:
        """Screen candidates by their loss, then by short descents if so planned, and descend from the best.

        Returns the lowest loss that the descents of each instance found, (m,), infinite for one without any.

        Parameters
        ----------
        rows
            The instances, (m,).
        candidates
            Normalised coordinates, (m, c, d). Each time they are dealt out into as many hands as remain, and the best
            of each hand goes on.
        plan
            How many short and long descents each instance gets.
        source
            Where the candidates come from, as for ``Descents.add``.
        """
        problem_set, size = self.problem_set, candidates.shape[2]
        first = plan.shorts or plan.descents
        if candidates.shape[1] > first:
            owners = np.repeat(rows, candidates.shape[1])
            loss = self.values(candidates.reshape(-1, size), owners)
            candidates = _best_of_hands(candidates, loss.reshape(len(rows), -1), first)
        owners, starts = np.repeat(rows, candidates.shape[1]), candidates.reshape(-1, size)
        if plan.shorts:
            owners, starts = self._promising(rows, owners, starts, plan.descents)
        lowest = np.full(len(problem_set), np.inf)
        if not owners.size:
            self._record()
            return lowest[rows]
        method = self._onwards if plan.shorts else self._from_start
        found = in_gradients(method.solve(problem_set[owners], start=starts))
        self._count += len(owners)
        self._descent_evaluations += float(found.evaluations.sum())
        self._estimates.append((found.z, found.loss))
        self._descents.add(owners, found, source)
        self.best = with_runs(self.best, owners, found)
        self.confirmation = self._confirm()
        self._record()
        np.minimum.at(lowest, owners, found.loss)
        return lowest[rows]

    def reached(self, rows: Rows, lowest: FloatArray, before: FloatArray) -> NDArray[np.bool_]:
        """Return where descents of the instances ``rows`` (m,) were as good as what was known before, (m,).

        Where that looked unsolved: better.
        """
        near = self._descents.scale.near(lowest[:, None], before[:, None], rows)[:, 0]
        return ((lowest < before) & ~near) | (near & ~np.isin(rows, self.unsolved))

    def polish(self) -> None:
        """Go on where a descent ran out of iterations and its end may be short of a minimum, as in a long valley.

        That is, short of what noise explains, or where nothing is known of the noise as long as each time costs at most
        a tenth of what is left. By Levenberg-Marquardt where that applies, else by more of the same iterations.
        """
        size = self.problem_set.space.size
        second_order = size <= MOST_UNKNOWNS and LockstepLM.applies_to(self.problem_set)
        method, cost = (POLISHING, jacobian_cost(self.problem_set)) if second_order else (self._longer, 1)
        while (rows := self._short_ends(cost * method.max_iterations)).size:
            before = self.best.loss[rows]
            found = in_gradients(method.solve(self.problem_set[rows], start=self.best.z[rows]))
            self.best = with_runs(self.best, rows, found)
            self._polished[rows] = self.best.loss[rows]
            self._gaining[rows] = ~self._descents.scale.near(self.best.loss[rows, None], before[:, None], rows)[:, 0]
            self._estimates.append((found.z, found.loss))
            self.confirmation = self._confirm()
            self._record()

    def _short_ends(self, cost: int) -> Rows:
        """Return the instances whose best descent should go on, which costs each so much."""
        best, rows = self.best, self.open
        new, short = best.loss < self._polished, best.status == Status.ITERATIONS
        if self._descents.knows_noise:
            # Once: where the noise tells solved from unsolved, other starts may serve better.
            near = best.loss <= SHORT_OF * self._descents.served(best.loss)
            return rows[(short & new & near)[rows] & np.isin(rows, self.unsolved)]
        rows = rows[(short & (self._gaining | new))[rows]]
        return rows if cost * rows.size <= POLISHING_SHARE * self.left else rows[:0]

    def _promising(self, rows: Rows, owners: Rows, starts: FloatArray, count: int) -> tuple[Rows, FloatArray]:
        """Descend a little from starts of the instances ``rows``, several of each; return of which to go on, and where.

        Of each instance the best of ``count`` hands go on; if it looks unsolved after some descents, only those below
        its best loss.
        """
        chosen = np.isin(rows, self.unsolved) & (self.confirmation.starts[rows] >= TO_THE_END)
        known = self.best.loss[rows]
        short = self._short.solve(self.problem_set[owners], start=starts)
        self.best = with_runs(self.best, owners, short)
        loss, z = short.loss.reshape(len(rows), -1), short.z.reshape(len(rows), -1, starts.shape[1])
        z, loss = _best_of_hands(z, loss, count), _best_of_hands(loss[..., None], loss, count)[..., 0]
        goes_on = (loss < known[:, None]) | ~chosen[:, None]
        return np.repeat(rows, count)[goes_on.reshape(-1)], z[goes_on]

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
        return self.best.cost(self.value_cost) + self.value_cost * self._values

    def _confirm(self) -> Confirmation:
        return self._descents.confirmation(self.best.loss)

    def _record(self) -> None:
        best = self.best
        seconds = time.perf_counter() - self._began - best.compile_seconds - self._compile_seconds
        self._history.record(len(self._history.frame) + 1, float(self._spent.mean()), seconds, best.z, best.loss)


def _best_of_hands(candidates: FloatArray, loss: FloatArray, hands: int) -> FloatArray:
    """Deal candidates (m, c, d) out into hands and return the one of lowest loss of each, (m, hands, d)."""
    rows = np.arange(len(candidates))
    best = [candidates[rows, k + hands * np.argmin(loss[:, k::hands], axis=1)] for k in range(hands)]
    return np.stack(best, axis=1)
