"""Simulators that run as Python code on the host: called directly, or from a graph through ``tf.numpy_function``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError
from kerasjoint.host_calls import BLACK_BOX, WRAPPED
from kerasjoint.wrappers.base import WrappedFunction, as_tensors, refuse_forward_mode
from kerasjoint.wrappers.isolation import Isolation

Array = NDArray[Any]


@dataclass(frozen=True)
class Layout:
    """Where the leaves of the arguments belong, without the tensors themselves: graphs keep it alive."""

    structure: tuple[Any, ...]
    floating: tuple[int, ...]
    dtype: tf.DType
    leading: int
    shared: frozenset[int]

    def pack(self, leaves: Sequence[Array]) -> tuple[Any, ...]:
        """Return the arguments that the user's function takes."""
        return tf.nest.pack_sequence_as(self.structure, leaves)

    def split(self, leaves: Sequence[Array]) -> list[bool]:
        """Return which leaves hold one entry for each instance, (n, ...)."""
        n = leaves[self.leading].shape[:1]
        return [array.shape[:1] == n and k not in self.shared for k, array in enumerate(leaves)]


class HostFunction(WrappedFunction):
    """A Python function of arrays as a TensorFlow function that XLA cannot compile.

    Operations in graphs have names that start with ``kerasjoint_host``, or ``kerasjoint_black_box`` without a gradient.
    Calls within one graph run one after the other, but two graphs in two threads may call at the same time. There is no
    lock, since the evaluator runs host calls one at a time.

    Where it raises for some instances, they count as not finite, and the others go on.

    Subclasses define ``run`` and, if ``differentiable``, ``pull_back``.

    Parameters
    ----------
    wrapper
        The public function that wraps it, for messages.
    function
        The user's function.
    shape
        The shapes of the results per instance, or ``None``; see ``wrap_numpy``.
    """

    differentiable = True

    def __init__(self, wrapper: str, function: Callable[..., Any], shape: Any) -> None:
        super().__init__(wrapper, function)
        # Plain tuples, since TensorFlow's objects would make a problem that has it equal to itself alone.
        self._shape = shape
        _ = self._declared

    @cached_property
    def _declared(self) -> Any:
        return None if self._shape is None else _declared_shapes(self.label, self._shape)

    @cached_property
    def _isolation(self) -> Isolation:
        # Computed and kept, so that what it learns is no part of the identity of a problem.
        return Isolation(self.label)

    def run(self, arguments: tuple[Any, ...]) -> Any:
        """Call the function on NumPy arrays; return a structure of what ``numpy.asarray`` accepts."""
        raise NotImplementedError

    def pull_back(self, arguments: tuple[Any, ...], cotangent: Any) -> list[Any]:
        """Return the gradients with respect to the leaves of the arguments, ``None`` for zero."""
        raise NotImplementedError

    @tf.autograph.experimental.do_not_convert
    def __call__(self, *arguments: Any) -> Any:
        """Call the function directly when eager; otherwise add it to the graph."""
        tensors = as_tensors(self.label, tf.nest.flatten(arguments))
        floating = tuple(k for k, tensor in enumerate(tensors) if tensor.dtype.is_floating)
        shared = self._isolation.shared(tensors)
        candidates = [k for k in floating if tensors[k].shape.rank != 0]
        if not candidates:
            raise ArgumentError(self.label, "a floating-point argument of shape (n, ...)", "scalars only")
        leading = next((k for k in candidates if k not in shared), candidates[0])
        structure, dtype = tf.nest.map_structure(lambda _: 0, arguments), tensors[floating[0]].dtype
        layout = Layout(structure, floating, dtype, leading, shared - {leading})

        @tf.custom_gradient
        def evaluate(*inputs: tf.Tensor) -> tuple[Any, Callable[..., list[tf.Tensor | None]]]:
            results = self._values(layout, inputs)
            structure = tf.nest.map_structure(lambda _: 0, results)
            return results, lambda *upstream: self._gradients(layout, inputs, structure, upstream)

        return evaluate(*tensors)

    def _values(self, layout: Layout, tensors: Sequence[tf.Tensor]) -> Any:
        declared = self._declared
        if declared is None and not tf.executing_eagerly():
            declared = tf.TensorShape(None)
        structure = declared

        def run(*arrays: Array) -> list[Array]:
            nonlocal structure
            result = self.run(layout.pack(arrays))
            if declared is None:
                structure = tf.nest.map_structure(lambda _: tf.TensorShape(None), result)
            return self._check_results(result, structure, len(arrays[layout.leading]), layout.dtype.as_numpy_dtype)

        def on_host(*arrays: Array) -> list[Array]:
            return self._isolation.call("function", run, arrays, len(arrays[layout.leading]), layout.split(arrays))

        count = len(tf.nest.flatten(declared))
        results = self._on_host(on_host, tensors, [layout.dtype] * count)
        if not tf.executing_eagerly():
            n = tensors[layout.leading].shape[:1]
            for result, shape in zip(results, tf.nest.flatten(declared), strict=True):
                result.set_shape(n.concatenate(shape))
        return tf.nest.pack_sequence_as(structure, results)

    def _gradients(
        self, layout: Layout, tensors: Sequence[tf.Tensor], structure: Any, upstream: Sequence[tf.Tensor]
    ) -> list[tf.Tensor | None]:
        count = len(tensors)
        found: list[tf.Tensor | None] = [None] * count
        if not self.differentiable:
            return found

        def pull_back(*arrays: Array) -> list[Array]:
            arguments, cotangent = arrays[:count], tf.nest.pack_sequence_as(structure, arrays[count:])
            gradients = self.pull_back(layout.pack(arguments), cotangent)
            return [self._check_gradient(gradients[k], arguments[k]) for k in layout.floating]

        def on_host(*arrays: Array) -> list[Array]:
            split = layout.split(arrays[:count])
            per_instance, split = [split[k] for k in layout.floating], split + [True] * len(upstream)
            return self._isolation.call("gradient", pull_back, arrays, len(arrays[layout.leading]), split, per_instance)

        dtypes = [tensors[k].dtype for k in layout.floating]
        gradients = self._on_host(on_host, [*tensors, *upstream], dtypes, "_gradient")
        for k, gradient in zip(layout.floating, gradients, strict=True):
            gradient.set_shape(tensors[k].shape)
            found[k] = gradient
        return found

    def _on_host(
        self,
        function: Callable[..., list[Array]],
        tensors: Sequence[tf.Tensor],
        dtypes: list[tf.DType],
        suffix: str = "",
    ) -> list[tf.Tensor]:
        tensors = refuse_forward_mode(self.label, tensors)
        if tf.executing_eagerly():
            return [tf.constant(array) for array in function(*(np.array(tensor.numpy()) for tensor in tensors))]
        kind = WRAPPED if self.differentiable else BLACK_BOX
        name = f"{kind}_{re.sub(r'[^A-Za-z0-9_]', '_', self.__name__)}{suffix}"
        # Copies, since the arrays are TensorFlow's own memory, which the user's function might overwrite.
        return tf.numpy_function(lambda *arrays: function(*map(np.array, arrays)), tensors, dtypes, name=name)

    def _check_results(self, result: Any, structure: Any, n: int, dtype: Any) -> list[Array]:
        if isinstance(result, list) and not isinstance(self._declared, tuple):
            expected = "an array with the instances first, as np.stack makes of one for each, or a tuple of such arrays"
            raise ArgumentError(self.label, expected, f"a list of {len(result)}")
        if not _same_structure(structure, result):
            expected = "results as declared by shape="
            if self._declared is None:
                expected = "a lone array in a compiled function, or shape= to declare several results"
            raise ArgumentError(self.label, expected, _outline(result))
        leaves = zip(tf.nest.flatten(result), tf.nest.flatten(structure), strict=True)
        return [self._check_result(leaf, shape, n, dtype) for leaf, shape in leaves]

    def _check_result(self, leaf: Any, shape: tf.TensorShape, n: int, dtype: Any) -> Array:
        array = np.asarray(leaf)
        if array.dtype.kind not in "fiub":
            raise ArgumentError(self.label, "results that are real numbers", f"dtype {array.dtype}")
        if array.shape[:1] != (n,):
            raise ArgumentError(self.label, f"results with the {n} instances first", f"shape {array.shape}")
        if not shape.is_compatible_with(array.shape[1:]):
            expected = f"a result of shape {tuple(shape)} per instance, as declared"
            raise ArgumentError(self.label, expected, array.shape[1:])
        # A copy, since the function may overwrite its array in the next call while TensorFlow still reads it.
        return np.array(array, dtype)

    def _check_gradient(self, gradient: Any, argument: Array) -> Array:
        if gradient is None:
            return np.zeros_like(argument)
        array = np.asarray(gradient)
        if array.dtype.kind not in "fiub":
            raise ArgumentError(self.label, "gradients that are real numbers", f"dtype {array.dtype}")
        if array.shape != argument.shape:
            raise ArgumentError(self.label, f"a gradient of its argument's shape {argument.shape}", array.shape)
        return np.array(array, argument.dtype)


