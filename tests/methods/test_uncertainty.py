"""Errors of the unknowns, against curve_fit, closed forms and repeated fits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, Fragile, decay_set, fragile_set
from scipy.optimize import curve_fit

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, Unknown
from kerasjoint.methods import LockstepLBFGS, LockstepLM

pytestmark = pytest.mark.usefixtures("few_batch_sizes")

TIME = np.linspace(0.1, 3.0, 40)


class Fit(InverseProblem):
    """Weighted, in units of very different size, within bounds that are far away."""

    unknowns = (
        Unknown("gain", lower=0.0, upper=5e6, guess=2e6),
        Unknown("rate", lower=0.0, upper=5.0),
        Unknown("offset", scale=1e5),
    )

    def __init__(self, robust_loss: str = "linear") -> None:
        self.robust_loss = robust_loss

    def forward(self, xi, x):
        gain, rate, offset = (xi[name][:, None] for name in ("gain", "rate", "offset"))
        return gain * tf.exp(-rate * TIME) + offset

    def residuals(self, prediction, y, x):
        return (prediction - y) / x["noise"]


class Product(InverseProblem):
    """Only the product of the first two unknowns counts, unless there is a prior on one of them."""

    unknowns = (Unknown("a", scale=1.0, guess=2.0), Unknown("b", scale=1.0, guess=1.0), Unknown("c", scale=1.0))

    def __init__(self, strength: float = 0.0) -> None:
        self.strength = strength

    def forward(self, xi, x):
        return (xi["a"] * xi["b"])[:, None] * TIME + xi["c"][:, None]

    def regularizer(self, xi, x):
        return self.strength * tf.square(xi["a"] - 2.0)


class Parabola(InverseProblem):
    unknowns = (Unknown("c", shape=(3,), scale=1.0),)

    def forward(self, xi, x):
        powers = np.stack([TIME[:3] ** k for k in range(3)])
        return tf.matmul(xi["c"], tf.constant(powers, xi["c"].dtype))


def model(t: np.ndarray, gain: float, rate: float, offset: float) -> np.ndarray:
    return gain * np.exp(-rate * t) + offset


def fit_set(problem: Fit, n: int, seed: int = 0) -> ProblemSet:
    rng = np.random.default_rng(seed)
    noise = 2e4 * (1 + TIME) * np.ones((n, 1))
    y = model(TIME, 1.5e6, 1.2, 3e5) + noise * rng.normal(size=noise.shape)
    return ProblemSet(problem, {"noise": noise}, y)


@pytest.mark.parametrize("absolute_sigma", [True, False])
@pytest.mark.parametrize("robust_loss", ["linear", "soft_l1"])
def test_it_is_the_covariance_of_curve_fit(absolute_sigma: bool, robust_loss: str) -> None:
    problem_set = fit_set(Fit(robust_loss), 3)
    solution = LockstepLM().solve(problem_set)
    found = solution.uncertainty(absolute_sigma)
    for i in range(3):
        noise = problem_set.x["noise"][i]
        values, covariance = curve_fit(
            model, TIME, problem_set.y[i], [2e6, 2.5, 0.0], noise, absolute_sigma,
            bounds=([0, 0, -np.inf], [5e6, 5, np.inf]), loss=robust_loss, x_scale=[1e6, 1, 1e5],
            xtol=1e-14, ftol=1e-14, gtol=1e-14,
        )  # fmt: skip
        np.testing.assert_allclose(solution.xi[i], values, rtol=1e-6)
        np.testing.assert_allclose(found.covariance[i], covariance, rtol=1e-4)
    np.testing.assert_array_equal(solution.covariance, solution.uncertainty().covariance)
    errors = found.standard_errors
    np.testing.assert_allclose(found.correlations * errors[:, :, None] * errors[:, None, :], found.covariance)
    np.testing.assert_allclose(np.diagonal(found.correlations, axis1=1, axis2=2), 1.0)
    assert found.message(0) == ""


def test_repeated_fits_scatter_as_it_says() -> None:
    problem_set = fit_set(Fit(), 400, seed=1)
    solution = LockstepLM().solve(problem_set)
    known, estimated = solution.uncertainty(True), solution.uncertainty()
    np.testing.assert_allclose(solution.xi.std(axis=0), known.standard_errors.mean(axis=0), rtol=0.12)
    np.testing.assert_allclose(estimated.noise.mean(), 1.0, rtol=0.02)
    np.testing.assert_array_equal(known.noise, np.ones(400))
    np.testing.assert_array_equal(solution.to_frame(known)["standard error rate"], known.standard_errors[:, 1])
    assert not any(column.startswith("standard error") for column in solution.to_frame())


def test_what_the_data_do_not_determine_is_named_and_infinite() -> None:
    rng = np.random.default_rng(0)
    y = 2 * TIME + 1 + 0.1 * rng.normal(size=(2, 40))
    problem_set = ProblemSet(Product(), {}, y)
    solution = LockstepLM().solve(problem_set)
    found = solution.uncertainty()
    assert np.isposinf(found.standard_errors[:, :2]).all()
    design = np.stack([TIME, np.ones(40)], axis=1)
    residuals = y - solution.problem_set.problem.simulate(solution.xi)
    for i in range(2):
        # Of the three unknowns the data see two combinations, as a line has.
        line = np.linalg.inv(design.T @ design) * (residuals[i] ** 2).sum() / 38
        assert found.covariance[i, 2, 2] == pytest.approx(line[1, 1], rel=1e-6)
        direction = found.undetermined[i]
        assert direction.shape == (1, 3)
        a, b, _ = solution.xi[i]
        np.testing.assert_allclose(np.abs(direction[0]), np.array([a, b, 0]) / np.hypot(a, b), atol=1e-6)
    assert found.message(0).startswith("the data do not determine ")
    assert "a" in found.message(0).split()
    assert " - " in found.message(0)
    assert np.isnan(found.correlations[0, 0, 1])


def test_a_prior_determines_what_the_data_do_not() -> None:
    y = 2 * TIME + 1 + 0.1 * np.random.default_rng(0).normal(size=(2, 40))
    problem_set = ProblemSet(Product(strength=100.0), {}, y)
    solution = LockstepLM().solve(problem_set)
    found = solution.uncertainty(absolute_sigma=True)
    # With sigma known, a has the variance of its prior, since the data leave it free.
    np.testing.assert_allclose(found.standard_errors[:, 0], 0.1, rtol=1e-6)
    assert found.message(1) == ""
    estimated = solution.uncertainty()
    residuals = y - problem_set.problem.simulate(solution.xi)
    # The prior's unknown is no further freedom: two parameters follow 40 numbers.
    np.testing.assert_allclose(estimated.noise**2, (residuals**2).sum(axis=1) / 38, rtol=1e-6)


class HeavyTails(InverseProblem):
    """A line whose first coefficient has a prior of heavy tails: concave beyond ``width / 2``."""

    unknowns = (Unknown("a", scale=1.0), Unknown("b", scale=1.0))

    def __init__(self, width: float, weight: float = 1.0) -> None:
        self.width, self.weight = width, weight

    def forward(self, xi, x):
        return xi["a"][:, None] + xi["b"][:, None] * TIME

    def regularizer(self, xi, x):
        return self.weight * tf.math.log1p(tf.square(xi["a"] / self.width))


@pytest.mark.parametrize("width", [0.5, 20.0])
def test_a_concave_regularizer_adds_to_the_variance(width: float) -> None:
    y = 2.0 + TIME + 0.3 * np.random.default_rng(0).normal(size=(2, 40))
    solution = LockstepLBFGS().solve(ProblemSet(HeavyTails(width), {}, y))
    a = solution.xi[:, 0] / width
    jacobian = np.stack([np.ones(40), TIME], axis=1)
    for i in range(2):
        hessian = np.diag([2 * (1 - a[i] ** 2) / (1 + a[i] ** 2) ** 2 / width**2, 0])
        expected = np.linalg.inv(jacobian.T @ jacobian + hessian / 2)
        np.testing.assert_allclose(solution.uncertainty(absolute_sigma=True).covariance[i], expected, rtol=1e-6)


def test_where_a_regularizer_leaves_no_curvature_the_variance_is_infinite() -> None:
    problem_set = ProblemSet(HeavyTails(0.5, weight=500.0), {}, 2.0 + np.tile(TIME, (1, 1)))
    solution = replace(LockstepLBFGS(1).solve(problem_set), xi=np.array([[2.0, 1.0]]))
    found = solution.uncertainty(absolute_sigma=True)
    assert np.isinf(found.standard_errors[0, 0])
    assert "a" in found.message(0)


def test_without_residuals_to_spare_the_noise_is_unknown() -> None:
    problem_set = ProblemSet(Parabola(), {}, np.random.default_rng(0).normal(size=(2, 3)))
    solution = LockstepLM().solve(problem_set)
    assert np.isposinf(solution.uncertainty().covariance).all()
    powers = np.stack([TIME[:3] ** k for k in range(3)], axis=1)
    expected = np.linalg.inv(powers.T @ powers)
    np.testing.assert_allclose(solution.uncertainty(absolute_sigma=True).covariance[0], expected, rtol=1e-6)


def test_it_is_in_the_units_of_the_unknowns_at_a_bound_too() -> None:
    time = np.tile(TIME[:9], (1, 1))
    problem_set = ProblemSet(Decay(), {"time": time}, np.exp(0.1 * time) + 0.01 * np.cos(40 * time))
    solution = LockstepLM().solve(problem_set)
    assert solution.xi[0, 0] < 1e-5
    jacobian = -time[0] * np.exp(-solution.xi[0, 0] * time[0])
    variance = 1 / (jacobian @ jacobian)
    assert solution.uncertainty(True).covariance[0, 0, 0] == pytest.approx(variance, rel=1e-9)
    assert solution.uncertainty().covariance[0, 0, 0] == pytest.approx(variance * solution.loss[0] / 8, rel=1e-9)


def test_one_bad_instance_is_nan_alone() -> None:
    problem_set = fragile_set(Fragile(), [0, 1, 0])
    found = LockstepLM().solve(problem_set).uncertainty(absolute_sigma=True)
    assert np.isnan(found.standard_errors[:, 0]).tolist() == [False, True, False]
    np.testing.assert_allclose(found.standard_errors[[0, 2], 0], np.exp([1.0, -1.0]), rtol=1e-9)


class Distance(Decay):
    def misfit(self, prediction, y, x):
        return tf.norm(prediction - y, axis=1)


def test_other_misfits_are_refused() -> None:
    problem_set = decay_set(Distance(), n=2)
    with pytest.raises(ArgumentError, match=r"Distance\.misfit: expected the default"):
        LockstepLBFGS(max_iterations=1).solve(problem_set).uncertainty()


class Line(InverseProblem):
    """A straight line through points of which some have no weight."""

    unknowns = (Unknown("slope", scale=1.0), Unknown("offset", scale=1.0))

    def forward(self, xi, x):
        return xi["slope"][:, None] * TIME + xi["offset"][:, None]

    def residuals(self, prediction, y, x):
        return x["weight"] * (prediction - y)


def test_residuals_without_weight_are_no_data() -> None:
    """As if the points were not there: the errors are those of curve_fit on the others."""
    generator = np.random.default_rng(0)
    y = 2 * TIME + 1 + 0.1 * generator.standard_normal((5, 40))
    weight = (generator.uniform(size=(5, 40)) < 0.3).astype(float)
    solution = LockstepLM().solve(ProblemSet(Line(), {"weight": weight}, np.where(weight > 0, y, -999.0)))
    found = solution.uncertainty()
    for i in range(5):
        kept = weight[i] > 0
        _, covariance = curve_fit(lambda t, a, b: a * t + b, TIME[kept], y[i, kept], p0=[1.0, 1.0])
        np.testing.assert_allclose(found.covariance[i], covariance, rtol=1e-5)
    assert repr(found) == "Uncertainty(n=5, unknowns=2, undetermined instances=0)"
    with pytest.raises(ArgumentError, match="uncertainty: expected that of this solution, of 2 instances"):
        LockstepLM().solve(solution.problem_set[:2]).to_frame(found)


def test_masked_arrays_are_refused() -> None:
    y = np.ma.masked_less(np.linspace(-1, 1, 40)[None], 0)
    with pytest.raises(ArgumentError, match=r"y: expected numbers none of which is masked, .*weight of zero"):
        ProblemSet(Line(), {"weight": np.ones((1, 40))}, y)
    ProblemSet(Line(), {"weight": np.ones((1, 40))}, np.ma.masked_less(y.data, -2))
