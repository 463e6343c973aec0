"""The compiled objective: unknowns in, one loss per instance out, with the gradient, masked and spread over cores."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from kerasjoint.batching import padded_size, sizes_side_by_side
from kerasjoint.cores import cores
from kerasjoint.errors import ArgumentError
from kerasjoint.time_loop import values_only
from kerasjoint.xla_flags import compile_small_products

if TYPE_CHECKING:
    from kerasjoint.problem import InverseProblem

Condition = dict[str, tf.Tensor]


class CompiledObjective:
    """The functions of one problem, compiled with XLA once per batch size, shapes and dtype.

    They take flat unknowns (m, d), the instance each row belongs to (m,), and the condition by name and the observation
    of all instances. Where the problem has a ``chunk``, the rows are cut into ``pieces`` that run side by side on the
    cores (m must be a ``padded_size``). Instances are isolated: where the loss or a component of its gradient is not
    finite, that instance has loss +inf and gradient zero, and no other is touched.
    """

    def __init__(self, problem: InverseProblem) -> None:
        compile_small_products()
        self._problem = problem
        self._takes_any_number = False
        self.shapes_done: set[tuple[Any, ...]] = set()
        self.value = _Sharded(problem, self._masked_value, outputs=1)
        self.value_and_gradient = _Sharded(problem, self._masked_value_and_gradient, outputs=2)
        self.predict = _Sharded(problem, self._predict_only, outputs=1)

    def differentiable_value(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tf.Tensor:
        """Return the losses (n,) of all instances such that gradients taken through them are the masked ones."""
        n = xi.shape[0]
        rows = None
        if self._problem.chunk is not None:
            rows = tf.minimum(tf.range(padded_size(n, self._problem.chunk)), n - 1)

        @tf.custom_gradient
        def evaluate(xi: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            padded = xi if rows is None else tf.gather(xi, rows)
            value, gradient = self.value_and_gradient(tf.stop_gradient(padded), rows, x, y)
            return value[:n], lambda upstream: upstream[:, None] * gradient[:n]

        return evaluate(xi)

    def _predict(self, xi: tf.Tensor, x: Condition) -> Any:
        try:
            return self._problem.forward(self._problem.space.unflatten(xi), x)
        except (NotImplementedError, AttributeError) as error:
            if "ymbolic" not in str(error):
                raise
            expected = "TensorFlow operations throughout, no NumPy"
            raise ArgumentError(self._problem.forward_name, expected, error) from None

    def _predict_only(self, xi: tf.Tensor, x: Condition, _: tuple[()]) -> Any:
        with values_only():
            return self._predict(xi, x)

    def _loss(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tf.Tensor:
        name = self._problem.forward_name
        prediction = self._predict(xi, x)
        if tf.is_tensor(prediction):
            if not prediction.shape.is_compatible_with(y.shape):
                raise ArgumentError(name, f"the observation's shape {tuple(y.shape)}", prediction.shape)
            if prediction.dtype != y.dtype:
                raise ArgumentError(name, f"the dtype of its inputs, {y.dtype.name}", prediction.dtype.name)
        loss = self._problem.loss(prediction, y)
        if not loss.shape.is_compatible_with(xi.shape[:1]):
            name = f"{type(self._problem).__name__}.loss"
            raise ArgumentError(name, f"one loss per instance, shape ({xi.shape[0]},)", loss.shape)
        return loss

    def _check_takes_any_number(self, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> None:
        """Refuse a problem that knows its instances by another way than ``x``: subsets would meet the wrong ones.

        Shapes tell: it is traced once, without being compiled or run, for one instance more.
        """
        if self._takes_any_number:
            return
        another = tf.nest.map_structure(
            lambda array: tf.TensorSpec((array.shape[0] + 1, *array.shape[1:]), array.dtype), (xi, x, y)
        )
        try:
            with tf.init_scope(), values_only():
                tf.function(self._loss, autograph=False).get_concrete_function(*another)
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            expected = "a function of any number of instances, whose arrays all come as arguments"
            got = f"one for {xi.shape[0]} alone ({str(error).splitlines()[0]})"
            raise ArgumentError(self._problem.forward_name, expected, got) from None
        self._takes_any_number = True

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
            expected = "a result that depends on the unknowns through TensorFlow"
            raise ArgumentError(self._problem.forward_name, expected, "no gradient")
        self._check_takes_any_number(xi, x, y)
        finite = tf.math.is_finite(loss) & tf.reduce_all(tf.math.is_finite(gradient), axis=1)
        return tf.where(finite, loss, float("inf")), tf.where(finite[:, None], gradient, 0.0)


class _Sharded:
    """A function of (xi, x, y), compiled for pieces of a batch; the pieces run side by side on the cores."""

    def __init__(self, problem: InverseProblem, function: Callable[..., Any], outputs: int) -> None:
        self._problem = problem
        self._kernel = _PerShape(function)
        self._outputs = outputs
        self._batches: dict[Any, Any] = {}

    def __call__(self, xi: tf.Tensor, rows: tf.Tensor | None, x: Condition, y: Any) -> Any:
        """Evaluate ``xi`` (m, d) of the instances ``rows`` (m,); ``None``: of all, in their order, without pieces."""
        if rows is None:
            return self._kernel(xi, x, y)
        sizes = sizes_side_by_side(xi.shape[0], self._problem.chunk)
        leading = None if sizes else xi.shape[0]
        arrays = tf.nest.flatten((xi, x, y))
        key = (sizes, leading, cores(), *x, *((array.shape[1:], array.dtype) for array in arrays))
        try:
            if key not in self._batches:
                batch = partial(self._pieces, sizes, cores()) if sizes else partial(self._whole)
                # A concrete function, since finding the right one of a tf.function takes longer than a short call.
                self._batches[key] = tf.function(batch, autograph=False).get_concrete_function(
                    tf.TensorSpec((leading, xi.shape[1]), xi.dtype),
                    tf.TensorSpec((leading,), rows.dtype),
                    *tf.nest.map_structure(lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), (x, y)),
                )
            return self._batches[key](xi, rows, x, y)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            if "XLA" not in str(error):
                raise
            expected = "operations that XLA can compile"
            raise ArgumentError(self._problem.forward_name, expected, _reason(error)) from None

    def _whole(self, xi: tf.Tensor, rows: tf.Tensor, x: Condition, y: Any) -> Any:
        return self._kernel(xi, *tf.nest.map_structure(lambda array: tf.gather(array, rows), (x, y)))

    def _pieces(
        self, sizes: tuple[int, ...], side_by_side: int, xi: tf.Tensor, rows: tf.Tensor, x: Condition, y: Any
    ) -> Any:
        if len(sizes) == 1:
            return self._side_by_side(sizes[0], side_by_side, xi, rows, x, y)
        chunks = side_by_side * sizes[0]
        split = tf.shape(xi)[0] // chunks * chunks
        first = self._side_by_side(sizes[0], side_by_side, xi[:split], rows[:split], x, y)
        # One after the other: both together would take twice the cores.
        with tf.control_dependencies(tf.nest.flatten(first)):
            last = self._side_by_side(sizes[1], side_by_side, xi[split:], rows[split:], x, y)
        return tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), first, last)

    def _side_by_side(self, size: int, most: int, xi: tf.Tensor, rows: tf.Tensor, x: Condition, y: Any) -> Any:
        found = tf.map_fn(
            lambda piece: self._whole(piece[0], piece[1], x, y),
            (tf.reshape(xi, (-1, size, xi.shape[1])), tf.reshape(rows, (-1, size))),
            parallel_iterations=most,
            fn_output_signature=xi.dtype if self._outputs == 1 else (xi.dtype,) * self._outputs,
        )
        return tf.nest.map_structure(_join, found)


class _PerShape:
    """One XLA-compiled ``tf.function`` for each combination of shapes and dtypes: further ones are meant to be traced.

    A single one would warn of its many traces. It recognises a function by its code, hence the ``partial``.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._compiled: dict[Any, Any] = {}

    def __call__(self, *arguments: Any) -> Any:
        flat = tf.nest.flatten(arguments)
        key = (tuple(arguments[1]), *((tuple(part.shape), part.dtype) for part in flat))
        if key not in self._compiled:
            self._compiled[key] = tf.function(partial(self._function), jit_compile=True, autograph=False)
        return self._compiled[key](*arguments)


def _reason(error: tf.errors.OpError) -> str:
    """The line of TensorFlow's report that says what XLA refused."""
    lines = str(error.message).splitlines()
    return next((line for line in lines if "XLA" in line), lines[0]).strip()


def _join(pieces: tf.Tensor) -> tf.Tensor:
    return tf.reshape(pieces, tf.concat([[-1], tf.shape(pieces)[2:]], axis=0))
