"""Real Fourier modes sorted by symmetry, so that transforms are small matrix products and squares never mix them up."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

CLASSES = 4


class Spectrum:
    """Periodic functions of ``waves`` waves as modes (4, size, n): even cosines, odd cosines, even sines, odd sines.

    Even and odd mean the wavenumber. A cosine mirrors into itself at s = 0, a sine into its negative; an even wave
    repeats after half a period, an odd one changes sign. So values on a quarter of a period say everything, class by
    class, and a transform takes a quarter of the work of one dense matrix. Products keep the symmetries: the classes
    multiply as the signs (1, 1), (1, -1), (-1, 1), (-1, -1) of the two reflections do.

    The quarter has ``points`` places half way between the grid lines of a period of at least 3 waves + 1 points, so
    that quadratic products alias onto no mode that is kept: the 2/3 rule, without a place on an axis of symmetry.

    Attributes
    ----------
    modes
        The wavenumbers, counted per period, (4, size).
    kept
        Which entries are modes: not the sine of wave 0, nor fillers above ``waves``, which stay zero, (4, size).
    """

    def __init__(self, waves: int) -> None:
        self.waves = waves
        self.points = -(-(3 * waves + 1) // CLASSES)
        even = 2 * np.arange(waves // 2 + 1)
        self.modes = np.stack([even, even + 1, even, even + 1])
        self.kept = (self.modes <= waves) & ~((self.modes == 0) & (np.arange(CLASSES) > 1)[:, None])
        places = 2 * np.pi * (np.arange(self.points) + 0.5) / (CLASSES * self.points)
        self._synthesis = np.swapaxes(self.evaluate(places), 1, 2)
        weight = np.where(self.modes == 0, 1, 2) / self.points
        self._analysis: FloatArray = weight[:, :, None] * np.swapaxes(self._synthesis, 1, 2)

    def evaluate(self, angles: FloatArray) -> FloatArray:
        """Return every mode at ``angles`` (m,), 0 to 2 pi a period, (4, size, m)."""
        phase = self.modes[:, :, None] * angles
        waves = np.where((np.arange(CLASSES) < 2)[:, None, None], np.cos(phase), np.sin(phase))
        return np.where(self.kept[:, :, None], waves, 0.0)

    def analyse(self, grid_points: int) -> FloatArray:
        """Return the matrix from values on a whole grid that starts at 0 to the modes, (4 * size, grid_points)."""
        weight = np.where(self.modes == 0, 1, 2) / grid_points
        grid = 2 * np.pi * np.arange(grid_points) / grid_points
        return (weight[:, :, None] * self.evaluate(grid)).reshape(-1, grid_points)

    def differentiate(self, analysis: FloatArray) -> FloatArray:
        """Return the matrices of an analysis (4, size, ...) with d/d angle after it, for values of the mirror classes.

        The derivative of a sine is a cosine of the same wave and that of a cosine minus a sine, so class c of the
        result comes from class (c + 2) mod 4.
        """
        sign = np.where(np.arange(CLASSES) < 2, 1, -1)
        return (sign[:, None] * self.modes)[:, :, None] * np.roll(analysis, 2, axis=0)

    def slope_of_square(self, modes: tf.Tensor) -> tf.Tensor:
        """Return the modes of d(u^2)/d angle, (4, size, n), of the functions u with these modes."""
        values = self._values(modes)
        a, b, c, d = tf.unstack(values)
        square = [2 * (a * c + b * d), 2 * (a * d + b * c), a * a + b * b + c * c + d * d, 2 * (a * b + c * d)]
        return tf.matmul(self._slope(modes.dtype), tf.stack(square))

    def slope_of_products(self, modes: tf.Tensor) -> tf.Tensor:
        """Return the modes of d(u w)/d angle for u and every w of ``modes`` (4, size, functions, n); u is the first."""
        functions, n = modes.shape[2:]
        values = self._values(tf.reshape(modes, (CLASSES, -1, functions * n)))
        values = tf.reshape(values, (CLASSES, self.points, functions, n))
        a, b, c, d = tf.unstack(values[:, :, :1])
        p, q, r, s = tf.unstack(values)
        product = [
            a * r + c * p + b * s + d * q,
            a * s + d * p + b * r + c * q,
            a * p + b * q + c * r + d * s,
            a * q + b * p + c * s + d * r,
        ]
        flat = tf.reshape(tf.stack(product), (CLASSES, self.points, functions * n))
        return tf.reshape(tf.matmul(self._slope(modes.dtype), flat), (CLASSES, -1, functions, n))

    def _values(self, modes: tf.Tensor) -> tf.Tensor:
        return tf.matmul(tf.constant(self._synthesis, modes.dtype), modes)

    def _slope(self, dtype: tf.DType) -> tf.Tensor:
        """The derivative after the analysis; it takes the mirror classes first, and products are listed so."""
        return tf.constant(self.differentiate(self._analysis), dtype)
