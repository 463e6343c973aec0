"""What all wrapped simulators share: name, signature, pickling, and arguments as tensors."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np
import tensorflow as tf

from kerasjoint.errors import ArgumentError


class WrappedFunction:
    """A user's function behind a TensorFlow interface; ``__wrapped__`` is the function itself.

    Parameters
    ----------
    wrapper
        The public function that wraps it, for messages.
    function
        The user's function.
    """

    # AutoGraph looks for the mark of ``do_not_convert`` on the object that is called, not on its ``__call__``.
    autograph_info__ = None

    __name__: str
    __wrapped__: Callable[..., Any]

    def __init__(self, wrapper: str, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise ArgumentError(wrapper, "a function", repr(function))
        self.__name__ = type(function).__name__
        update_wrapper(self, function, updated=())
        self.label = f"{wrapper}({self.__name__})"

    def __call__(self, *arguments: Any) -> Any:
        """Call the function on TensorFlow tensors."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.label

    def __reduce_ex__(self, protocol: Any) -> Any:
        # As a decorator, the wrapper has taken the function's place in its module, where pickle would look for it.
        name = getattr(self, "__qualname__", self.__name__)
        try:
            found = operator.attrgetter(name)(sys.modules[self.__module__])
        except (AttributeError, KeyError):
            found = None
        return name if found is self else super().__reduce_ex__(protocol)


def as_tensors(label: str, leaves: Sequence[Any]) -> list[tf.Tensor]:
    """Return the leaves of the arguments as tensors; numbers and NumPy arrays take the tensors' floating dtype."""
    kinds = [leaf.dtype if tf.is_tensor(leaf) else _array_dtype(label, leaf) for leaf in leaves]
    candidates = sorted(zip(map(tf.is_tensor, leaves), kinds, strict=True), key=lambda pair: not pair[0])
    dtype = next((kind for _, kind in candidates if kind.is_floating), None)
    if dtype is None:
        raise ArgumentError(label, "a floating-point tensor among the arguments", "none")
    return [
        tf.convert_to_tensor(leaf) if tf.is_tensor(leaf) else tf.constant(leaf, dtype if kind.is_floating else kind)
        for leaf, kind in zip(leaves, kinds, strict=True)
    ]


def _array_dtype(label: str, leaf: Any) -> tf.DType:
    array = np.asarray(leaf)
    if array.dtype.kind not in "fiubc":
        raise ArgumentError(label, "tensors, arrays or numbers as arguments", type(leaf).__name__)
    return tf.as_dtype(array.dtype)


def refuse_forward_mode(label: str, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Return the tensors such that forward mode raises: in graphs it takes a ``tf.custom_gradient`` for a constant."""
    message = f"{label}: expected derivatives in reverse mode (integrate: mode='reverse'), got forward mode"
    return [
        tf.raw_ops.PreventGradient(input=tensor, message=message)
        if tensor.dtype.is_floating or tensor.dtype.is_complex
        else tensor
        for tensor in tensors
    ]
