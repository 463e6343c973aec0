from __future__ import annotations

import numpy as np
import pytest
from helpers import Decay, Fragile, assert_same_bits, decay_set, fragile_set

from kerasjoint import ArgumentError, ProblemSet, Status, solve
from kerasjoint.methods import AmortizedMultiStart, LockstepLBFGS, MultiStart
from kerasjoint.problems import Billiards, WavePacket

BUDGET = 120
QUICK = {"evaluations": BUDGET, "rounds": 3, "steps": 100, "network_options": {"width": 64}}


@pytest.fixture(scope="module")
def waves() -> ProblemSet:
    return WavePacket().sample(48, seed=3)


def test_it_solves_more_than_random_starts_within_the_same_budget(waves: ProblemSet) -> None:
    found, random = AmortizedMultiStart(**QUICK).solve(waves, seed=0), MultiStart(BUDGET).solve(waves, seed=0)
    assert found.solved.sum() > random.solved.sum() + 5
    assert found.cost().mean() <= 1.05 * BUDGET
    assert (found.loss <= LockstepLBFGS().solve(waves).loss).all()
    np.testing.assert_array_equal(found.loss, waves.objective(found.xi))
    np.testing.assert_allclose(waves.space.to_xi(found.z, waves.guess), found.xi, rtol=1e-13)
    assert found.history["mean"].is_monotonic_decreasing
    assert found.history["evaluations"].is_monotonic_increasing
    assert_same_bits(found, AmortizedMultiStart(**QUICK).solve(waves, seed=0))
    assert (found.evaluations != AmortizedMultiStart(**QUICK).solve(waves, seed=1).evaluations).any()


def test_shots_that_miss_learn_from_those_that_hit() -> None:
    problem_set = Billiards().sample(48, seed=1)
    alone = LockstepLBFGS().solve(problem_set)
    assert (alone.status == Status.STATIONARY).any()
    found = AmortizedMultiStart(evaluations=100).solve(problem_set, seed=0)
    assert found.solved.mean() > 0.9 > alone.solved.mean()


@pytest.mark.parametrize("n", [1, 3])
def test_few_instances_get_random_starts(n: int) -> None:
    """The budget is too small for training pairs; one shot that misses has only itself to be compared with."""
    problem_set = Billiards().sample(n, seed=0)
    found = AmortizedMultiStart(evaluations=150).solve(problem_set, seed=0)
    assert found.solved.all()
    assert found.cost().max() < 3 * 150


def test_where_the_first_descents_suffice_the_budget_is_left() -> None:
    problem_set = decay_set(Decay(), n=32)
    found = AmortizedMultiStart(evaluations=1000).solve(problem_set)
    assert found.solved.all()
    assert found.cost().mean() < 200


def test_a_bad_instance_is_survived() -> None:
    problem_set = fragile_set(Fragile(), [0, 1] + [0] * 30)
    found = AmortizedMultiStart(evaluations=60, rounds=2, steps=20).solve(problem_set)
    good = np.arange(32) != 1
    assert np.isinf(found.loss[1])
    assert found.status[1] == Status.NON_FINITE
    np.testing.assert_allclose(found.xi[good], 2.0, rtol=1e-6)


def test_solve_takes_it_as_it_is(waves: ProblemSet) -> None:
    method = AmortizedMultiStart(**QUICK)
    assert_same_bits(solve(waves, method, seed=2), method.solve(waves, seed=2))
    with pytest.raises(ArgumentError, match="local_method: expected none, since amortized-multi-start is not refined"):
        solve(waves, method, local_method="lbfgs")


@pytest.mark.parametrize("arguments", [{"evaluations": 0}, {"rounds": 1.5}, {"value_cost": -1.0}, {"components": True}])
def test_bad_arguments_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match=f"{next(iter(arguments))}: expected a positive"):
        AmortizedMultiStart(**arguments)
