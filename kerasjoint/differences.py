"""Finite differences: how far an unknown moves, and Jacobians of simulators that TensorFlow differentiates but once."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.hooks import Condition, Hooks, misfit_and_residuals
from kerasjoint.time_loop import traced_for
from kerasjoint.unknown import NEAR_BOUND, UnknownSpace

# A step is at least so many units in the last place of the unknown.
LEAST_UNITS = 8


def share_of(problem: Hooks, dtype: tf.DType) -> float:
    """Return which share of the typical size of a change a step is, if the simulator is as precise as its numbers.

    Example
    -------
    >>> share_of(problem, tf.float64)
    1.4901161193847656e-08
    """
    return problem.difference_step or float(np.sqrt(np.finfo(dtype.as_numpy_dtype).eps))


def typical_changes(space: UnknownSpace, xi: tf.Tensor) -> tf.Tensor:
    """Return the typical size of a change of unknowns (n, d): negative if away from an upper bound that is nearer.

    That is the scale of the unknown or, where it is nearer to a bound than that, its distance from there; at a bound
    (``NEAR_BOUND``) the scale again, since the step leads away.

    Example
    -------
    >>> typical_changes(problem.space, xi)
    """
    lower, upper, scale = (tf.constant(array, xi.dtype) for array in (space.lower, space.upper, space.scale))
    below, above = xi - lower, upper - xi
    nearest = tf.minimum(below, above)
    size = tf.where(nearest > NEAR_BOUND * scale, tf.minimum(scale, nearest), scale)
    # Far from zero the unknown itself is rounded: the step is between the best for either.
    size = tf.minimum(tf.sqrt(size) * tf.sqrt(tf.maximum(size, tf.abs(xi))), tf.maximum(below, above))
    return tf.where(above >= below, size, -size)


def steps(space: UnknownSpace, xi: tf.Tensor, share: float | NDArray[np.floating]) -> tf.Tensor:
    """Return how far each unknown moves, (n, d): this share of its typical change, (d,) or one, if not too few units.

    Example
    -------
    >>> steps(problem.space, xi, share_of(problem, xi.dtype))
    """
    step, precision = share * typical_changes(space, xi), np.finfo(xi.dtype.as_numpy_dtype)
    least = LEAST_UNITS * (float(precision.eps) * tf.abs(xi) + float(precision.tiny))
    return tf.where(tf.abs(step) >= least, step, tf.where(step < 0, -least, least))


def transposed_jacobian(
    problem: Hooks, space: UnknownSpace, xi: tf.Tensor, x: Condition, y: tf.Tensor, residuals: tf.Tensor
) -> tf.Tensor:
    """Return the transpose of the Jacobian of the ``residuals`` (n, m) at ``xi`` (n, d), (n, d, m), by d simulations.

    Zero where one of them is not finite. With a ``chunk`` the unknowns are moved one after the other, since so many
    instances are what runs well, else all at once.

    Example
    -------
    >>> transposed_jacobian(problem, problem.space, xi, x, y, residuals)
    """
    units, step = tf.eye(space.size, dtype=xi.dtype), steps(space, xi, share_of(problem, xi.dtype))

    def moved(units: tf.Tensor) -> tf.Tensor:
        """Return the residuals (k, n, m) with an unknown moved for each of ``units`` (k, d)."""
        count = units.shape[0]
        points = tf.reshape(xi + units[:, None] * step, (-1, space.size))
        many = tf.nest.map_structure(lambda array: tf.tile(array, [count, *[1] * (array.shape.rank - 1)]), (x, y))
        with traced_for("values"):
            return tf.reshape(misfit_and_residuals(problem, space, points, *many)[1], (count, *residuals.shape))

    found = tf.map_fn(lambda unit: moved(unit[None])[0], units) if problem.chunk else moved(units)
    slopes = (found - residuals) / tf.transpose((xi + step) - xi)[:, :, None]
    slopes = tf.where(tf.math.is_finite(slopes), slopes, 0.0)
    return tf.transpose(slopes, (1, 0, 2))
