from __future__ import annotations

import numpy as np
import pytest
from helpers import central_difference

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.methods import LockstepLBFGS
from kerasjoint.problems import LayeredGround

WATER, BEDROCK, THICKNESS = 1500.0, 4000.0, 25.0
DELAY = 1.5


@pytest.fixture(scope="module")
def problem_set() -> ProblemSet:
    return LayeredGround().sample(8, seed=0)


def pulse(time: np.ndarray, frequency: float) -> np.ndarray:
    """Ricker's wavelet, whose peak passes the sea floor after 1.5 periods."""
    square = (np.pi * (frequency * time - DELAY)) ** 2
    return (1 - 2 * square) * np.exp(-square)


def finite_differences(problem: LayeredGround, speed: np.ndarray, spacing: float) -> np.ndarray:
    """The echo of one stack on a staggered grid, so long that nothing returns from its ends; of second order."""
    end, frequency = problem.times[-1], problem.frequency
    above, below = (int(c * end / 2 / spacing) + 300 for c in (WATER, BEDROCK))
    each = round(THICKNESS / spacing)
    c = np.concatenate([np.full(above, WATER), np.repeat(speed, each), np.full(below, BEDROCK)])
    depth = (np.arange(len(c)) + 0.5 - above) * spacing
    faces = depth[:-1] + spacing / 2
    step = 0.9 * spacing / c.max()
    # The pulse comes down through the water: above the sea floor at time 0, with its velocity half a step later.
    pressure = np.where(depth < 0, pulse(-depth / WATER, frequency), 0.0)
    velocity = np.where(faces < 0, pulse(step / 2 - faces / WATER, frequency) / WATER, 0.0)
    place, echo = above - 1, []
    times = step * np.arange(int(end / step) + 3)
    for time in times:
        echo.append(pressure[place] - pulse(time - depth[place] / WATER, frequency))
        pressure[1:-1] -= step / spacing * c[1:-1] ** 2 * np.diff(velocity)
        velocity -= step / spacing * np.diff(pressure)
    return np.interp(problem.times, times + depth[place] / WATER, echo)


def test_the_echo_against_finite_differences(problem_set: ProblemSet) -> None:
    """Their error falls fourfold when the grid is halved, and extrapolation leaves a hundredth of the echo."""
    problem, speed = problem_set.problem, problem_set.truth[0]
    exact = problem.simulate(speed[None])[0]
    coarse, fine = (finite_differences(problem, speed, spacing) for spacing in (0.5, 0.25))
    errors = [np.abs(echo - exact).max() for echo in (coarse, fine)]
    assert 3.5 < errors[0] / errors[1] < 4.5
    np.testing.assert_allclose((4 * fine - coarse) / 3, exact, atol=0.01 * np.abs(exact).max())


def test_one_layer_over_the_bedrock_by_hand() -> None:
    """Equal layers are one: its top and bottom reflect, and what rattles within returns weaker and weaker."""
    problem, speed = LayeredGround(), 3000.0
    top, bottom = (speed - WATER) / (speed + WATER), (BEDROCK - speed) / (BEDROCK + speed)
    way = 2 * 16 * THICKNESS / speed
    expected = top * pulse(problem.times, problem.frequency)
    for k in range(1, 5):
        expected += (
            (1 - top**2) * bottom * (-top * bottom) ** (k - 1) * pulse(problem.times - k * way, problem.frequency)
        )
    np.testing.assert_allclose(problem.simulate(np.full((1, 16), speed))[0], expected, atol=1e-4)


@pytest.mark.parametrize("layer", [0, 7, 15])
def test_a_change_is_heard_after_the_way_there_and_back(problem_set: ProblemSet, layer: int) -> None:
    """Before that there is but what the finite band and period leave."""
    problem = problem_set.problem
    changed = problem_set.truth[:1].copy()
    changed[:, layer] *= 1.1
    difference = np.abs(problem.simulate(changed)[0] - problem.simulate(problem_set.truth[:1])[0])
    arrival = np.sum(2 * THICKNESS / problem_set.truth[0, :layer]) + DELAY / problem.frequency
    half_a_pulse = 1.2 / problem.frequency
    assert difference[problem.times < arrival - half_a_pulse].max(initial=0) < 1e-3
    assert difference[np.abs(problem.times - arrival) < half_a_pulse].max() > 0.01


