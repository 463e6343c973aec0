"""Mixtures of Gaussians as networks put them out: one for each instance, with likelihood and samples."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
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
        (n, k, d). Without ``below`` these are the standard deviations.
    below
        What L has below its diagonal, (n, k, d, d), zero elsewhere; ``None``: nothing.
    """

    log_weight: tf.Tensor
    mean: tf.Tensor
    deviation: tf.Tensor
    below: tf.Tensor | None

    def log_density(self, z: tf.Tensor) -> tf.Tensor:
        """Return log p(z), (n,), at points (n, d)."""
        v = (z[:, None] - self.mean) / self.deviation
        if self.below is not None:
            v += tf.linalg.matvec(self.below, v)
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
        if self.below is None:
            return mean + deviation * normal
        k, size = self.mean.shape[1:]
        points = np.empty_like(normal)
        below = self.below.numpy().astype(np.float64)
        for component in range(k):
            # L^-1 of one component of each instance; its samples are few.
            inverse = np.linalg.inv(np.eye(size) + below[:, component])
            solved = np.einsum("nij,nmj->nmi", inverse, normal)
            points = np.where((chosen == component)[..., None], solved, points)
        return mean + deviation * points


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
    ends = components * (1 + 2 * unknowns)
    normal = tf.reshape(output[:, components:ends], (-1, unknowns, 2, components))
    if order is not None:
        normal = tf.gather(normal, order, axis=1)
    mean, spread = tf.unstack(tf.transpose(normal, (2, 0, 3, 1)))
    deviation = tf.exp(LOG_RANGE * tf.tanh(spread / LOG_RANGE))
    below = None
    if full and unknowns > 1:
        pairs = unknowns * (unknowns - 1) // 2
        below = CORRELATION_SCALE * _below_diagonal(tf.reshape(output[:, ends:], (-1, components, pairs)), unknowns)
    return Mixture(tf.nn.log_softmax(output[:, :components], axis=1), mean, deviation, below)


def unknowns_of(output_size: int, components: int, full: bool) -> int:
    """Return for how many unknowns ``output_size`` numbers are a mixture; 0 for none."""
    fitting = (d for d in range(1, output_size + 1) if numbers_of(components, d, full) >= output_size)
    found = next(fitting, 0)
    return found if found and numbers_of(components, found, full) == output_size else 0


def _below_diagonal(numbers: tf.Tensor, size: int) -> tf.Tensor:
    """Return matrices (n, k, size, size) with the numbers (n, k, m) below their diagonals."""
    return tf.pad(tfp.math.fill_triangular(numbers), [[0, 0], [0, 0], [1, 0], [0, 1]])
