"""A function of (xi, x, y) compiled once per shape, for batches that are cut into pieces side by side on the cores."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from kerasjoint.batching import sizes_side_by_side
from kerasjoint.cores import cores
from kerasjoint.tracing import concrete_function

Condition = dict[str, tf.Tensor]


class Compiled:
    """A function of unknowns (m, d), condition and observation, compiled for batches of instances.

    Parameters
    ----------
    function
        Maps (xi, x, y), all with m instances, to a structure of tensors (m, ...).
    chunk
        Size of the pieces that a batch is cut into; ``None``: few large ones.
    jit_compile
        Whether XLA compiles the pieces, or TensorFlow runs them as a graph.
    outputs
        How many tensors of the dtype of ``xi`` the function returns; ``None``: a structure found by tracing.
    """

    def __init__(
        self, function: Callable[..., Any], chunk: int | None, jit_compile: bool, outputs: int | None = None
    ) -> None:
        self._chunk = chunk
        self._outputs = outputs
        self._kernel = _PerShape(function, jit_compile)
        self._function = function
        self._batches: dict[Any, Any] = {}

    def __call__(self, xi: tf.Tensor, rows: tf.Tensor | None, x: Condition, y: Any) -> Any:
        """Evaluate ``xi`` (m, d) of the instances ``rows`` (m,), m being a ``padded_size``.

        With ``rows`` = ``None``: of all instances, in their order and in one piece.
        """
        if rows is None:
            return self._kernel(xi, x, y)
        sizes = sizes_side_by_side(xi.shape[0], self._chunk)
        leading = None if sizes else xi.shape[0]
        arrays = tf.nest.flatten((xi, x, y))
        key = (sizes, leading, cores(), *x, *((array.shape[1:], array.dtype) for array in arrays))
        if key not in self._batches:
            batch = partial(self._pieces, sizes, cores()) if sizes else self._whole
            # A concrete function, since finding the right one of a tf.function takes longer than a short call.
            self._batches[key] = concrete_function(
                batch,
                tf.TensorSpec((leading, xi.shape[1]), xi.dtype),
                tf.TensorSpec((leading,), rows.dtype),
                *tf.nest.map_structure(lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), (x, y)),
            )
        return self._batches[key](xi, rows, x, y)

    def _whole(self, xi: tf.Tensor, rows: tf.Tensor, x: Condition, y: Any) -> Any:
        return self._kernel(xi, *tf.nest.map_structure(lambda array: tf.gather(array, rows), (x, y)))

    def _pieces(
        self, sizes: tuple[int, ...], side_by_side: int, xi: tf.Tensor, rows: tf.Tensor, x: Condition, y: Any
    ) -> Any:
        if len(sizes) == 1:
            return self._side_by_side(sizes[0], side_by_side, xi, rows, x, y)
        together = (side_by_side if self._chunk else 1) * sizes[0]
        split = tf.shape(xi)[0] // together * together
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
            fn_output_signature=self._signature(size, xi, x, y),
        )
        return tf.nest.map_structure(_join, found)

    def _signature(self, size: int, xi: tf.Tensor, x: Condition, y: Any) -> Any:
        """Return the dtypes of one piece's result."""
        if self._outputs is not None:
            return xi.dtype if self._outputs == 1 else (xi.dtype,) * self._outputs
        specs = tf.nest.map_structure(lambda array: tf.TensorSpec((size, *array.shape[1:]), array.dtype), (xi, x, y))
        return abstract_result(self._function, *specs)


class _PerShape:
    """One compiled ``tf.function`` for each combination of shapes and dtypes: further ones are meant to be traced.

    A single one would warn of its many traces. It recognises a function by its code, hence the ``partial``.
    """

    def __init__(self, function: Callable[..., Any], jit_compile: bool) -> None:
        self._function = function
        self._jit_compile = jit_compile
        self._compiled: dict[Any, Any] = {}

    def __call__(self, *arguments: Any) -> Any:
        flat = tf.nest.flatten(arguments)
        key = (tuple(arguments[1]), *((tuple(part.shape), part.dtype) for part in flat))
        if key not in self._compiled:
            self._compiled[key] = tf.function(partial(self._function), jit_compile=self._jit_compile, autograph=False)
        return self._compiled[key](*arguments)


def abstract_result(function: Callable[..., Any], *specs: Any) -> Any:
    """Return the ``tf.TensorSpec`` of what a function returns."""
    outputs = concrete_function(function, *specs).structured_outputs
    return tf.nest.map_structure(lambda part: tf.TensorSpec(part.shape, part.dtype), outputs)


def _join(pieces: tf.Tensor) -> tf.Tensor:
    return tf.reshape(pieces, tf.concat([[-1], tf.shape(pieces)[2:]], axis=0))
