"""Robust losses: functions of a squared residual that grow slower than it, as in ``scipy.optimize.least_squares``.

A residual r counts as ``scale**2 * rho((r / scale)**2)``, which is r^2 where r is much smaller than the scale.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from kerasjoint.checks import check_choice, check_positive

EPSILON = float(np.finfo(np.float64).eps)


def _linear(z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    return z, tf.ones_like(z), tf.zeros_like(z)


def _huber(z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    inside, root = z <= 1, tf.sqrt(tf.maximum(z, 1.0))
    return tf.where(inside, z, 2 * root - 1), 1 / root, tf.where(inside, tf.zeros_like(z), -0.5 / root**3)


def _soft_l1(z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    root = tf.sqrt(1 + z)
    return 2 * z / (1 + root), 1 / root, -0.5 / root**3


# rho with its first and second derivative, at z = (r / scale)^2.
ROBUST_LOSSES: dict[str, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]] = {
    "linear": _linear,
    "huber": _huber,
    "soft_l1": _soft_l1,
}


def check_robust(name: str, scale: float, owner: str) -> None:
    """Refuse an unknown loss, and a scale that is not a positive number."""
    check_choice(f"{owner}.robust_loss", name, tuple(ROBUST_LOSSES))
    check_positive(**{f"{owner}.robust_scale": scale})


def robust_loss(name: str, scale: float, residuals: tf.Tensor) -> tf.Tensor:
    """Return what each residual counts.

    Example
    -------
    >>> robust_loss("huber", 0.1, residuals)
    """
    if name == "linear":
        return tf.square(residuals)
    return scale**2 * ROBUST_LOSSES[name](tf.square(residuals / scale))[0]


def robust_weights(name: str, scale: float, residuals: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the weights (slope, curvature) of each residual in the least-squares model of the loss.

    With J the Jacobian of residuals r, the loss has the gradient 2 J^T (slope r), and 2 J^T (curvature J) stands for
    its Hessian: Triggs's correction, never negative.
    """
    z = tf.square(residuals / scale)
    _, slope, change = ROBUST_LOSSES[name](z)
    return slope, tf.maximum(slope + 2 * change * z, EPSILON)
