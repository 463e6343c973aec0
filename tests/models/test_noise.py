"""Noise of the training: normal, independent from place to place and from step to step, and of its seed."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import chisquare, kstest, norm

from kerasjoint.models.noise import normal_noise

SHAPE = (300, 200)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_noise_is_normal_and_of_its_seed(jit_compile: bool) -> None:
    draw = tf.function(partial(normal_noise, SHAPE), jit_compile=jit_compile)
    numbers = draw(tf.constant([3, 7])).numpy()
    np.testing.assert_array_equal(numbers, draw(tf.constant([3, 7])))
    np.testing.assert_allclose(numbers, normal_noise(SHAPE, tf.constant([3, 7])), rtol=1e-4, atol=1e-6)
    assert numbers.shape == SHAPE
    assert numbers.dtype == np.float32
    assert kstest(numbers.ravel(), norm.cdf).pvalue > 0.01
    # Sums along either axis are as wide as those of independent numbers.
    for axis in (0, 1):
        assert kstest(numbers.sum(axis=axis) / SHAPE[axis] ** 0.5, norm.cdf).pvalue > 0.01


@pytest.mark.parametrize("step", [[4, 7], [3, 8], [7, 3]])
def test_steps_and_places_are_independent(step: list[int]) -> None:
    numbers, others = (normal_noise(SHAPE, tf.constant(seed)).numpy() for seed in ([3, 7], step))
    # There are 2^23 different numbers.
    assert np.isin(np.abs(numbers), np.abs(others)).mean() < 0.02
    for one, other in ((numbers, others), (numbers[1:], numbers[:-1]), (numbers[:, 1:], numbers[:, :-1])):
        cells, _, _ = np.histogram2d(norm.cdf(one).ravel(), norm.cdf(other).ravel(), bins=8, range=((0, 1), (0, 1)))
        assert chisquare(cells.ravel()).pvalue > 1e-3


def test_no_step_repeats_another_one_shifted() -> None:
    # The hashes of these two differ by 4.
    numbers, others = (normal_noise((200,), tf.constant([step, 2])).numpy() for step in (1816, 8268))
    for shift in range(10):
        assert np.abs(numbers[shift:100] - others[: 100 - shift]).min() > 0
        assert np.abs(numbers[: 100 - shift] - others[shift:100]).min() > 0


def test_the_ends_are_finite() -> None:
    numbers = normal_noise((4000, 4000), tf.constant([0, 0])).numpy()
    assert np.isfinite(numbers).all()
    assert 5 < np.abs(numbers).max() < 6