def test_gradients_agree_with_finite_differences(problem_set: ProblemSet) -> None:
    gradient = problem_set.value_and_gradient(problem_set.guess)[1]
    by_differences = central_difference(problem_set.objective, problem_set.guess, 1e-2)
    np.testing.assert_allclose(gradient, by_differences, rtol=1e-4, atol=1e-5 * np.abs(gradient).max())


def test_instances_do_not_mix(problem_set: ProblemSet) -> None:
    order = np.array([5, 2, 7, 0, 1, 6, 3, 4])
    simulate = problem_set.problem.simulate
    np.testing.assert_allclose(simulate(problem_set.truth[order]), simulate(problem_set.truth)[order], atol=1e-14)
    alone = [simulate(one.truth)[0] for one in problem_set]
    np.testing.assert_allclose(alone, simulate(problem_set.truth), atol=1e-13)


def test_single_precision_agrees_and_stays_single(problem_set: ProblemSet) -> None:
    got = problem_set.problem.simulate(problem_set.truth, dtype=np.float32)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, problem_set.problem.simulate(problem_set.truth), atol=1e-4)


def test_a_seed_fixes_every_bit(problem_set: ProblemSet) -> None:
    again, other = (LayeredGround().sample(8, seed) for seed in (0, 1))
    np.testing.assert_array_equal(again.y, problem_set.y)
    np.testing.assert_array_equal(again.truth, problem_set.truth)
    assert not np.isin(other.truth, again.truth).any()
    start = LayeredGround().prior(8, 0)
    np.testing.assert_array_equal(LayeredGround().prior(8, 0), start)
    # Starts that a method draws with the seed of the instances must not be their solutions.
    assert not np.isin(start, problem_set.truth).any()


def test_the_prior_and_the_noise() -> None:
    problem = LayeredGround()
    speed = problem.prior(2000, seed=1)
    problem.space.check_inside(speed, "speed")
    logarithm = np.log(speed / np.linspace(1800, 3000, 16))
    np.testing.assert_allclose(logarithm.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(logarithm.std(axis=0), 0.2, rtol=0.06)
    np.testing.assert_allclose(np.corrcoef(logarithm.T), np.eye(16), atol=0.1)
    problem_set = problem.sample(64, seed=3)
    noise = problem_set.y - problem.simulate(problem_set.truth)
    # 12,288 values: 0.6 % is one standard deviation of the estimate.
    assert noise.std() == pytest.approx(0.01, rel=0.03)
    np.testing.assert_allclose(problem_set.truth_loss, np.sum(noise**2, axis=1), rtol=1e-9)


def test_descents_from_near_the_truth_succeed_where_those_from_the_guess_fail(problem_set: ProblemSet) -> None:
    """The difficulty is cycle skipping, not the conditioning, and no other minimum is as good."""
    truth = problem_set.space.to_z(problem_set.truth, problem_set.guess)
    start = truth + 0.02 * np.random.default_rng(1).standard_normal(truth.shape)
    near, far = LockstepLBFGS().solve(problem_set, start=start), LockstepLBFGS().solve(problem_set)
    assert near.solved.all()
    np.testing.assert_allclose(near.xi, problem_set.truth, rtol=0.15)
    assert far.solved.mean() <= 0.25


@pytest.mark.parametrize(
    "arguments",
    [
        {"frequency": 0.0},
        {"frequency": 1e-200},
        {"frequency": 1e3},
        {"frequency": np.nan},
        {"spread": -0.1},
        {"spread": np.inf},
        {"noise": -1.0},
    ],
)
def test_unusable_arguments_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ArgumentError) as caught:
        LayeredGround(**arguments)
    assert caught.value.argument == next(iter(arguments))
