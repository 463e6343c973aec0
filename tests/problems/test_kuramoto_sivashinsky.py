from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.problems.kuramoto_sivashinsky import KuramotoSivashinsky
from kerasjoint.problems.kuramoto_sivashinsky.exponential import phi


@pytest.fixture(scope="module")
def short() -> KuramotoSivashinsky:
    return KuramotoSivashinsky(points=48, end=2.0, stored=2)


@pytest.fixture(scope="module")
def problem_set(short: KuramotoSivashinsky) -> ProblemSet:
    return short.sample(4, seed=3)


def independent(problem: KuramotoSivashinsky, xi: np.ndarray, initial: np.ndarray) -> np.ndarray:
    k = 2 * np.pi * np.fft.rfftfreq(problem.points, problem.length / problem.points)
    kept = np.arange(k.size) <= (problem.points - 1) // 3

    def slope(t: float, u: np.ndarray) -> np.ndarray:
        modes = np.fft.rfft(u)
        force, flux = xi[0] * np.fft.rfft(problem.force), 0.5 * xi[1] * np.fft.rfft(u**2)
        return np.fft.irfft(kept * (force + (k**2 - k**4) * modes - 1j * k * flux), problem.points)

    start = np.fft.irfft(kept * np.fft.rfft(initial), problem.points)
    times = problem.end * np.arange(1, problem.stored + 1) / problem.stored
    return solve_ivp(slope, (0, problem.end), start, method="DOP853", t_eval=times, rtol=1e-11, atol=1e-12).y.T


def test_fourth_order_against_an_independent_integration() -> None:
    coarse, errors = KuramotoSivashinsky(points=28, end=2.0, stored=2).sample(4, seed=3), []
    for dt in (0.025, 0.0125, 0.00625):
        problem = KuramotoSivashinsky(points=28, end=2.0, stored=2, dt=dt)
        got = problem.simulate(coarse.truth, coarse.x)
        pairs = zip(coarse.truth, coarse.x["initial"], strict=True)
        expected = np.array([independent(problem, xi, initial) for xi, initial in pairs])
        errors.append(np.linalg.norm(got - expected) / np.linalg.norm(expected))
    assert errors[-1] < 1e-6
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all((orders > 3.6) & (orders < 4.6)), orders


@pytest.mark.parametrize("mode", [1, 3, 5, 7])
def test_small_waves_grow_at_the_linear_rate(short: KuramotoSivashinsky, mode: int) -> None:
    k = 2 * np.pi * mode / short.length
    initial = 1e-9 * np.cos(k * short.grid)[None].repeat(4, axis=0)
    final = short.simulate(np.tile([0.0, 1.0], (4, 1)), {"initial": initial})[0]
    assert final[-1] == pytest.approx(np.exp(2 * (k**2 - k**4)) * initial[0], rel=1e-7, abs=1e-15)


@pytest.mark.parametrize("alpha", [0.0, 0.9])
def test_the_mean_is_conserved(short: KuramotoSivashinsky, problem_set: ProblemSet, alpha: float) -> None:
    xi = np.tile([alpha, 1.3], (4, 1))
    got = short.simulate(xi, {"initial": problem_set.x["initial"] + 0.5})
    assert got.mean(axis=2) == pytest.approx(0.5, abs=1e-13)


def test_coefficients_keep_their_digits_near_zero() -> None:
    z = np.array([-1e3, -1.0, -1e-3, -1e-9, 0.0, 1e-12, 1e-5, 0.02])
    terms = z[1:, None] ** np.arange(25)
    factorials = np.cumprod([1.0, *range(1, 30)])
    for order, values in enumerate(phi(z), start=1):
        expected = terms @ (1 / factorials[order : order + 25])
        assert values[1:] == pytest.approx(expected, rel=1e-14)
    assert phi(z)[0][0] == pytest.approx(1e-3, rel=1e-12)


def test_gradients_agree_with_finite_differences(problem_set: ProblemSet) -> None:
    xi = np.tile([0.1, 0.9], (4, 1))
    value, gradient = problem_set.value_and_gradient(xi)
    assert value == pytest.approx(problem_set.objective(xi), rel=1e-10)
    for j in range(2):
        move = 1e-5 * np.eye(2)[j]
        difference = (problem_set.objective(xi + move) - problem_set.objective(xi - move)) / 2e-5
        assert gradient[:, j] == pytest.approx(difference, rel=1e-6)


