from __future__ import annotations

import numpy as np
import pytest
from helpers import central_difference

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.problems import WavePacket

T0 = np.array([[60.25], [128.5], [131.0], [199.9]])


def packet(t0: np.ndarray, amplitude: float, width: float) -> np.ndarray:
    t = np.arange(1.0, 257.0)
    return amplitude * np.sin(t - t0) * np.exp(-((t - t0) ** 2) / width**2)


@pytest.mark.parametrize(("amplitude", "width"), [(1.0, 20.0), (0.3, 7.5)])
def test_the_signal_is_the_papers_formula(amplitude: float, width: float) -> None:
    problem = WavePacket(amplitude, width)
    np.testing.assert_allclose(problem.simulate(T0), packet(T0, amplitude, width), atol=1e-14)


def test_gradients_agree_with_finite_differences_and_by_hand(wave_packet: ProblemSet) -> None:
    value, gradient = wave_packet.value_and_gradient(T0)
    np.testing.assert_allclose(value, np.sum((packet(T0, 1, 20) - wave_packet.y) ** 2, axis=1), rtol=1e-12)
    np.testing.assert_allclose(gradient, central_difference(wave_packet.objective, T0, 1e-4), rtol=1e-6)
    delay = np.arange(1.0, 257.0) - T0
    slope = np.exp(-(delay**2) / 400) * (2 * delay / 400 * np.sin(delay) - np.cos(delay))
    by_hand = np.sum(2 * (packet(T0, 1, 20) - wave_packet.y) * slope, axis=1)
    np.testing.assert_allclose(gradient[:, 0], by_hand, rtol=1e-10)


def test_single_precision_agrees_and_stays_single(wave_packet: ProblemSet) -> None:
    got = wave_packet.problem.simulate(T0, dtype=np.float32)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, packet(T0, 1, 20), atol=5e-5)


def test_the_loss_of_the_truth_is_the_noises_energy() -> None:
    problem_set = WavePacket().sample(64, seed=3)
    energy = problem_set.objective(problem_set.truth)
    noise = problem_set.y - packet(problem_set.truth, 1, 20)
    np.testing.assert_allclose(energy, np.sum(noise**2, axis=1), rtol=1e-12)
    # 64 * 256 squares of deviation 0.1: the mean is 2.56 to within 1 % (one standard deviation: 1.1 %).
    assert energy.mean() == pytest.approx(2.56, rel=0.04)
    assert noise.mean() == pytest.approx(0, abs=0.004)
    assert not np.allclose(noise[0], noise[1])
    assert problem_set.problem.solved(energy, problem_set.truth, problem_set).all()
    at_guess = problem_set.objective(problem_set.guess)
    assert problem_set.problem.solved(at_guess, problem_set.guess, problem_set).mean() < 0.1
    noiseless = WavePacket(noise=0.0).sample(3, seed=0)
    np.testing.assert_allclose(noiseless.objective(noiseless.truth), 0, atol=1e-25)


def test_the_whole_packet_is_always_seen() -> None:
    problem = WavePacket()
    assert (problem.space.lower[0], problem.space.upper[0], problem.space.guess[0]) == (51, 206, 128.5)
    truth = problem.sample(256, seed=0).truth
    assert (truth.min() > 51, truth.max() < 206) == (True, True)
    assert (np.histogram(truth, bins=4, range=(51, 206))[0] > 40).all()
    energy = np.sum(problem.simulate(np.array([[51.0], [206.0]])) ** 2, axis=1)
    np.testing.assert_allclose(energy, 20 * np.sqrt(np.pi / 2) / 2, rtol=1e-3)


def test_the_landscape_has_a_local_minimum_every_period() -> None:
    """As the docstring says: the reason why a local optimiser stops early."""
    problem = WavePacket(noise=0.0)
    truth = np.full((1, 1), 128.5)
    scan = np.linspace(-25, 25, 1001)
    losses = ProblemSet(problem, y=problem.simulate(np.tile(truth, (1001, 1)))).objective(128.5 + scan[:, None])
    minima = scan[1:-1][(losses[1:-1] < losses[:-2]) & (losses[1:-1] < losses[2:])]
    np.testing.assert_allclose(np.diff(minima), 2 * np.pi, atol=0.3)
    assert len(minima) >= 5
    assert losses.max() == pytest.approx(4 * 12.5, rel=0.05)


def test_a_seed_fixes_every_bit(wave_packet: ProblemSet) -> None:
    again, other = WavePacket().sample(4, seed=0), WavePacket().sample(4, seed=1)
    np.testing.assert_array_equal(again.y, wave_packet.y)
    np.testing.assert_array_equal(again.truth, wave_packet.truth)
    assert not np.isin(other.truth, again.truth).any()
    assert not wave_packet.x


@pytest.mark.parametrize(
    "arguments",
    [
        {"amplitude": 0.0},
        {"amplitude": np.nan},
        {"width": -1.0},
        {"width": 51.0},
        {"noise": -0.1},
        {"noise": np.nan},
        {"margin": 3.0},
    ],
)
def test_unusable_arguments_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ArgumentError) as caught:
        WavePacket(**arguments)
    assert caught.value.argument == next(iter(arguments))
