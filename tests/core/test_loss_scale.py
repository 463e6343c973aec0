from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasjoint import InverseProblem, ProblemSet, Unknown
from kerasjoint.loss_scale import LossScale, missing_values, residual_scale

N, K = 6, 30
TIME = np.tile(np.linspace(0, 1, K), (N, 1))


class Line(InverseProblem):
    unknowns = (Unknown("slope", scale=1.0), Unknown("offset", scale=1.0))

    def forward(self, xi, x):
        return xi["slope"][:, None] * x["time"] + xi["offset"][:, None]


class Weighted(Line):
    def residuals(self, prediction, y, x):
        return (prediction - y) * x["weight"]


class Pair(Line):
    """Two predictions, of which the second is a number, and residuals that no prediction changes."""

    def forward(self, xi, x):
        return {"line": super().forward(xi, x), "slope": xi["slope"]}

    def residuals(self, prediction, y, x):
        return prediction["line"] - y, prediction["slope"][:, None] - 2.0, tf.ones_like(y)


class Penalised(Line):
    def regularizer(self, xi, x):
        return tf.square(xi["slope"])


def lines(problem: Line, offset: float = 0.0, weight: np.ndarray | None = None) -> ProblemSet:
    generator = np.random.default_rng(0)
    x = {"time": TIME} | ({} if weight is None else {"weight": weight})
    return ProblemSet(problem, x, offset + generator.standard_normal((N, K)))


def test_a_sum_of_squares_is_measured_by_the_variation_of_y() -> None:
    problem_set = lines(Line(), offset=1e6)
    count, size, _ = residual_scale(problem_set)
    assert (count == K).all()
    np.testing.assert_allclose(size, K * problem_set.y.var(axis=1), rtol=1e-6)
    constant = ProblemSet(Line(), {"time": TIME}, np.full((N, K), 3.0))
    np.testing.assert_allclose(residual_scale(constant)[1], 9.0 * K)


def test_missing_values_are_no_residuals() -> None:
    weight = np.where(np.arange(K) < np.arange(10, 10 + N)[:, None], 2.0, 0.0)
    problem_set = lines(Weighted(), weight=weight)
    count, size, _ = residual_scale(problem_set)
    np.testing.assert_array_equal(count, 10 + np.arange(N))
    expected = [4 * k * problem_set.y[i, :k].var() for i, k in enumerate(count)]
    np.testing.assert_allclose(size, expected)
    np.testing.assert_array_equal(missing_values(problem_set), weight == 0)
    assert missing_values(lines(Line())) is None
    assert missing_values(lines(Weighted(), weight=np.ones((N, K)))) is None


class Relative(Line):
    def residuals(self, prediction, y, x):
        return x["weight"] * (prediction - y) / prediction


def test_a_filler_changes_nothing_for_other_instances() -> None:
    weight = np.ones((N, K))
    weight[2, 5] = 0
    plain = lines(Relative(), offset=5.0, weight=weight)
    y = plain.y.copy()
    y[2, 5] = 9.97e36
    filled = ProblemSet(Relative(), plain.x, y)
    np.testing.assert_array_equal(residual_scale(filled)[0], np.where(np.arange(N) == 2, K - 1, K))
    np.testing.assert_array_equal(residual_scale(filled)[0], residual_scale(plain)[0])
    np.testing.assert_array_equal(missing_values(filled), weight == 0)


def test_residuals_of_any_structure_are_counted() -> None:
    problem_set = lines(Pair())
    assert (residual_scale(problem_set)[0] == K + 1).all()
    assert missing_values(problem_set) is None


def test_the_smallest_residual_decides_what_is_nothing() -> None:
    even, mixed, constant = lines(Line()), lines(Line()), lines(Line())
    assert 0.01 < LossScale.of(even, np.full(N, np.inf), np.ones(N)).detail < 1
    y = mixed.y * np.where(np.arange(K) < 5, 1e5, 1.0)
    scale = LossScale.of(ProblemSet(Line(), mixed.x, y), np.full(N, 1e11), np.ones(N))
    assert 1e-12 < scale.detail < 1e-9
    # What all instances share is no residual that varies.
    y = constant.y.copy()
    y[:, 0] = 7.0
    assert residual_scale(ProblemSet(Line(), constant.x, y))[2] > 0.01


