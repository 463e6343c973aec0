"""Starts proposed by a network that learns p(z | x, y) from simulated pairs, round after round."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasjoint.keras_backend import require_tensorflow
from kerasjoint.loss_scale import missing_values
from kerasjoint.methods.search import CANDIDATES, Search
from kerasjoint.methods.training import MODELS
from kerasjoint.models import MixtureDensityModel
from kerasjoint.models.whole_set import compile_ahead
from kerasjoint.problem_set import ProblemSet

require_tensorflow()

import keras  # noqa: E402

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]

# The rounds whose pairs are trained on.
PAIRS_KEPT = 3
PROPOSED_PAIRS = 0.4
# Of the others, in later rounds too, where the problem states a prior.
PRIOR_PAIRS = 0.5
WIDENING = 1.5
# Estimates far outside of these quantiles are moved nearer.
TRIMMED = (0.05, 0.95)
# Predictions go beyond observations by at most so many times their range.
BEYOND = 3.0
# From so many steps on XLA, a third to a half faster, makes up for its seconds of compilation.
LONG = 500
# Of the matrices; biases and normalisations move at a quarter of the rate by Adam.
RATE, MOMENTUM, ADAM_SHARE, ADAM_MOMENTUM = 2e-2, 0.85, 0.25, 0.8
# In standard deviations of y.
LEAST_NOISE, MOST_NOISE = 0.02, 0.5


class Proposals:
    """A density network and the pairs it learns from.

    In the first round unknowns come from the prior. Later ones come from the proposals for the given observations, and
    from a widened Gaussian around the better half of all refined estimates.

    Parameters
    ----------
    search
        What was found so far; simulations are counted there.
    model
        The compiled network, with fresh weights.
    compiled
        The compilation of its training, under way while the first pairs are simulated.
    count, steps
        Pairs and training steps of a round.
    generator
        Draws everything.
    """

    def __init__(
        self,
        search: Search,
        model: MixtureDensityModel,
        compiled: Future[None],
        count: int,
        steps: int,
        generator: np.random.Generator,
    ) -> None:
        self._search, self._model, self._compiled, self._generator = search, model, compiled, generator
        self._count, self._steps = count, steps
        self._pairs: list[ProblemSet] = []
        self._missing = missing_values(search.problem_set)

    def learn(self) -> bool:
        """Run a round: simulate pairs, and train on those of the last rounds; return whether any was finite."""
        pairs = self._simulate()
        began = time.perf_counter()
        self._compiled.result()
        self._search.count_seconds(time.perf_counter() - began)
        self._pairs = [*pairs, *self._pairs[: PAIRS_KEPT - 1]]
        if not self._pairs:
            return False
        examples = ProblemSet.concatenate(self._pairs)
        # Of more pairs than a round's steps look at, some are left out: fewer to copy.
        shuffled = self._generator.permutation(len(examples))
        examples = examples[np.resize(shuffled, examples_of(self._count, self._steps * self._model.batch))]
        # Pairs of every round are other instances: nothing of the last ones is kept.
        self._model.state = None
        self._model.noise = self._search.noise_of_observations(LEAST_NOISE, MOST_NOISE)
        self._model.fit(examples, epochs=self._steps, verbose=0)
        assert self._model.state is not None
        self._search.count_seconds(self._model.state.compile_seconds)
        return True

    def propose(self, rows: Rows, count: int) -> FloatArray:
        """Return starts (m, count, d) of the instances ``rows`` (m,)."""
        return self._model.propose(self._search.problem_set[rows], count, int(self._generator.integers(2**31)))

    def _simulate(self) -> list[ProblemSet]:
        """Simulate pairs under conditions of the given instances; none if no prediction is finite."""
        problem_set = self._search.problem_set
        rows = self._generator.integers(len(problem_set), size=self._count)
        z = self._draw(rows)
        xi = problem_set.space.move_inside(problem_set.space.to_xi(z, problem_set.guess[rows]), 1e-9)
        x = {name: array[rows] for name, array in problem_set.x.items()}
        y = problem_set.evaluator.predict(xi, x)
        self._search.count_values(rows)
        good = np.isfinite(y.reshape(len(y), -1)).all(axis=1)
        if not good.any():
            return []
        x, rows = {name: array[good] for name, array in x.items()}, rows[good]
        return [ProblemSet(problem_set.problem, x, self._as_observed(y[good], rows), xi[good], problem_set.guess[rows])]

    def _as_observed(self, y: FloatArray, rows: Rows) -> FloatArray:
        """Make predictions (m, ...) look like observations of the instances ``rows``, which the network is asked about.

        Missing values are those of the instance, and what is far beyond all observations is moved nearer, so that it
        does not decide how inputs are scaled.
        """
        observed = self._search.problem_set.y
        low, high = observed.min(), observed.max()
        beyond = BEYOND * max(high - low, abs(low), abs(high))
        y = np.clip(y, low - beyond, high + beyond)
        return y if self._missing is None else np.where(self._missing[rows], observed[rows], y)

    def _draw(self, rows: Rows) -> FloatArray:
        """Draw unknowns in normalised coordinates, (m, d): from the prior, or from what was learned so far."""
        problem_set, generator = self._search.problem_set, self._generator
        if not self._pairs:
            return problem_set.draw_starts(rows, generator)
        z = self._around_estimates(len(rows))
        if problem_set.problem.has_prior:
            anew = generator.uniform(size=len(rows)) < PRIOR_PAIRS
            z[anew] = problem_set.draw_starts(rows[anew], generator)
        proposed = generator.uniform(size=len(rows)) < PROPOSED_PAIRS
        given, own = np.unique(rows[proposed], return_inverse=True)
        starts = self._model.propose(problem_set[given], 2 * CANDIDATES, int(generator.integers(2**31)))
        z[proposed] = starts[own, generator.integers(starts.shape[1], size=len(own))]
        return z

    def _around_estimates(self, count: int) -> FloatArray:
        """Draw from a widened Gaussian of the better half of all refined estimates."""
        z, loss = self._search.estimates
        better = z[loss <= np.median(loss)]
        low, high = np.quantile(better, TRIMMED, axis=0)
        # A descent may have run away.
        better = np.clip(better, low - (high - low), high + (high - low))
        spread = np.atleast_2d(np.cov(better.T)) if len(better) > 1 else np.eye(z.shape[1])
        jitter = 1e-6 * np.eye(z.shape[1]) * max(float(np.trace(spread)), 1e-12)
        return self._generator.multivariate_normal(better.mean(axis=0), WIDENING**2 * spread + jitter, size=count)


def examples_of(count: int, read: int) -> int:
    """Return how many examples a round trains on, with ``count`` new pairs: a power of two, so that it compiles once.

    At most as many as its steps read.
    """
    return int(2 ** np.ceil(np.log2(min(PAIRS_KEPT * count, read))))


@contextmanager
def proposals(
    search: Search, count: int, steps: int, settings: dict[str, Any], seed: int, generator: np.random.Generator
) -> Iterator[Proposals]:
    """Lend a compiled network with fresh weights for a search; ``settings`` go to ``MixtureDensityModel``."""

    def optimizer() -> keras.optimizers.Optimizer:
        # Each round begins with the full rate again.
        schedule = keras.optimizers.schedules.CosineDecayRestarts(RATE, steps, t_mul=1.0)
        # Half of the steps of Adam or fewer for the same likelihood (Jordan et al., 2024). Three of its iterations are
        # as good as the usual five.
        return keras.optimizers.Muon(
            schedule, ADAM_MOMENTUM, adam_weight_decay=None, weight_decay=None, exclude_embeddings=False,
            adam_lr_ratio=ADAM_SHARE, momentum=MOMENTUM, ns_steps=3,
        )  # fmt: skip

    problem_set = search.problem_set
    batch = MixtureDensityModel.batch_for(problem_set, settings["network"], settings["network_options"])
    examples = examples_of(count, steps * batch)
    like = ProblemSet(problem_set.problem, problem_set[:1].x, problem_set.y[:1], problem_set.guess[:1])
    with (
        MODELS.borrow(
            MixtureDensityModel, problem_set, seed, settings, optimizer, ("proposals", steps, examples), steps >= LONG
        ) as model,
        ThreadPoolExecutor(1) as beside,
    ):
        compiled = beside.submit(compile_ahead, model, like, examples)
        yield Proposals(search, model, compiled, count, steps, generator)
