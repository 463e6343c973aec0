"""Amortized multi-start: starts proposed by a network that learns from the simulations of all instances."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kerasjoint import costs
from kerasjoint.checks import check_choice, check_count, check_options, check_seed
from kerasjoint.costs import FEW_UNKNOWNS
from kerasjoint.methods.base import Method, check_positive, check_problem_set, solve_slabs_alone
from kerasjoint.methods.descents import PROPOSED, RANDOM
from kerasjoint.methods.lockstep_hybrid import LockstepHybrid
from kerasjoint.methods.lockstep_lbfgs import LockstepLBFGS
from kerasjoint.methods.multi_start import RUNS_TOGETHER
from kerasjoint.methods.proposals import Proposals, proposals
from kerasjoint.methods.search import CANDIDATES, Plan, Search
from kerasjoint.models.density import COVARIANCES, MixtureDensityModel
from kerasjoint.models.registry import check_network
from kerasjoint.problem_set import ProblemSet
from kerasjoint.progress import stage
from kerasjoint.solution import Solution

Rows = NDArray[np.intp]

FIRST_STEP = 0.1
# The default budget. Of carbon dioxide (12 unknowns, n = 16, seed 0) 300 solve 6 %, 1500 all but two windows.
FEWEST_EVALUATIONS, EVALUATIONS_PER_UNKNOWN = 300, 100
# The pilot of random starts: on so many instances, so many descents, for at most this share of the budget.
PILOT, FEWEST_PILOTS, PILOT_STARTS, PILOT_SHARE = 8, 3, 4, 0.2
# Descents to the same minimum that confirm it, in the mean.
NEEDED = 5
# Random starts go on while they are expected to need at most this share of what is left.
RANDOM_SHARE = 0.5
MORE = Plan(CANDIDATES // 2, 0, 2)
PAIRS_SHARE = 0.4
# Training steps of a round, within these limits.
STEPS_PER_UNKNOWN, STEPS = 64, (150, 4000)
FEWEST_PAIRS, MOST_PAIRS = 256, 65_536
# Descents of an instance at a time, once all rounds are over.
AT_A_TIME = 4


class AmortizedMultiStart(Method):
    """L-BFGS from the guess, from random starts, and from starts that a network proposes, until all is confirmed.

    1. ``LockstepLBFGS`` from the guess: the result is never worse than that.
    2. Random starts, screened by their loss, for a few instances. As long as they promise to confirm the others within
       half of the budget, all get some, and no network is trained.
    3. Otherwise unknowns are drawn from the prior, combined with the conditions of the given instances and simulated,
       and a ``MixtureDensityModel`` learns p(z | x, y) from these pairs. For every instance that does not yet look
       solved it proposes starts; these are screened, and the best refined. The next round draws its pairs from the
       proposals, and from a widened Gaussian around the better half of all refined estimates: solved instances teach
       the others. Rounds go on while instances look unsolved, and train where that costs less than more starts of the
       same network would. With more than eight unknowns descents from starts change over to Levenberg-Marquardt
       (``LockstepHybrid``), and what ends short in a long valley goes on by that in any case. Without a single tensor
       as prediction, of the observation's shape, or where the budget is too small for 256 pairs, starts stay random.
    4. What is left serves the instances that are not confirmed yet. It ends when all are.

    A set of more than 64 MB is solved in slabs of some thousands of instances, each with a budget and a network of its
    own, so that memory is bounded.

    This is sequential neural posterior estimation with truncated proposals (Greenberg et al., 2019; Deistler et al.,
    2022) with an empirical prior across instances; no correction is needed, since every start is judged by the true
    objective. ``kerasjoint.confirmation.confirm`` says when an instance is confirmed.

    Parameters
    ----------
    evaluations
        Budget per instance, in values with gradient; ``None``: 100 for each unknown, at least 300. A value without
        gradient counts as ``value_cost`` of one. It is shared: an instance that needs more gets what others leave, up
        to four times as much. The descents from the guess are always made, and counted; no descent is cut off.
    seconds
        Budget of wall time with all compilation, which in a fresh process may take most of a minute; looked at between
        descents. ``None`` for none. Results then depend on the machine's speed.
    rounds
        At most so many rounds of training, in which the budget is spent evenly.
    value_cost
        What a value costs beside a value with gradient; ``None``: a third, or 1 / (d + 1) where gradients are finite
        differences of d + 1 simulations.
    steps
        Training steps of a round; ``None``: 64 for each unknown, at least 150 and at most 4000.
    max_iterations, tolerance
        Of each descent, as in ``LocalMethod``.
    network, network_options, components, covariance
        Of the ``MixtureDensityModel``, which chooses them by itself.

    Example
    -------
    >>> solution = AmortizedMultiStart(evaluations=300).solve(problem_set, seed=0)
    >>> solution.confirmed.mean(), solution.hits, solution.minima
    """

    name = "amortized-multi-start"
    role = "learned"

    def __init__(
        self,
        evaluations: int | None = None,
        seconds: float | None = None,
        rounds: int = 6,
        value_cost: float | None = None,
        steps: int | None = None,
        max_iterations: int = 200,
        tolerance: float = 1e-12,
        network: str = "auto",
        network_options: dict[str, Any] | None = None,
        components: int | None = None,
        covariance: str = "auto",
    ) -> None:
        given = {"value_cost": value_cost, "seconds": seconds}
        check_positive(**{name: number for name, number in given.items() if number is not None})
        self.evaluations = None if evaluations is None else check_count("evaluations", evaluations)
        self.seconds = seconds
        self.rounds = check_count("rounds", rounds)
        self.value_cost = None if value_cost is None else float(value_cost)
        self.steps = None if steps is None else check_count("steps", steps)
        self.network = check_network(network)
        self.network_options = check_options("network_options", network_options)
        self.components = None if components is None else check_count("components", components)
        self.covariance = check_choice("covariance", covariance, ("auto", *COVARIANCES))
        self._from_guess = LockstepLBFGS(max_iterations, tolerance=tolerance)
        self._from_start = LockstepLBFGS(max_iterations, tolerance=tolerance, first_step=FIRST_STEP)
        self._with_many_unknowns = LockstepHybrid(max_iterations, tolerance=tolerance, first_step=FIRST_STEP)

    def solve(self, problem_set: ProblemSet, seed: int = 0) -> Solution:
        """Solve all instances; ``seed`` draws the pairs, the initial weights and the starts."""
        n, seed = len(check_problem_set(problem_set)), check_seed(seed)
        if len(problem_set.slabs()) > 1:
            parts, each = problem_set.slabs(RUNS_TOGETHER), copy(self)
            each.seconds = self.seconds and self.seconds / len(parts)
            return solve_slabs_alone(each, problem_set, parts, seed)
        generator = np.random.default_rng(np.random.SeedSequence([seed, 2]))
        budget = self.evaluations or max(FEWEST_EVALUATIONS, EVALUATIONS_PER_UNKNOWN * problem_set.space.size)
        network_seed = int(np.random.SeedSequence([seed, 3]).generate_state(1)[0] % 2**28)
        with stage(self.name, total=n) as done:
            search = self._begin(problem_set, budget)

            def report() -> None:
                done(int(search.confirmation.confirmed.sum()))

            search.polish()
            random = _RandomStarts(search, generator)
            random.run(report)
            steps = self.steps or int(np.clip(STEPS_PER_UNKNOWN * problem_set.space.size, *STEPS))
            count = self._pairs(search, steps)
            if count < FEWEST_PAIRS:
                self._finish(search, {RANDOM: random}, generator)
            else:
                with proposals(search, count, steps, self._settings, network_seed, generator) as network:
                    trained = self._rounds(search, network, count, generator, report)
                    sources: dict[int, _Starts] = {PROPOSED: network, RANDOM: random} if trained else {RANDOM: random}
                    self._finish(search, sources, generator)
            done(n)
        return search.solution(self.name, type(self).__name__)

    @property
    def _settings(self) -> dict[str, Any]:
        names = "network", "network_options", "components", "covariance"
        return {name: getattr(self, name) for name in names}

    def _begin(self, problem_set: ProblemSet, budget: int) -> Search:
        """Descend from the guess."""
        from_start = self._with_many_unknowns if problem_set.space.size > FEW_UNKNOWNS else self._from_start
        price = costs.value_cost(problem_set) if self.value_cost is None else self.value_cost
        return Search(problem_set, self._from_guess, from_start, budget, price, self.seconds)

    def _pairs(self, search: Search, steps: int) -> int:
        """Return how many pairs each round simulates: equally many, so that the training is compiled once.

        At most as many as the steps of a round look at.
        """
        problem_set = search.problem_set
        if not (search.open.size and problem_set.evaluator.predicts_observation(problem_set.one)):
            return 0
        batch = MixtureDensityModel.batch_for(problem_set, self.network, self.network_options)
        most = min(max(batch * steps, FEWEST_PAIRS), MOST_PAIRS)
        return int(min(PAIRS_SHARE * search.left / self.rounds / search.value_cost, most))

    def _rounds(
        self,
        search: Search,
        network: Proposals,
        count: int,
        generator: np.random.Generator,
        done: Callable[[], None],
    ) -> bool:
        """Train and descend, as long as instances look unsolved and the budget lasts; return whether that began.

        Trained is only where that costs less than to go on with what the network knows already.
        """
        number, price = 0, count * search.value_cost
        # What it last took the present network to solve an instance; if it solved none, all that was in vain.
        known, in_vain = np.inf, 0.0
        while number < self.rounds:
            # For starts of what looks solved and is not confirmed, a network is trained once.
            unsolved, left = search.unsolved, search.left
            rows = unsolved if unsolved.size or number else search.open
            if not rows.size or left < price + search.descent_cost:
                return number > 0
            each = left / (self.rounds - number) - price
            if known * len(rows) > price:
                if not network.learn():
                    return False
                number, in_vain = number + 1, 0.0
            rows, left = search.payable(rows, generator), search.left
            before, plan = len(search.unsolved), search.plan(rows, each)
            search.descend(rows, network.propose(rows, plan.candidates), plan, PROPOSED)
            search.polish()
            spent, solved = left - search.left, before - len(search.unsolved)
            in_vain = 0.0 if solved > 0 else in_vain + spent
            known = spent / solved if solved > 0 else in_vain
            done()
        return True

    def _finish(self, search: Search, sources: dict[int, _Starts], generator: np.random.Generator) -> None:
        """Spend what is left: on instances that do not look solved, then on those that are not confirmed.

        A network may be sure of a wrong minimum. So random starts are tried too, as often as they do better.
        """
        reached, tried = dict.fromkeys(sources, 1), dict.fromkeys(sources, 2)
        while (left := search.left) > 0 and search.open.size:
            rows = search.unsolved if search.unsolved.size else search.open
            # Squared: a source that does worse is mostly not asked.
            rates = np.array([reached[source] / tried[source] for source in sources]) ** 2
            source = int(generator.choice(list(sources), p=rates / rates.sum()))
            # A few at a time: with every start that solves an instance the others need less.
            each = AT_A_TIME
            if len(sources) > 1 and tried[source] == 2:
                rows, each = np.sort(generator.permutation(rows)[:PILOT]), 1
            rows = search.payable(rows, generator)
            budget = min(left, 2 * each * search.descent_cost * len(rows))
            plan, before = search.plan(rows, budget), search.best.loss[rows]
            lowest = search.descend(rows, sources[source].propose(rows, plan.candidates), plan, source)
            reached[source] += int(search.reached(rows, lowest, before).sum())
            tried[source] += len(rows)
            search.polish()


class _Starts(Protocol):
    """Where starts come from."""

    def propose(self, rows: Rows, count: int) -> NDArray[np.float64]:
        """Return starts (m, count, d) of the instances ``rows`` (m,)."""


class _RandomStarts:
    """Random starts, and the decision for how long they serve."""

    def __init__(self, search: Search, generator: np.random.Generator) -> None:
        self._search, self._generator = search, generator

    def propose(self, rows: Rows, count: int) -> NDArray[np.float64]:
        """Return starts (m, count, d) of the instances ``rows`` (m,)."""
        starts = self._search.problem_set.draw_starts(np.repeat(rows, count), self._generator)
        return starts.reshape(len(rows), count, -1)

    def run(self, done: Callable[[], None]) -> None:
        """Descend as long as that promises to confirm all within half of what is left."""
        search = self._search
        # With few instances a pilot of fewer.
        payable = int(PILOT_SHARE * search.left / (2 * PILOT_STARTS * search.descent_cost))
        pilot = search.open[: min(PILOT, payable)]
        # At best all descents end in the minimum sought.
        needed = len(search.open) * search.descent_cost * (1 if (search.confirmation.missed == 0).any() else NEEDED)
        if len(pilot) < np.clip(len(search.open), 1, FEWEST_PILOTS) or needed > RANDOM_SHARE * search.left:
            return
        search.descend(pilot, self.propose(pilot, CANDIDATES), Plan(CANDIDATES, 0, PILOT_STARTS), RANDOM)
        tried = pilot
        while (rows := search.open).size and self._expected(tried, rows) <= RANDOM_SHARE * search.left:
            search.descend(rows, self.propose(rows, MORE.candidates), MORE, RANDOM)
            tried = np.union1d(tried, rows)
            done()

    def _expected(self, tried: Rows, rows: Rows) -> float:
        """Return what it is expected to cost to confirm the instances ``rows`` by random starts.

        Judged by how many of the descents of those ``tried`` ended where the best of the same instance did.
        """
        search, known = self._search, self._search.confirmation
        others = np.maximum(known.hits[tried] - 1, 0).sum() / max((known.starts[tried] - 1).sum(), 1)
        sure = known.missed[tried] == 0
        if sure.any():
            # Where a single descent can be sure of its minimum, one is enough.
            return float(len(rows) * search.descent_cost / sure.mean() * known.starts[tried].mean())
        return float(len(rows) * NEEDED / max(others, 1e-9) * search.descent_cost)
