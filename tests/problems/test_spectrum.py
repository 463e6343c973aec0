from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasjoint.problems.kuramoto_sivashinsky.spectrum import Spectrum

POINTS = 128


def random_functions(waves: int, n: int, seed: int = 0) -> np.ndarray:
    """Values of n random functions of up to ``waves`` waves on a fine grid, with a mean, (n, points)."""
    generator = np.random.default_rng(seed)
    spectrum = np.zeros((n, POINTS // 2 + 1), dtype=complex)
    spectrum[:, 0] = generator.normal(size=n)
    spectrum[:, 1 : waves + 1] = generator.normal(size=(n, waves)) + 1j * generator.normal(size=(n, waves))
    return np.fft.irfft(spectrum * POINTS / 4, POINTS)


def slope(values: np.ndarray, waves: int) -> np.ndarray:
    """The derivative by the angle, without the waves above ``waves``."""
    spectrum = np.fft.rfft(values)
    spectrum[..., waves + 1 :] = 0
    return np.fft.irfft(1j * np.arange(POINTS // 2 + 1) * spectrum, POINTS)


def to_modes(spectrum: Spectrum, values: np.ndarray) -> tf.Tensor:
    return tf.constant((spectrum.analyse(POINTS) @ values.T).reshape(*spectrum.modes.shape, -1))


def to_values(spectrum: Spectrum, modes: tf.Tensor) -> np.ndarray:
    grid = 2 * np.pi * np.arange(POINTS) / POINTS
    return np.einsum("ckp,ckn->np", spectrum.evaluate(grid), modes)


@pytest.mark.parametrize("waves", [1, 4, 10, 21, 22])
def test_modes_and_values_are_the_same_function(waves: int) -> None:
    spectrum, values = Spectrum(waves), random_functions(waves, 3)
    modes = to_modes(spectrum, values)
    assert to_values(spectrum, modes) == pytest.approx(values, abs=1e-12)
    assert not modes.numpy()[~spectrum.kept].any()
    assert spectrum.kept.sum() == 2 * waves + 1


@pytest.mark.parametrize("waves", [1, 4, 10, 21, 22])
def test_the_slope_of_a_square_has_no_aliases(waves: int) -> None:
    spectrum, values = Spectrum(waves), random_functions(waves, 3)
    got = spectrum.slope_of_square(to_modes(spectrum, values))
    assert to_values(spectrum, got) == pytest.approx(slope(values**2, waves), abs=1e-9)
    assert not got.numpy()[~spectrum.kept].any()


@pytest.mark.parametrize("waves", [4, 21])
def test_the_slope_of_products(waves: int) -> None:
    spectrum, values = Spectrum(waves), random_functions(waves, 6).reshape(2, 3, POINTS)
    modes = tf.stack([to_modes(spectrum, functions) for functions in values], axis=2)
    got = spectrum.slope_of_products(modes)
    for k, functions in enumerate(values):
        expected = slope(values[0] * functions, waves)
        assert to_values(spectrum, got[:, :, k]) == pytest.approx(expected, abs=1e-9)
