from __future__ import annotations

import numpy as np
import pytest
from helpers import central_difference
from scipy.integrate import solve_ivp

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.methods import LockstepLBFGS
from kerasjoint.problems import Lorenz96


@pytest.fixture(scope="module")
def problem_set() -> ProblemSet:
    return Lorenz96().sample(8, seed=0)


def slope(_: float, state: np.ndarray) -> np.ndarray:
    """Lorenz's equation, index by index."""
    j = np.arange(40)
    return (state[(j + 1) % 40] - state[(j - 2) % 40]) * state[(j - 1) % 40] - state + 8.0


def independent(state: np.ndarray, times: np.ndarray) -> np.ndarray:
    return solve_ivp(slope, (0, times[-1]), state, method="DOP853", t_eval=times, rtol=1e-11, atol=1e-11).y.T


def test_fourth_order_against_an_independent_integration(problem_set: ProblemSet) -> None:
    state = problem_set.truth[:2]
    expected = np.array([independent(one, np.array([0.5, 1.0])) for one in state])
    errors = []
    for dt in (0.025, 0.0125, 0.00625):
        got = Lorenz96(window=1.0, interval=0.5, every=1, dt=dt).simulate(state)
        assert got.shape == (2, 2, 40)
        errors.append(np.abs(got - expected).max())
    assert errors[-1] < 1e-4
    assert np.log2(errors[0] / errors[1]) > 3.5
    assert np.log2(errors[1] / errors[2]) > 3.7


def test_every_fourth_variable_is_observed_from_the_first_interval_on(problem_set: ProblemSet) -> None:
    problem, state = problem_set.problem, problem_set.truth[:1]
    assert problem_set.y.shape == (8, 30, 10)
    got = problem.simulate(state)[0]
    np.testing.assert_array_equal(got, Lorenz96(every=1).simulate(state)[0][:, ::4])
    # The scheme's error in a step of 0.05 is small beside the noise at first, and chaos multiplies it.
    expected = independent(state[0], 0.05 * np.arange(1, 31))[:, ::4]
    np.testing.assert_allclose(got[:4], expected[:4], atol=0.05)
    np.testing.assert_allclose(got[:20], expected[:20], atol=0.3)


def test_shifting_the_state_by_four_places_shifts_the_observation_by_one(problem_set: ProblemSet) -> None:
    simulate = problem_set.problem.simulate
    shifted = simulate(np.roll(problem_set.truth, 4, axis=1))
    np.testing.assert_allclose(shifted, np.roll(simulate(problem_set.truth), 1, axis=2), atol=1e-9)


def test_the_state_of_rest_stays() -> None:
    np.testing.assert_allclose(Lorenz96().simulate(np.full((1, 40), 8.0)), 8.0, atol=1e-9)


def test_gradients_agree_with_finite_differences(problem_set: ProblemSet) -> None:
    gradient = problem_set.value_and_gradient(problem_set.truth)[1]
    by_differences = central_difference(problem_set.objective, problem_set.truth, 1e-5)
    scale = np.abs(gradient).max(axis=1, keepdims=True)
    np.testing.assert_allclose(gradient / scale, by_differences / scale, atol=1e-5)


def test_instances_do_not_mix(problem_set: ProblemSet) -> None:
    order = np.array([5, 2, 7, 0, 1, 6, 3, 4])
    simulate = problem_set.problem.simulate
    np.testing.assert_allclose(simulate(problem_set.truth[order]), simulate(problem_set.truth)[order], atol=1e-9)


def test_single_precision_agrees_and_stays_single(problem_set: ProblemSet) -> None:
    problem = Lorenz96(window=0.5)
    got = problem.simulate(problem_set.truth, dtype=np.float32)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, problem.simulate(problem_set.truth), atol=1e-3)


def test_a_seed_fixes_every_bit(problem_set: ProblemSet) -> None:
    again, other = (Lorenz96().sample(8, seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.y, problem_set.y)
    np.testing.assert_array_equal(again.truth, problem_set.truth)
    assert not np.isin(other.truth, again.truth).any()
    start = Lorenz96().prior(8, 0)
    np.testing.assert_array_equal(Lorenz96().prior(8, 0), start)
    # Starts that a method draws with the seed of the instances must not be their solutions.
    assert not np.isin(start, problem_set.truth).any()


def test_the_prior_is_the_climatology_and_the_guess_its_mean() -> None:
    problem = Lorenz96()
    state = problem.prior(512, seed=2)
    assert state.mean() == pytest.approx(problem.space.guess[0], abs=0.05)
    assert state.std() == pytest.approx(problem.space.scale[0], rel=0.02)
    # Spinning up for longer changes nothing: these are means over time of one independent, long integration.
    times = np.arange(20, 220, 0.5)
    long = solve_ivp(slope, (0, 220), state[0], method="RK45", t_eval=times, rtol=1e-6, atol=1e-6).y
    assert long.mean() == pytest.approx(state.mean(), abs=0.1)
    assert long.std() == pytest.approx(state.std(), rel=0.03)
    assert np.mean(long * np.roll(long, 1, axis=0)) == pytest.approx(np.mean(state * np.roll(state, 1, 1)), rel=0.1)


def test_the_loss_of_the_truth_is_the_noises_energy() -> None:
    problem_set = Lorenz96().sample(16, seed=3)
    noise = problem_set.y - problem_set.problem.simulate(problem_set.truth)
    assert noise.std() == pytest.approx(0.25, rel=0.03)
    np.testing.assert_allclose(problem_set.truth_loss, np.sum(noise**2, axis=(1, 2)), rtol=1e-9)


def test_descents_from_near_the_truth_succeed_where_those_from_the_guess_fail(problem_set: ProblemSet) -> None:
    truth = problem_set.space.to_z(problem_set.truth, problem_set.guess)
    start = truth + 0.02 * np.random.default_rng(1).standard_normal(truth.shape)
    near, far = LockstepLBFGS().solve(problem_set, start=start), LockstepLBFGS().solve(problem_set)
    assert near.solved.all()
    assert np.sqrt(np.mean((near.xi - problem_set.truth) ** 2)) < 1.0
    assert far.solved.mean() <= 0.25


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"window": 0.0}, "window"),
        ({"window": 0.52}, "interval"),
        ({"interval": np.nan}, "interval"),
        ({"interval": 0.12}, "dt"),
        ({"every": 3}, "every"),
        ({"every": True}, "every"),
        ({"every": 0}, "every"),
        ({"noise": -1.0}, "noise"),
        ({"dt": 0.1}, "dt"),
        ({"dt": np.inf}, "dt"),
    ],
)
def test_unusable_arguments_are_refused(arguments: dict[str, float], name: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        Lorenz96(**arguments)
    assert caught.value.argument == name
