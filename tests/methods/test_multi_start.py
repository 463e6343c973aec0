from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import assert_same_bits

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, Unknown
from kerasjoint.methods import LockstepHybrid, LockstepLBFGS, MultiStart

BUDGET = 200


@pytest.fixture(scope="module")
def waves(wave_packet: ProblemSet) -> ProblemSet:
    return wave_packet.problem.sample(16, seed=3)


def test_it_never_loses_to_a_single_start_and_finds_more(waves: ProblemSet) -> None:
    once, many = LockstepLBFGS().solve(waves), MultiStart(BUDGET).solve(waves, seed=0)
    assert (many.loss <= once.loss).all()
    assert many.solved.sum() > once.solved.sum() + 4
    np.testing.assert_array_equal(many.loss, waves.objective(many.xi))
    np.testing.assert_allclose(waves.problem.space.to_xi(many.z, waves.guess), many.xi, rtol=1e-15)
    assert many.history["mean"].is_monotonic_decreasing
    assert many.history["mean"].iloc[1] == pytest.approx(once.loss.mean())
    assert many.history["evaluations"].iloc[-1] == many.evaluations.mean()


def test_the_budget_is_used_and_hardly_exceeded(waves: ProblemSet) -> None:
    solution = MultiStart(BUDGET).solve(waves, seed=0)
    assert (solution.evaluations >= BUDGET).all()
    assert solution.evaluations.mean() < 1.3 * BUDGET
    one = MultiStart(1).solve(waves)
    assert_same_bits(one, LockstepLBFGS().solve(waves))


class Bent(InverseProblem):
    """Nine unknowns of very different weight: long valleys."""

    unknowns = (Unknown("u", shape=(9,), scale=1.0),)

    def forward(self, xi, x):
        return (xi["u"] + 0.3 * tf.sin(3 * tf.roll(xi["u"], 1, axis=1))) * np.logspace(0, -3, 9)


def test_runs_may_change_over_and_pay_for_their_jacobians() -> None:
    y = Bent().simulate(np.random.default_rng(0).normal(size=(4, 9)), {})
    problem_set = ProblemSet(Bent(), {}, y)
    many = MultiStart(BUDGET, local_method="lockstep-hybrid").solve(problem_set)
    assert (many.evaluations >= BUDGET).all()
    assert (many.evaluations > many.jacobians * 3).all()
    one = MultiStart(1, local_method="lockstep-hybrid").solve(problem_set)
    alone = LockstepHybrid().solve(problem_set)
    np.testing.assert_array_equal(one.xi, alone.xi)
    # Nine unknowns: a Jacobian counts as three.
    np.testing.assert_array_equal(one.evaluations, alone.evaluations + 2 * alone.jacobians)
    assert (alone.jacobians > 0).all()
    with pytest.raises(ArgumentError, match="local_method: expected one of lockstep-lbfgs, lockstep-hybrid"):
        MultiStart(local_method="lbfgs")


def test_seeds_make_the_starts(waves: ProblemSet) -> None:
    first = MultiStart(BUDGET).solve(waves, seed=0)
    assert_same_bits(first, MultiStart(BUDGET).solve(waves, seed=0))
    assert (first.evaluations != MultiStart(BUDGET).solve(waves, seed=1).evaluations).any()


def test_starts_fill_the_bounds_or_surround_the_guess(waves: ProblemSet, rosenbrock: ProblemSet) -> None:
    rows = np.tile(np.arange(len(waves)), 200)
    space = waves.problem.space
    starts = space.to_xi(space.draw(waves.guess[rows], np.random.default_rng(0)), waves.guess[rows])
    share = ((starts - space.lower) / (space.upper - space.lower))[:, 0]
    assert np.histogram(share, 4, (0, 1))[0] == pytest.approx(np.full(4, len(rows) / 4), rel=0.1)
    free = rosenbrock.space.draw(rosenbrock.guess[np.tile(np.arange(4), 500)], np.random.default_rng(0))
    assert free.mean(axis=0) == pytest.approx([0, 0], abs=0.1)
    assert free.std(axis=0) == pytest.approx([1, 1], abs=0.1)


@pytest.mark.parametrize("evaluations", [0, -5, 2.5, True])
def test_a_useless_budget_is_refused(evaluations: object) -> None:
    with pytest.raises(ArgumentError, match="evaluations: expected a positive integer"):
        MultiStart(evaluations)


class Tone(InverseProblem):
    """A phase between bounds, at which descents from both sides end."""

    unknowns = (Unknown("frequency", lower=1.0, upper=12.0), Unknown("phase", lower=-np.pi, upper=np.pi))

    def forward(self, xi, x):
        return tf.cos(xi["frequency"][:, None] * x["time"] + xi["phase"][:, None])


def test_a_minimum_at_a_bound_is_one_minimum() -> None:
    """Its coordinate may end anywhere far out, the unknown does not."""
    generator = np.random.default_rng(0)
    n, time = 8, np.linspace(0, 2, 40)
    truth = {"frequency": generator.uniform(2, 10, n), "phase": np.full(n, 2.9)}
    clean = np.cos(truth["frequency"][:, None] * time + 2.9)
    y = clean + 0.3 * generator.normal(size=clean.shape)
    found = MultiStart(600).solve(ProblemSet(Tone(), {"time": np.tile(time, (n, 1))}, y, truth=truth), seed=0)
    minima = found.minima
    at_bound = minima[minima["phase"].abs() > np.pi - 1e-4]
    assert (at_bound["hits"] > 2).any()
    rounded = minima[["instance", "frequency", "phase"]].round(3)
    assert not rounded.duplicated().any()


class Ripples(InverseProblem):
    """More minima than are kept, the lowest at the instance's own place."""

    unknowns = (Unknown("v", shape=(2,), lower=-5.0, upper=5.0),)

    def forward(self, xi, x):
        away = xi["v"] - x["place"]
        return tf.concat([away, 6.3 * tf.sin(np.pi * away), tf.ones_like(away)], axis=1)


def test_the_best_minimum_stays_known_however_many_there_are() -> None:
    place = np.random.default_rng(2).uniform(-3, 3, (6, 2))
    problem_set = ProblemSet(Ripples(), {"place": place}, np.zeros((6, 6)))
    found = MultiStart(3000).solve(problem_set, seed=0)
    listed = found.minima.groupby("instance")
    assert (listed.size() == 32).any()
    np.testing.assert_allclose(listed["loss"].min(), found.loss, rtol=1e-3, atol=1e-9)
    assert (found.hits > 0).all()