def test_single_precision_agrees_and_stays_single(short: KuramotoSivashinsky, problem_set: ProblemSet) -> None:
    got = short.simulate(problem_set.truth, problem_set.x, dtype=np.float32)
    assert got.dtype == np.float32
    assert got == pytest.approx(problem_set.y, abs=2e-4)


def test_instances_are_independent(short: KuramotoSivashinsky, problem_set: ProblemSet) -> None:
    order = np.array([2, 0, 3, 1])
    xi = np.tile([0.1, 0.9], (4, 1)) + 0.05 * np.arange(4)[:, None]
    value, gradient = problem_set.value_and_gradient(xi)
    shuffled_value, shuffled_gradient = problem_set[order].value_and_gradient(xi[order])
    assert shuffled_value == pytest.approx(value[order], rel=1e-12)
    assert shuffled_gradient == pytest.approx(gradient[order], rel=1e-10)
    broken = xi.copy()
    broken[1, 0] = np.nan
    broken_value, broken_gradient = problem_set.value_and_gradient(broken)
    rest = [0, 2, 3]
    assert broken_value[1] == np.inf
    assert not broken_gradient[1].any()
    np.testing.assert_array_equal(broken_value[rest], value[rest])
    np.testing.assert_array_equal(broken_gradient[rest], gradient[rest])


def test_a_seed_fixes_every_bit(short: KuramotoSivashinsky, problem_set: ProblemSet) -> None:
    again, other = short.sample(4, seed=3), short.sample(4, seed=4)
    np.testing.assert_array_equal(again.y, problem_set.y)
    np.testing.assert_array_equal(again.truth, problem_set.truth)
    assert not np.any(other.x["initial"] == again.x["initial"])


def test_the_truth_is_solved_and_the_guess_is_not(short: KuramotoSivashinsky, problem_set: ProblemSet) -> None:
    assert problem_set.y.shape == (4, 2, 48)
    at_truth = problem_set.objective(problem_set.truth)
    assert short.solved(at_truth, problem_set.truth, problem_set).all()
    at_guess = problem_set.objective(problem_set.guess)
    assert not short.solved(at_guess, problem_set.guess, problem_set).any()
    scaled = 1e-18 * np.sum(problem_set.y**2, axis=(1, 2))
    assert short.solved(0.9 * scaled, problem_set.guess, problem_set).all()
    assert not short.solved(1.1 * scaled, problem_set.guess, problem_set).any()


def test_the_light_twin_is_close_to_the_full_resolution() -> None:
    light = KuramotoSivashinsky.light()
    problem_set = light.sample(4, seed=0)
    fine = KuramotoSivashinsky(points=2 * light.points, dt=light.dt / 2, end=light.end, stored=light.stored)
    spectrum = np.fft.rfft(problem_set.x["initial"])
    initial = 2 * np.fft.irfft(spectrum, fine.points)
    difference = fine.simulate(problem_set.truth, {"initial": initial})[:, :, ::2] - problem_set.y
    assert np.linalg.norm(difference) < 3e-2 * np.linalg.norm(problem_set.y)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"points": 63}, "points"),
        ({"points": 6}, "points"),
        ({"points": 64.0}, "points"),
        ({"points": 16}, "points"),
        ({"length": -1.0}, "length"),
        ({"end": float("inf")}, "end"),
        ({"dt": 0.0}, "dt"),
        ({"dt": 0.3}, "dt"),
        ({"dt": "0.1"}, "dt"),
        ({"dt": 0.5}, "dt"),
        ({"stored": 0}, "stored"),
        ({"stored": True}, "stored"),
    ],
)
def test_unusable_arguments_are_refused(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        KuramotoSivashinsky(**arguments)
    assert caught.value.argument == named


def test_an_unstable_step_is_refused_with_its_reason() -> None:
    with pytest.raises(ArgumentError, match="grows faster than the equation"):
        KuramotoSivashinsky(dt=0.5)


@pytest.mark.parametrize("n", [0, -1, 2.0, True])
def test_a_useless_count_is_refused(short: KuramotoSivashinsky, n: object) -> None:
    with pytest.raises(ArgumentError):
        short.sample(n, seed=0)
