"""The compiled objective: unknowns in, one loss per instance out, with the gradient, masked and spread over cores."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from kerasjoint.errors import ArgumentError
from kerasjoint.time_loop import values_only

if TYPE_CHECKING:
    from kerasjoint.problem import InverseProblem

Condition = dict[str, tf.Tensor]


class CompiledObjective:
    """The functions of one problem, compiled with XLA once per batch shape and dtype.

    They take flat unknowns (n, d), the condition by name and the observation, so that problem sets of equal shapes
    share them. Instances are isolated: where the loss or a component of its gradient is not finite, that instance has
    loss +inf and gradient zero, and no other is touched.
    """

    def __init__(self, problem: InverseProblem) -> None:
        self._problem = problem
        self.shapes_done: set[tuple[Any, ...]] = set()
        self._kernel_value = _PerShape(self._masked_value, jit_compile=True)
        self._kernel_value_and_gradient = _PerShape(self._masked_value_and_gradient, jit_compile=True)
        self.value = _PerShape(self._chunked_value, jit_compile=False)
        self.value_and_gradient = _PerShape(self._chunked_value_and_gradient, jit_compile=False)
        self.predict = _PerShape(self._predict_only, jit_compile=True)

    def differentiable_value(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tf.Tensor:
        """Return the losses (n,) such that gradients taken through them are the masked ones."""

        @tf.custom_gradient
        def evaluate(xi: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            value, gradient = self.value_and_gradient(tf.stop_gradient(xi), x, y)
            return value, lambda upstream: upstream[:, None] * gradient

        return evaluate(xi)

    def _predict(self, xi: tf.Tensor, x: Condition) -> Any:
        try:
            return self._problem.forward(self._problem.space.unflatten(xi), x)
        except (NotImplementedError, AttributeError) as error:
            if "ymbolic" not in str(error):
                raise
            name = type(self._problem).__name__
            raise ArgumentError(f"{name}.forward", "TensorFlow operations throughout, no NumPy", error) from None

    def _predict_only(self, xi: tf.Tensor, x: Condition) -> Any:
        with values_only():
            return self._predict(xi, x)

    def _loss(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tf.Tensor:
        name = type(self._problem).__name__
        prediction = self._predict(xi, x)
        if tf.is_tensor(prediction):
            if not prediction.shape.is_compatible_with(y.shape):
                raise ArgumentError(f"{name}.forward", f"the observation's shape {tuple(y.shape)}", prediction.shape)
            if prediction.dtype != y.dtype:
                raise ArgumentError(
                    f"{name}.forward", f"the dtype of its inputs, {y.dtype.name}", prediction.dtype.name
                )
        loss = self._problem.loss(prediction, y)
        if not loss.shape.is_compatible_with(xi.shape[:1]):
            raise ArgumentError(f"{name}.loss", f"one loss per instance, shape ({xi.shape[0]},)", loss.shape)
        return loss

    def _masked_value(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tf.Tensor:
        with values_only():
            loss = self._loss(xi, x, y)
        return tf.where(tf.math.is_finite(loss), loss, float("inf"))

    def _masked_value_and_gradient(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(xi)
            loss = self._loss(xi, x, y)
        gradient = tape.gradient(loss, xi)
        if gradient is None:
            name = type(self._problem).__name__
            raise ArgumentError(f"{name}.forward", "a result that depends on xi through TensorFlow", "no gradient")
        finite = tf.math.is_finite(loss) & tf.reduce_all(tf.math.is_finite(gradient), axis=1)
        return tf.where(finite, loss, float("inf")), tf.where(finite[:, None], gradient, 0.0)

    def _chunked_value(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tf.Tensor:
        return tf.concat([self._kernel_value(*part) for part in self._chunks(xi, x, y)], axis=0)

    def _chunked_value_and_gradient(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parts = [self._kernel_value_and_gradient(*part) for part in self._chunks(xi, x, y)]
        value, gradient = (tf.concat(pieces, axis=0) for pieces in zip(*parts, strict=True))
        return value, gradient

    def _chunks(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> list[tuple[tf.Tensor, Condition, tf.Tensor]]:
        n = xi.shape[0]
        chunk = self._problem.chunk or n
        return [
            tf.nest.map_structure(lambda array, k=start: array[k : k + chunk], (xi, x, y))
            for start in range(0, n, chunk)
        ]


class _PerShape:
    """One ``tf.function`` for each combination of shapes and dtypes: further shapes are meant to be compiled anew.

    A single one would warn of its many traces. It recognises a function by its code, hence the ``partial``.
    """

    def __init__(self, function: Callable[..., Any], *, jit_compile: bool) -> None:
        self._function = function
        self._jit_compile = jit_compile
        self._compiled: dict[Any, Any] = {}

    def __call__(self, *arguments: Any) -> Any:
        flat = tf.nest.flatten(arguments)
        key = (tuple(arguments[1]), *((tuple(tensor.shape), tensor.dtype) for tensor in flat))
        if key not in self._compiled:
            self._compiled[key] = tf.function(partial(self._function), jit_compile=self._jit_compile, autograph=False)
        return self._compiled[key](*arguments)


def padded_size(n: int, chunk: int | None) -> int:
    """Return the batch size that ``n`` instances are padded to, so that a few compiled sizes serve every n.

    With a chunk: whole chunks, or a power of two below one chunk. Without: a power of four.
    """
    if chunk is not None and n > chunk:
        return -(-n // chunk) * chunk
    power = 1 << (n - 1).bit_length()
    if chunk is not None:
        return min(power, chunk)
    return power if power.bit_length() % 2 else 2 * power
