from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.methods import LockstepLBFGS
from kerasjoint.problems import KuramotoSivashinskyState


@pytest.fixture(scope="module")
def problem_set() -> ProblemSet:
    return KuramotoSivashinskyState().sample(4, seed=0)


def independent(state: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The same equation by NumPy's FFT on a grid twice as fine, and a stiff adaptive method."""
    points = 128
    modes = np.zeros(points // 2 + 1, dtype=complex)
    modes[:32] = 2 * np.fft.rfft(state)[:32]
    modes[0] = 0
    k = 2 * np.pi * np.arange(points // 2 + 1) / 60

    def motion(_: float, u: np.ndarray) -> np.ndarray:
        waves = np.fft.rfft(u)
        square = np.fft.rfft(u * u)
        # The simulator keeps 31 waves.
        slope = (k**2 - k**4) * waves - 0.5j * k * square
        slope[32:] = 0
        return np.fft.irfft(slope, points)

    start = np.fft.irfft(modes, points)
    return solve_ivp(motion, (0, times[-1]), start, method="LSODA", t_eval=times, rtol=1e-9, atol=1e-9).y.T[:, ::2]


def test_observed_points_against_an_independent_integration(problem_set: ProblemSet) -> None:
    times = np.array([2.0, 4.0, 6.0])
    expected = independent(problem_set.truth[0], times)
    got = KuramotoSivashinskyState(6.0, 2.0).simulate(problem_set.truth[:1])[0]
    np.testing.assert_allclose(got, expected[:, ::4], atol=2e-3)
    errors = [
        np.abs(KuramotoSivashinskyState(6.0, 2.0, every=1, dt=dt).simulate(problem_set.truth[:1])[0] - expected).max()
        for dt in (0.25, 0.125)
    ]
    assert errors[1] < errors[0] / 8


def test_shifting_the_state_by_four_places_shifts_the_observation_by_one(problem_set: ProblemSet) -> None:
    problem = problem_set.problem
    got = problem.simulate(np.roll(problem_set.truth, 4, axis=1))
    np.testing.assert_allclose(got, np.roll(problem.simulate(problem_set.truth), 1, axis=2), atol=1e-6)


def test_neither_the_mean_nor_the_shortest_wave_matters(problem_set: ProblemSet) -> None:
    """Both are removed, so that the mean stays zero; zero itself stays."""
    problem = problem_set.problem
    moved = problem_set.truth + 1.0 + 0.5 * (-1.0) ** np.arange(64)
    np.testing.assert_allclose(problem.simulate(moved), problem.simulate(problem_set.truth), atol=1e-6)
    np.testing.assert_allclose(problem.simulate(np.zeros((4, 64))), 0.0, atol=1e-12)


def test_the_jacobian_is_that_of_central_differences(problem_set: ProblemSet) -> None:
    """All 64 tangents travel along, by the derivative of a step that is written out."""
    few, problem = problem_set[:2], problem_set.problem
    xi = few.truth
    _, found, _, _ = few.evaluator.weighted_jacobian(xi, few.data, np.arange(2))
    expected = np.stack(
        [
            (problem.simulate(xi + move) - problem.simulate(xi - move)).reshape(2, -1) / 2e-5
            for move in 1e-5 * np.eye(64)
        ],
        axis=2,
    )
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


def test_the_prior_is_the_climatology() -> None:
    problem = KuramotoSivashinskyState()
    state = problem.prior(64, seed=2)
    np.testing.assert_allclose(state.mean(axis=1), 0, atol=1e-9)
    assert state.std() == pytest.approx(1.3, rel=0.05)
    problem_set = problem.sample(4, seed=3)
    noise = problem_set.y - problem.simulate(problem_set.truth)
    assert noise.std() == pytest.approx(0.1, rel=0.06)


def test_descents_from_near_the_truth_succeed_where_those_from_the_guess_fail(problem_set: ProblemSet) -> None:
    truth = problem_set.space.to_z(problem_set.truth, problem_set.guess)
    start = truth + 0.02 * np.random.default_rng(1).standard_normal(truth.shape)
    near, far = LockstepLBFGS(50).solve(problem_set, start=start), LockstepLBFGS(50).solve(problem_set)
    assert near.solved.all()
    assert far.solved.mean() <= 0.25


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"window": 0.0}, "window"),
        ({"window": 20.5}, "interval"),
        ({"interval": 0.4}, "dt"),
        ({"every": 3}, "every"),
        ({"noise": -1.0}, "noise"),
        ({"dt": 2.0}, "dt"),
        ({"dt": np.nan}, "dt"),
    ],
)
def test_unusable_arguments_are_refused(arguments: dict[str, float], name: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        KuramotoSivashinskyState(**arguments)
    assert caught.value.argument == name
