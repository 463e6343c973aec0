"""Mixtures of Gaussians as networks put them out: one for each instance, with likelihood and samples."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Standard deviations, in normalised coordinates, lie between exp(-LOG_RANGE) and exp(LOG_RANGE).
LOG_RANGE = 6.0
# The network's numbers are of order one, and d of them add up in each direction.
CORRELATION_SCALE = 0.3


class Mixture(NamedTuple):
    """n mixtures of k Gaussians over d numbers: z = mean + deviation * L^-1 v with v standard normal.

    L is lower triangular with ones on its diagonal; the precision of a component is D^-1 L^T L D^-1, D its deviations
    (Williams, 1996, Neural Computation 8: a network puts out the Cholesky factor of the precision). A diagonal one has
    L = 1.

    Attributes
    ----------
    log_weight
        Logarithms of the weights, (n, k).
    mean, deviation
        (n, k, d). Without ``lower`` these are the standard deviations.
    lower
        What L has below its diagonal, row by row, (n, k, d (d - 1) / 2); ``None``: nothing.
    """

    log_weight: tf.Tensor
    mean: tf.Tensor
    deviation: tf.Tensor
    lower: tf.Tensor | None

    def log_density(self, z: tf.Tensor) -> tf.Tensor:
        """Return log p(z), (n,), at points (n, d)."""
        v = (z[:, None] - self.mean) / self.deviation
        if self.lower is not None:
            # Products with zeros and ones: XLA takes three times as long to place numbers in matrices.
            row, column = (tf.one_hot(places, v.shape[-1], dtype=v.dtype) for places in _below(v.shape[-1]))
            v += tf.tensordot(self.lower * tf.tensordot(v, column, ((2,), (1,))), row, 1)
        exponent = -0.5 * tf.square(v) - tf.math.log(self.deviation) - 0.5 * math.log(2 * math.pi)
        return tf.reduce_logsumexp(self.log_weight + tf.reduce_sum(exponent, axis=2), axis=1)

    def means(self) -> FloatArray:
        """Return the means, the most probable component first, (n, k, d)."""
        order = np.argsort(-self.log_weight.numpy(), axis=1, kind="stable")
        return np.take_along_axis(self.mean.numpy().astype(np.float64), order[..., None], axis=1)

    def samples(self, normal: FloatArray, uniform: FloatArray) -> FloatArray:
        """Return points made of standard normal numbers (n, m, d) and, for the component, uniform ones (n, m)."""
        share = np.cumsum(np.exp(self.log_weight.numpy().astype(np.float64)), axis=1)
        chosen = (uniform[..., None] * share[:, None, -1:] > share[:, None]).sum(axis=2)
        rows = np.arange(len(share))[:, None]
        mean, deviation = (part.numpy().astype(np.float64)[rows, chosen] for part in (self.mean, self.deviation))
        if self.lower is None:
            return mean + deviation * normal
        points, factors = np.empty_like(normal), self.factors()
        for component in range(factors.shape[1]):
            # L^-1 of one component of each instance; its samples are few.
            inverse = np.linalg.inv(factors[:, component])
            solved = np.einsum("nij,nmj->nmi", inverse, normal)
            points = np.where((chosen == component)[..., None], solved, points)
        return mean + deviation * points

    def factors(self) -> FloatArray:
        """Return the matrices L, (n, k, d, d)."""
        size = self.mean.shape[-1]
        factors = np.tile(np.eye(size), (*self.mean.shape[:2], 1, 1))
        if self.lower is not None:
            factors[:, :, *_below(size)] = self.lower.numpy()
        return factors


def numbers_of(components: int, unknowns: int, full: bool) -> int:
    """Return how many numbers a network puts out for a mixture."""
    return components * (1 + 2 * unknowns + full * (unknowns * (unknowns - 1) // 2))


def mixture_of(
    output: tf.Tensor, components: int, unknowns: int, full: bool, order: NDArray[np.intp] | None
) -> Mixture:
    """Read a mixture from a network's output (n, ``numbers_of(...)``).

    First come the weights, then for each unknown the means and the spreads of all components, then for each component
    what is below the diagonal. ``order`` says where the network puts each unknown.
    """
    weight, normal, lower = tf.split(output, (components, 2 * components * unknowns, -1), axis=1)
    normal = tf.reshape(normal, (-1, unknowns, 2, components))
    if order is not None:
        normal = tf.gather(normal, order, axis=1)
    mean, spread = tf.unstack(tf.transpose(normal, (2, 0, 3, 1)))
    deviation = tf.exp(LOG_RANGE * tf.tanh(spread / LOG_RANGE))
    pairs = full * (unknowns * (unknowns - 1) // 2)
    lower = CORRELATION_SCALE * tf.reshape(lower, (-1, components, pairs)) if pairs else None
    return Mixture(tf.nn.log_softmax(weight, axis=1), mean, deviation, lower)


def unknowns_of(output_size: int, components: int, full: bool) -> int:
    """Return for how many unknowns ``output_size`` numbers are a mixture; 0 for none."""
    fitting = (d for d in range(1, output_size + 1) if numbers_of(components, d, full) >= output_size)
    found = next(fitting, 0)
    return found if found and numbers_of(components, found, full) == output_size else 0


def _below(size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and the columns of what is below the diagonal of a matrix, row by row."""
    row, column = np.tril_indices(size, -1)
    return row, column
