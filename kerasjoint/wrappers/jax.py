"""Simulators written in JAX, compiled with XLA together with everything around them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from kerasjoint.errors import ArgumentError
from kerasjoint.optional import require
from kerasjoint.wrappers.base import WrappedFunction, as_tensors, refuse_forward_mode


def wrap_jax(f: Callable[..., Any]) -> Callable[..., Any]:
    """Make a JAX function callable on TensorFlow tensors, for use inside ``InverseProblem.forward``.

    The function becomes part of the TensorFlow graph, through ``jax.experimental.jax2tf``: it is compiled with XLA, and
    its derivatives are those of JAX. It is traced once for every graph that uses it, and at every eager call.

    Parameters
    ----------
    f
        A function of JAX arrays that ``jax.jit`` can compile. It takes all instances at once: arrays come with the
        instances first, (n, ...). ``jax.vmap`` turns a function of one instance into such a function. Arguments and
        results are arrays or pytrees of arrays (dictionaries, tuples).

    Returns
    -------
    Callable
        A function of the same positional arguments that takes and returns tensors.

    Raises
    ------
    MissingPackageError
        JAX is not installed. It is an ``ImportError``.
    ArgumentError
        ``f`` is not callable, or an argument is not numeric.

    Notes
    -----
    - JAX computes in the dtype of the tensors, whatever ``jax_enable_x64`` says: 64-bit types are enabled while ``f``
      is traced if, and only if, one of the tensors is float64. The global setting does not change. Constants in ``f``
      of type float64 become float32 where the tensors are float32.
    - Python numbers and NumPy arrays among the arguments take the dtype of the tensors.
    - Gradients of any order flow to all floating-point arguments, in reverse mode. Forward mode (``integrate`` with
      ``mode="forward"``) raises a ``LookupError``: use ``mode="reverse"``.

    Example
    -------
    >>> import jax.numpy as jnp
    >>> @kerasjoint.wrap_jax
    ... def decay(rate, time):
    ...     return jnp.exp(-rate[:, None] * time)
    >>> class Decay(InverseProblem):
    ...     unknowns = (Unknown("rate", lower=0.0, upper=5.0),)
    ...
    ...     def forward(self, xi, x):
    ...         return decay(xi["rate"], x["time"])
    """
    require("jax", extra="jax")
    return _JaxFunction("wrap_jax", f)


class _JaxFunction(WrappedFunction):
    @tf.autograph.experimental.do_not_convert
    def __call__(self, *arguments: Any) -> Any:
        jax = require("jax", extra="jax")
        leaves, structure = jax.tree.flatten(arguments)
        tensors = as_tensors(self.label, leaves)
        for tensor in tensors:
            if tensor.shape.rank is None or None in tensor.shape[1:]:
                raise ArgumentError(self.label, "shapes known but for the number of instances", tensor.shape)
        result_structure: Any = None

        def flat(*arrays: Any) -> list[Any]:
            nonlocal result_structure
            results, result_structure = jax.tree.flatten(self.__wrapped__(*jax.tree.unflatten(structure, arrays)))
            return results

        results = _converted(self.label, flat, tensors, any(_is_double(tensor) for tensor in tensors))
        return jax.tree.unflatten(result_structure, results)


def _converted(
    label: str, function: Callable[..., list[Any]], tensors: Sequence[tf.Tensor], double: bool
) -> list[tf.Tensor]:
    """Apply a function of JAX arrays to tensors.

    ``jax2tf`` would convert the gradient later, when the 64-bit types are no longer enabled. So the gradient is a
    conversion of its own, with derivatives of its own.
    """
    jax, jax2tf = (require(package, extra="jax") for package in ("jax", "jax.experimental.jax2tf"))

    @tf.custom_gradient
    def evaluate(*inputs: tf.Tensor) -> tuple[list[tf.Tensor], Callable[..., list[tf.Tensor | None]]]:
        with jax.enable_x64(double), warnings.catch_warnings():
            if not double:
                # Where the user enabled 64-bit types, constants may have them; here they become float32.
                warnings.filterwarnings("ignore", "Explicitly requested dtype", UserWarning)
            shapes = [_polymorphic_shape(tensor) for tensor in inputs]
            converted = jax2tf.convert(function, polymorphic_shapes=shapes, with_gradient=False)
            results = list(converted(*refuse_forward_mode(label, inputs)))
        moving = [k for k, tensor in enumerate(inputs) if _is_continuous(tensor)]
        moved = [k for k, tensor in enumerate(results) if _is_continuous(tensor)]

        def pullback(*arrays: Any) -> list[Any]:
            constants, cotangents = arrays[: len(inputs)], arrays[len(inputs) :]

            def continuous(*values: Any) -> list[Any]:
                everything = list(constants)
                for k, value in zip(moving, values, strict=True):
                    everything[k] = value
                found = function(*everything)
                return [found[k] for k in moved]

            return list(jax.vjp(continuous, *(constants[k] for k in moving))[1](list(cotangents)))

        def gradient(*upstream: tf.Tensor) -> list[tf.Tensor | None]:
            # The two libraries disagree by a conjugation about the gradient of a complex number.
            cotangents = [tf.math.conj(upstream[k]) for k in moved]
            slopes = _converted(label, pullback, [*inputs, *cotangents], double)
            gradients: list[tf.Tensor | None] = [None] * len(inputs)
            for k, slope in zip(moving, slopes, strict=True):
                gradients[k] = tf.math.conj(slope)
            return gradients

        return results, gradient

    return evaluate(*tensors)


def _polymorphic_shape(tensor: tf.Tensor) -> str:
    return "..." if tensor.shape.is_fully_defined() else "n, ..."


def _is_continuous(tensor: tf.Tensor) -> bool:
    return tensor.dtype.is_floating or tensor.dtype.is_complex


def _is_double(tensor: tf.Tensor) -> bool:
    return tensor.dtype in (tf.float64, tf.complex128)
