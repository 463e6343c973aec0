"""What holds for every problem of the suite: exact gradients, separate instances, both precisions, seeds."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from helpers import central_difference

from kerasjoint import ProblemSet
from kerasjoint.problems import PROBLEMS

# Steps of central differences in units of each unknown's scale, where second and third derivatives are moderate.
STEPS = {
    "sine-wave": 1e-5,
    "ballistics": 1e-5,
    "robotic-arm": 1e-5,
    "thin-film": 1e-5,
    "phase-retrieval": 1e-5,
    "epidemic": 1e-5,
    "kuramoto-sivashinsky-state": 1e-5,
    "carbon-dioxide": 1e-5,
    "acoustic-waveform-light": 1e-5,
}
# How far float32 may be off, in units of the largest prediction.
# Of chaos, which makes more of rounding.
SINGLE = {"kuramoto-sivashinsky-state": 1e-4}


@pytest.fixture(scope="module")
def sampled() -> object:
    return cache(lambda name, seed: PROBLEMS.load(name)().sample(3, seed))


@pytest.mark.parametrize("name", STEPS)
def test_gradients_agree_with_finite_differences_and_instances_do_not_mix(sampled, name: str) -> None:
    problem_set: ProblemSet = sampled(name, 0)
    xi, order = problem_set.problem.prior(3, 1), np.array([2, 0, 1])
    loss, gradient = problem_set.value_and_gradient(xi)
    for move in np.random.default_rng(0).standard_normal((4, xi.shape[1])) * problem_set.space.scale:
        slopes = central_difference(
            lambda t, move=move: problem_set.objective(xi + t * move), np.zeros((3, 1)), STEPS[name]
        )
        expected = gradient @ move
        np.testing.assert_allclose(np.ravel(slopes), expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    loss_again, gradient_again = problem_set[order].value_and_gradient(xi[order])
    np.testing.assert_allclose(loss_again, loss[order], rtol=1e-9)
    np.testing.assert_allclose(gradient_again, gradient[order], rtol=1e-7, atol=1e-9 * np.abs(gradient).max())


@pytest.mark.parametrize("name", STEPS)
def test_single_precision_agrees_and_stays_single(sampled, name: str) -> None:
    problem_set: ProblemSet = sampled(name, 0)
    xi = problem_set.problem.prior(3, 1)
    single, double = (problem_set.problem.simulate(xi, problem_set.x, dtype=kind) for kind in (np.float32, np.float64))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, atol=SINGLE.get(name, 1e-5) * np.abs(double).max())


@pytest.mark.parametrize("name", STEPS)
def test_a_seed_fixes_every_bit(sampled, name: str) -> None:
    first, other, again = sampled(name, 0), sampled(name, 1), PROBLEMS.load(name)().sample(3, 0)
    np.testing.assert_array_equal(again.y, first.y)
    assert (other.y != first.y).reshape(3, -1).any(axis=1).all()
    problem = first.problem
    start = problem.prior(3, 0)
    np.testing.assert_array_equal(problem.prior(3, 0), start)
    problem.space.check_inside(problem.prior(500, 1), "prior")
    if first.truth is not None:
        np.testing.assert_array_equal(again.truth, first.truth)
        # Starts that a method draws with the seed of the instances must not be their solutions.
        assert not np.isclose(start, first.truth, rtol=1e-9).all(axis=1).any()
