"""The functions of a problem that an evaluator compiles and runs: of a batch of instances, each masked for itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kerasjoint import differences
from kerasjoint.errors import NoGradientError
from kerasjoint.hooks import Condition, Hooks, objective, predict, regularizer
from kerasjoint.least_squares import Linear, Prior, linearized, normal_equations, regularizer_with_hessian
from kerasjoint.least_squares import weighted_jacobian as weighted
from kerasjoint.time_loop import traced_for
from kerasjoint.unknown import UnknownSpace

# How many tensors of the dtype of the unknowns each function returns; others return a structure.
OUTPUTS = {"value": 1, "value_and_gradient": 2, "normal_equations": 3, "weighted_jacobian": 4}
LOSSES = ("value", "value_and_gradient", "normal_equations")
JACOBIANS = ("normal_equations", "weighted_jacobian")


class Functions:
    """Values and derivatives at unknowns ``xi`` (n, d) with condition ``x`` and observation ``y``, by TensorFlow.

    Where the loss or a derivative of an instance is not finite, its loss is +inf and its derivatives zero.

    Attributes
    ----------
    precision
        The relative precision of the Jacobians computed last.

    Example
    -------
    >>> loss, gradient = Functions(problem, space).value_and_gradient(xi, x, y)
    """

    def __init__(self, problem: Hooks, space: UnknownSpace) -> None:
        self._problem, self._space = problem, space
        # Of Jacobians, relative: known once one was computed.
        self.precision = float(np.finfo(np.float64).eps)

    def predict(self, xi: tf.Tensor, x: Condition, _: tuple[()]) -> Any:
        """Return what ``forward`` gives."""
        with traced_for("values"):
            return predict(self._problem, self._space, xi, x)

    def objective(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tf.Tensor:
        """Return the losses (n,), not masked."""
        with traced_for("values"):
            return objective(self._problem, self._space, xi, x, y)

    def penalty(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tf.Tensor:
        """Return the regularizers (n,), not masked."""
        return regularizer(self._problem, self._space, xi, x)

    def value(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tf.Tensor:
        """Return the losses (n,)."""
        return masked(self.objective(xi, x, y))[0]

    def value_and_gradient(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the losses (n,) and gradients (n, d)."""
        with tf.GradientTape() as tape:
            tape.watch(xi)
            loss = objective(self._problem, self._space, xi, x, y)
        gradient = tape.gradient(loss, xi)
        if gradient is None:
            raise NoGradientError(self._problem.hook_name("forward"))
        return masked(loss, gradient)

    def normal_equations(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the losses (n,), gradients (n, d) and Hessians (n, d, d) of Gauss and Newton."""
        return masked(*normal_equations(self._problem, self.linearized(xi, x, y), self.prior(xi, x)))

    def weighted_jacobian(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return misfits (n,), Jacobians (n, k, d), Hessians of regularizers (n, d, d) and residuals (n, k)."""
        return masked(*weighted(self._problem, self.linearized(xi, x, y), self.prior(xi, x)))

    def linearized(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> Linear:
        """Return the misfit (n,), the residuals (n, k), and the transpose of their Jacobian, (n, d, k)."""
        linear = linearized(self._problem, self._space, xi, x, y)
        if linear.gradient is not None:
            self.precision = differences.share_of(self._problem, xi.dtype)
        return linear

    def prior(self, xi: tf.Tensor, x: Condition) -> Prior:
        """Return the regularizer (n,), its gradient (n, d) and Hessian (n, d, d)."""
        return regularizer_with_hessian(self._problem, self._space, xi, x)


def masked(loss: tf.Tensor, *parts: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Return the losses (n,), +inf where one of the parts (n, ...) is not finite, and the parts, zero there."""
    finite = tf.math.is_finite(loss)
    for part in parts:
        finite &= tf.reduce_all(tf.math.is_finite(part), axis=list(range(1, part.shape.rank)))
    loss = tf.where(finite, loss, float("inf"))
    return loss, *(tf.where(tf.reshape(finite, (-1, *[1] * (part.shape.rank - 1))), part, 0.0) for part in parts)
