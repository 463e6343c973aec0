from __future__ import annotations

import numpy as np
import pytest

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.problems import AcousticWaveform
from kerasjoint.problems.acoustic_waveform import STRENGTH, interpolation, sponge


@pytest.fixture(scope="module")
def problem() -> AcousticWaveform:
    return AcousticWaveform.light()


@pytest.fixture(scope="module")
def problem_set(problem: AcousticWaveform) -> ProblemSet:
    return problem.sample(2, seed=0)


def shot(problem: AcousticWaveform, speed: np.ndarray, source: int, receivers: list[int]) -> np.ndarray:
    """Traces of one shot by a plain loop over steps, cell by cell in whole arrays; (steps, receivers)."""
    cells = np.pad(interpolation(32, 12) @ speed.reshape(12, 8) @ interpolation(32, 8).T, 10, mode="edge")
    damping, dt = sponge(), problem.dt
    now, before, traces = np.zeros((52, 52)), np.zeros((52, 52)), []
    for k in range(round(problem.times[-1] / dt)):
        slope = np.zeros((52, 52))
        for axis in (0, 1):
            for offset, weight in {-2: -1 / 12, -1: 4 / 3, 0: -5 / 2, 1: 4 / 3, 2: -1 / 12}.items():
                moved = np.roll(now, offset, axis)
                edge = np.arange(offset) if offset > 0 else 52 + np.arange(offset, 0)
                moved[tuple(edge if a == axis else slice(None) for a in (0, 1))] = 0
                slope += weight * moved / 20.0**2
        angle = (np.pi * (problem.frequency * k * dt - 1.2)) ** 2
        slope[10, 10 + source] += STRENGTH * (1 - 2 * angle) * np.exp(-angle) / 20.0**2
        after = 2 * now - (damping * dt) ** 2 * now - (1 - damping * dt) * before + (cells * dt) ** 2 * slope
        now, before = after / (1 + damping * dt), now
        traces.append(now[10, np.add(10, receivers)])
    return np.array(traces)


def test_the_traces_against_a_plain_loop(problem: AcousticWaveform, problem_set: ProblemSet) -> None:
    got, stride = problem.simulate(problem_set.truth)[0], round(problem.times[0] / problem.dt)
    for k, source in enumerate(problem.sources):
        expected = shot(problem, problem_set.truth[0], source, list(range(0, 32, 2)))[stride - 1 :: stride]
        np.testing.assert_allclose(got[k], expected, atol=1e-9)


def test_source_and_receiver_may_change_places(problem: AcousticWaveform, problem_set: ProblemSet) -> None:
    """Reciprocity: each of the two sources is where a receiver is."""
    first, second = (int(np.flatnonzero(problem.receivers == source)[0]) for source in problem.sources)
    traces = problem.simulate(problem_set.truth)
    np.testing.assert_allclose(traces[:, 0, :, second], traces[:, 1, :, first], atol=1e-9)


def test_the_direct_wave_arrives_after_the_distance_over_the_speed(problem: AcousticWaveform) -> None:
    """Over ground of one speed; from two receivers, so that the shape of a wave in a plane does not matter."""
    speed = 2000.0
    traces = problem.simulate(np.full((1, 96), speed))[0, 0]
    distance = np.abs(problem.receivers - problem.sources[0]) * 20.0
    near, far = 8, 15
    fine = np.linspace(0, problem.times[-1], 4000)
    first, second = (np.interp(fine, problem.times, traces[:, k]) for k in (near, far))
    lag = (np.argmax(np.correlate(second, first, mode="full")) - (len(fine) - 1)) * fine[1]
    assert lag == pytest.approx((distance[far] - distance[near]) / speed, abs=0.01)


def test_the_sides_absorb(problem: AcousticWaveform) -> None:
    """Over ground of one speed, what remains at the end is small beside what passed."""
    traces = problem.simulate(np.full((1, 96), 3000.0))[0]
    late = problem.times > 0.5
    assert np.abs(traces[:, late]).max() < 0.05 * np.abs(traces).max()


def test_the_ground_is_layered_folded_and_within_bounds(problem: AcousticWaveform) -> None:
    speeds = problem.prior(200, seed=1)
    problem.space.check_inside(speeds, "speed")
    maps = speeds.reshape(200, 12, 8)
    assert max(len(np.unique(one)) for one in maps) <= 5
    assert np.mean([(one != one[:, :1]).any() for one in maps]) > 0.5
    # Deeper is faster, on average.
    assert (np.diff(maps.mean(axis=(0, 2))) > 0).all()


def test_noise_and_scale(problem: AcousticWaveform, problem_set: ProblemSet) -> None:
    clean = problem.simulate(problem_set.truth)
    assert (problem_set.y - clean).std() == pytest.approx(0.02, rel=0.05)
    assert np.sqrt(np.mean(problem.simulate(problem_set.guess) ** 2)) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"shots": 0}, "shots"),
        ({"shots": 33}, "shots"),
        ({"frequency": 16.0}, "frequency"),
        ({"end": 0.05}, "end"),
        ({"end": 1e6}, "end"),
        ({"dt": 0.01}, "dt"),
        ({"noise": -0.1}, "noise"),
    ],
)
def test_unusable_arguments_are_refused(arguments: dict[str, object], name: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        AcousticWaveform(**arguments)
    assert caught.value.argument == name