def _declared_shapes(label: str, shape: Any) -> Any:
    """Return the structure of ``shape`` with a ``tf.TensorShape`` for each tuple of sizes."""
    if isinstance(shape, Mapping):
        return {name: _declared_shapes(label, part) for name, part in shape.items()}
    if not isinstance(shape, tuple | list):
        expected = "as shape= a tuple of sizes per instance, or a dict or tuple of such tuples"
        raise ArgumentError(label, expected, repr(shape))
    if any(isinstance(part, tuple | list | dict) for part in shape):
        return tuple(_declared_shapes(label, part) for part in shape)
    try:
        return tf.TensorShape(shape)
    except (TypeError, ValueError):
        raise ArgumentError(label, "as shape= sizes that are integers or None", repr(shape)) from None


def _same_structure(structure: Any, result: Any) -> bool:
    """Compare names too, which ``tf.nest.assert_same_structure`` without its check of types does not."""
    if isinstance(structure, Mapping):
        if not isinstance(result, Mapping) or set(structure) != set(result):
            return False
        return all(_same_structure(structure[name], result[name]) for name in structure)
    if isinstance(structure, tuple | list):
        if not isinstance(result, tuple | list) or len(structure) != len(result):
            return False
        return all(map(_same_structure, structure, result))
    return not tf.nest.is_nested(result)


def _outline(result: Any) -> str:
    """What a message says of a structure."""
    if isinstance(result, Mapping):
        return "{" + ", ".join(f"{name!r}: {_outline(part)}" for name, part in result.items()) + "}"
    if tf.nest.is_nested(result):
        return "(" + ", ".join(map(_outline, result)) + ")"
    return f"shape {np.shape(result)}"