class Wave(InverseProblem):
    """Complex, beside a mask of what is seen."""

    unknowns = (Unknown("rate", lower=0.0, upper=3.0),)

    def forward(self, xi, x):
        phase = xi["rate"][:, None] * x["time"]
        return {"wave": tf.exp(tf.complex(tf.zeros_like(phase), phase)), "seen": tf.cos(phase) > -2}

    def residuals(self, prediction, y, x):
        difference = prediction["wave"] - tf.complex(y, tf.zeros_like(y))
        apart = tf.stack([tf.math.real(difference), tf.math.imag(difference)], axis=-1)
        return tf.where(prediction["seen"][..., None], apart, tf.zeros_like(apart))


def test_predictions_may_be_complex_or_boolean() -> None:
    problem_set = lines(Wave())
    count, size, _ = residual_scale(problem_set)
    assert (count == 2 * K).all()
    np.testing.assert_array_equal(size, 0.0)


def test_the_guess_says_what_share_of_y_needs_no_explanation() -> None:
    """A known offset is no part of what a fit explains."""
    problem_set = lines(Line(), offset=1e6)
    at_guess = problem_set.objective(np.tile([0.0, 1e6], (N, 1)))
    _, size, _ = residual_scale(problem_set)
    scale = LossScale.of(problem_set, 1e-3 * size, at_guess)
    np.testing.assert_allclose(scale.size, 1e-3 * size)
    # A guess at the solution, and a simulator that fails, do not count.
    lucky = np.array([0.0, np.inf, *(3 * size[2:])])
    np.testing.assert_allclose(LossScale.of(problem_set, lucky, at_guess).size, size)
    np.testing.assert_allclose(scale.zero, 1e-15 * scale.detail * size)


def test_other_objectives_are_measured_by_what_a_descent_gains() -> None:
    problem_set = lines(Penalised())
    at_guess, after = 1e6 + np.arange(1.0, N + 1), np.full(N, 1e6)
    at_guess[1] = after[1]
    scale = LossScale.of(problem_set, at_guess, after)
    np.testing.assert_array_equal(scale.size, [1, 4, 3, 4, 5, 6])
    assert (scale.zero == -np.inf).all()
    assert not scale.residuals.any()
    near = scale.near(after[:, None] + np.array([1e-9, 0.5]), after[:, None])
    np.testing.assert_array_equal(near, np.tile([True, False], (N, 1)))


@pytest.mark.parametrize(("size", "same"), [(10, 9e-4), (100_000, 9e-7)])
def test_with_many_residuals_small_shares_of_the_loss_matter(size: int, same: float) -> None:
    scale = LossScale(np.full(1, size), np.full(1, 1e-6))
    assert scale.near(np.array([[1 + same]]), np.array([[1.0]])).all()
    assert not scale.near(np.array([[1 + 1.3 * same]]), np.array([[1.0]])).any()


def test_instances_are_compared_as_their_noise_is_alike() -> None:
    generator = np.random.default_rng(0)
    size = 10 ** generator.uniform(-6, 0, 50)
    scatter = generator.uniform(0.8, 1.2, 50)
    scale = LossScale(np.full(50, 10), size)
    np.testing.assert_allclose(scale.comparable(0.01 * scatter), 0.1)
    # Unsolved instances do not make it look as if noise were a share of the observation.
    similar = LossScale(np.full(50, 10), 10 ** generator.uniform(-0.4, 0.4, 50))
    unsolved = 0.01 * scatter * np.where(np.arange(50) < 25, generator.uniform(2, 30, 50), 1.0)
    np.testing.assert_allclose(similar.comparable(unsolved), 0.1)
    shares = scale.comparable(0.01 * scatter * size) * size
    np.testing.assert_allclose(shares, shares[0])
