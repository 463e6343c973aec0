"""Amortized multi-start: starts proposed by a network that learns from the simulations of all instances."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasjoint.checks import check_count, check_options
from kerasjoint.counting import History
from kerasjoint.errors import ArgumentError
from kerasjoint.keras_backend import require_tensorflow
from kerasjoint.methods.base import Method, check_positive, check_problem_set
from kerasjoint.methods.lockstep_lbfgs import LockstepLBFGS
from kerasjoint.models import MixtureDensityModel
from kerasjoint.problem_set import ProblemSet
from kerasjoint.progress import stage
from kerasjoint.solution import Solution, with_runs

require_tensorflow()

import keras  # noqa: E402

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]

PAIRS_SHARE = 0.4
MOST_PAIRS = 65_536
# The rounds whose pairs are trained on.
PAIRS_KEPT = 3
RATE = 1e-3
FEWEST_PAIRS = 256
PROPOSED_PAIRS = 0.4
WIDENING = 1.5
CANDIDATES = 24
FIRST_STEP = 0.1
LOOKS_SOLVED = 1.3
# So many descents, from different starts, must have ended at the best loss of an instance, up to this share of it.
HITS = 3
SAME = 1e-3
# Of the median loss at the guess: what is less counts as zero.
NEGLIGIBLE = 1e-9


class AmortizedMultiStart(Method):
    """L-BFGS from the guess, then from starts that a network proposes, in rounds; the best of all is kept.

    1. ``LockstepLBFGS`` from the guess: the result is never worse than that.
    2. Unknowns are drawn (in the first round uniformly within bounds, or normally by scale), combined with the
       conditions of the given instances and simulated. A ``MixtureDensityModel`` learns p(z | x, y) from these pairs.
    3. For every instance that does not yet look solved it proposes starts. These are screened by their loss, and the
       best are refined, as many as the budget allows.
       Where the budget is too small for pairs, or the prediction is no observation, starts are random instead.
    4. The next round draws its pairs from the proposals, and from a widened Gaussian around the better half of all
       refined estimates: solved instances teach the others.

    This is sequential neural posterior estimation with truncated proposals (Greenberg et al., 2019; Deistler et al.,
    2022) with an empirical prior across instances; no correction is needed, since every start is judged by the true
    objective. An instance looks solved while its loss is at most 1.3 times that of the best tenth. When all do, what is
    left of the budget serves those whose minimum fewer than three starts have found, and then the search ends.

    Parameters
    ----------
    evaluations
        Budget per instance, in values with gradient. A value without gradient counts as ``value_cost`` of one.
    rounds
        At most so many rounds, in which the budget is spent evenly.
    value_cost
        What a value costs beside a value with gradient.
    steps
        Training steps of a round.
    max_iterations, tolerance
        Of each descent, as in ``LocalMethod``.
    network, network_options, components
        Of the ``MixtureDensityModel``.

    Example
    -------
    >>> AmortizedMultiStart(evaluations=300).solve(problem_set, seed=0)
    """

    name = "amortized-multi-start"
    role = "learned"

    def __init__(
        self,
        evaluations: int = 300,
        rounds: int = 6,
        value_cost: float = 1 / 3,
        steps: int = 300,
        max_iterations: int = 200,
        tolerance: float = 1e-12,
        network: str = "residual",
        network_options: dict[str, Any] | None = None,
        components: int = 8,
    ) -> None:
        check_positive(value_cost=value_cost)
        self.evaluations = check_count("evaluations", evaluations)
        self.rounds = check_count("rounds", rounds)
        self.value_cost = float(value_cost)
        self.steps = check_count("steps", steps)
        self.components = check_count("components", components)
        self.network = network
        self.network_options = check_options("network_options", network_options)
        self._from_guess = LockstepLBFGS(max_iterations, tolerance=tolerance)
        self._from_proposal = LockstepLBFGS(max_iterations, tolerance=tolerance, first_step=FIRST_STEP)

    def solve(self, problem_set: ProblemSet, seed: int = 0) -> Solution:
        """Solve all instances; ``seed`` draws the pairs, the initial weights and the starts."""
        search = _Search(self, check_problem_set(problem_set), seed)
        with stage(self.name, total=self.rounds) as done:
            for number in range(self.rounds):
                if not search.round(number):
                    break
                done(number + 1)
        search.finish()
        return search.solution()


class _Search:
    """The state of one solve: the best point, cost and refined estimates of each instance, and the pairs so far."""

    def __init__(self, method: AmortizedMultiStart, problem_set: ProblemSet, seed: int) -> None:
        self._method, self._problem_set = method, problem_set
        self._generator = np.random.default_rng(np.random.SeedSequence([seed, 2]))
        self._seed = int(np.random.SeedSequence([seed, 3]).generate_state(1)[0] % 2**28)
        self._best = method._from_guess.solve(problem_set)
        self._at_guess = float(np.median(problem_set.objective(problem_set.guess)))
        self._values = np.zeros(len(problem_set))
        self._estimates = [(self._best.z, self._best.loss)]
        self._ended = [(np.arange(len(problem_set)), self._best.loss)]
        self._pairs: list[ProblemSet] = []
        self._model: MixtureDensityModel | None = None
        self._seconds = self._compile_seconds = 0.0
        # As many pairs in every round, so that the training is compiled once.
        share = max(method.evaluations * len(problem_set) - self._spent().sum(), 0.0) / method.rounds
        self._count = int(min(PAIRS_SHARE * share / method.value_cost, MOST_PAIRS))
        if not problem_set.evaluator.predicts_observation(problem_set.data):
            self._count = 0
        self._descents = len(problem_set)
        self._history = History(problem_set)
        self._record()

    @property
    def open(self) -> Rows:
        """The instances that do not look solved."""
        loss = self._best.loss
        level = LOOKS_SOLVED * np.quantile(loss, 0.1, method="inverted_cdf") + NEGLIGIBLE * abs(self._at_guess)
        return np.flatnonzero(~(loss <= level))

    @property
    def _hits(self) -> NDArray[np.int64]:
        """How many descents of each instance ended in its best minimum, (n,)."""
        loss = self._best.loss
        level = loss + SAME * np.abs(loss) + NEGLIGIBLE * abs(self._at_guess)
        hits = np.zeros(len(loss), dtype=np.int64)
        for rows, ended in self._ended:
            np.add.at(hits, rows, ended <= level[rows])
        return hits

    def round(self, number: int) -> bool:
        """Run one round; return whether there was anything to do, and budget to do it."""
        method, rows = self._method, self.open
        left = method.evaluations * len(self._problem_set) - self._spent().sum()
        if not rows.size or self._count < FEWEST_PAIRS or left < self._count * method.value_cost:
            return False
        self._simulate(self._count)
        self._train()
        self._refine(rows, left / (method.rounds - number) - self._count * method.value_cost)
        return True

    def finish(self) -> None:
        """Spend what is left: on instances that do not look solved, then on those whose minimum was found once only."""
        total = self._method.evaluations * len(self._problem_set)
        while (left := total - self._spent().sum()) > 0:
            rows = self.open if self.open.size else np.flatnonzero(self._hits < HITS)
            if not rows.size:
                return
            few = max(int(left / self._descent_cost), 1)
            # A few at a time: with every start that solves an instance the others need less.
            share = 2 * HITS * self._descent_cost * len(rows)
            self._refine(rows if few >= len(rows) else self._generator.permutation(rows)[:few], min(left, share))

    def solution(self) -> Solution:
        """Return the best points, with the cost of everything."""
        curve = pd.concat([self._best.history.iloc[:1], self._history.frame], ignore_index=True)
        return replace(
            self._best,
            method=self._method.name,
            solver=type(self._method).__name__,
            history=curve,
            evaluations=np.ceil(self._spent()).astype(np.int64),
            seconds=self._best.seconds + self._seconds,
            compile_seconds=self._best.compile_seconds + self._compile_seconds,
        )

    def _spent(self) -> FloatArray:
        return self._best.evaluations + self._method.value_cost * self._values

    def _simulate(self, count: int) -> None:
        """Simulate pairs of unknowns and observations under conditions of the given instances."""
        problem_set, generator = self._problem_set, self._generator
        rows = generator.integers(len(problem_set), size=count)
        z = self._draw(rows)
        xi = problem_set.space.move_inside(problem_set.space.to_xi(z, problem_set.guess[rows]), 1e-9)
        x = {name: array[rows] for name, array in problem_set.x.items()}
        y = problem_set.evaluator.predict(xi, x)
        self._values += count / len(problem_set)
        good = np.isfinite(y.reshape(count, -1)).all(axis=1)
        if good.any():
            x = {name: array[good] for name, array in x.items()}
            guess = problem_set.guess[rows[good]]
            self._pairs = [*self._pairs[1 - PAIRS_KEPT :], ProblemSet(problem_set.problem, x, y[good], xi[good], guess)]

    def _draw(self, rows: Rows) -> FloatArray:
        """Draw unknowns in normalised coordinates, (m, d): from the prior, or from what was learned so far."""
        problem_set, generator = self._problem_set, self._generator
        if self._model is None:
            return problem_set.space.draw(problem_set.guess[rows], generator)
        z = self._around_estimates(len(rows))
        proposed = generator.uniform(size=len(rows)) < PROPOSED_PAIRS
        starts = self._model.propose(problem_set, 2 * CANDIDATES, int(generator.integers(2**31)))
        z[proposed] = starts[rows[proposed], generator.integers(starts.shape[1], size=int(proposed.sum()))]
        return z

    def _around_estimates(self, count: int) -> FloatArray:
        """Draw from a widened Gaussian of the better half of all refined estimates."""
        z, loss = (np.concatenate(parts) for parts in zip(*self._estimates, strict=True))
        better = z[loss <= np.median(loss)]
        spread = np.atleast_2d(np.cov(better.T)) if len(better) > 1 else np.eye(z.shape[1])
        jitter = 1e-6 * np.eye(z.shape[1]) * max(float(np.trace(spread)), 1e-12)
        return self._generator.multivariate_normal(better.mean(axis=0), WIDENING**2 * spread + jitter, size=count)

    def _train(self) -> None:
        method = self._method
        if not self._pairs:
            raise ArgumentError(self._problem_set.problem.hook_name("forward"), "some finite predictions", "none")
        examples = ProblemSet.concatenate(self._pairs)
        examples = examples[np.resize(np.arange(len(examples)), PAIRS_KEPT * self._count)]
        if self._model is None:
            self._model = MixtureDensityModel.for_problem_set(
                self._problem_set, method.network, method.network_options, self._seed, method.components
            )
            # Each round begins with the full rate again.
            rate = keras.optimizers.schedules.CosineDecayRestarts(RATE, method.steps, t_mul=1.0)
            self._model.compile(optimizer=keras.optimizers.Adam(rate, global_clipnorm=1.0))
        # Pairs of every round are other instances: nothing of the last ones is kept.
        self._model.state = None
        self._model.fit(examples, epochs=method.steps, verbose=0)
        state = self._model.state
        assert state is not None
        self._seconds += state.seconds
        self._compile_seconds += state.compile_seconds

    @property
    def _descent_cost(self) -> float:
        """What a descent took on average."""
        return float(self._best.evaluations.sum()) / self._descents

    def _refine(self, rows: Rows, budget: float) -> None:
        """Propose, screen and refine starts of the instances ``rows`` (m,), within about this budget."""
        problem_set, method = self._problem_set, self._method
        share = budget / len(rows)
        count = int(np.clip(0.5 * share / method.value_cost, 1, CANDIDATES))
        descents = int(np.clip(0.5 * share / self._descent_cost, 1, count))
        starts = self._propose(rows, count)
        flat, owners = starts.reshape(-1, starts.shape[2]), np.repeat(rows, count)
        xi = problem_set.space.to_xi(flat, problem_set.guess[owners])
        loss = problem_set.objective(xi, owners).reshape(len(rows), count)
        self._values[rows] += count
        order = np.argsort(loss, axis=1, kind="stable")[:, :descents]
        chosen = np.take_along_axis(starts, order[..., None], axis=1).reshape(-1, starts.shape[2])
        owners = np.repeat(rows, order.shape[1])
        self._keep(owners, method._from_proposal.solve(problem_set[owners], start=chosen))
        self._descents += len(owners)
        self._record()

    def _propose(self, rows: Rows, count: int) -> FloatArray:
        """Return starts (m, count, d) of the instances ``rows`` (m,): proposed, or random without a network."""
        if self._model is not None:
            return self._model.propose(self._problem_set[rows], count, int(self._generator.integers(2**31)))
        guess = self._problem_set.guess[np.repeat(rows, count)]
        return self._problem_set.space.draw(guess, self._generator).reshape(len(rows), count, -1)

    def _keep(self, rows: Rows, found: Solution) -> None:
        """Keep the better of each instance; ``found`` are descents of the instances ``rows`` (m,)."""
        self._estimates.append((found.z, found.loss))
        self._ended.append((rows, found.loss))
        self._best = with_runs(self._best, rows, found)

    def _record(self) -> None:
        best, seconds = self._best, self._best.seconds + self._seconds
        self._history.record(len(self._history.frame) + 1, float(self._spent().mean()), seconds, best.z, best.loss)
