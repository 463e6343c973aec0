"""Simulators written in NumPy, or anything that takes and returns NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from kerasjoint.errors import ArgumentError
from kerasjoint.wrappers.host import HostFunction


def wrap_numpy(
    f: Callable[..., Any], vjp: Callable[..., Any] | None = None, *, shape: Any = None
) -> Callable[..., Any]:
    """Make a function of NumPy arrays callable on TensorFlow tensors, for use inside ``InverseProblem.forward``.

    The function runs as it is, outside compiled code, which suits any simulator that Python can call: SciPy, compiled
    extensions, external programs. It is called for many instances at once.

    Parameters
    ----------
    f
        Takes arrays with the instances first, (n, ...), or dictionaries or tuples of them, and returns an array
        (n, ...), or a dictionary or tuple of them. It may overwrite its arguments.
    vjp
        The vector-Jacobian product ``vjp(*arguments, cotangent)``: takes the arguments of ``f`` and, in the structure
        of the result of ``f``, the derivative of a scalar with respect to that result. Returns the derivative of the
        scalar with respect to the arguments, in their shapes: a tuple with one entry per argument, where ``None`` means
        zero; or only the entry of the first argument. An entry for a dictionary may leave names out, for zero.
        Without ``vjp`` gradients are finite differences, of d + 1 simulations where d are the unknowns of an instance.
    shape
        The shape of the result per instance, for example ``(50,)``, or ``()`` for one number per instance; for several
        results a dictionary or tuple of shapes. ``None`` is a size that is not known in advance. Needed in compiled
        functions if there are several results. For a single one it lets shapes be checked before anything runs.

    Returns
    -------
    Callable
        A function of the same positional arguments that takes and returns tensors.

    Raises
    ------
    ArgumentError
        ``f`` or ``vjp`` is not callable. When called: an argument is not numeric; a result is not real, not of the
        declared shape, or does not have the n instances first; ``vjp`` returns the wrong number of gradients, unknown
        names or wrong shapes. In a compiled function TensorFlow reports it as ``tf.errors.InvalidArgumentError``, with
        the message and the lines of ``f``.

    Notes
    -----
    - The arrays have the dtype of the tensors, float32 or float64. Results are cast to that of the first floating-point
      argument. Python numbers and NumPy arrays among the arguments take the dtype of the tensors.
    - Called eagerly, ``f`` runs directly, so prints, breakpoints and exceptions behave as usual.
    - Jacobians are finite differences in any case; ``InverseProblem.difference_step`` is their step.
    - There are no second derivatives. Forward mode (``integrate`` with ``mode="forward"``) raises a ``LookupError``.

    Example
    -------
    >>> def decay(rate, time):
    ...     return np.exp(-rate[:, None] * time)
    >>> def decay_vjp(rate, time, cotangent):
    ...     return np.sum(-time * np.exp(-rate[:, None] * time) * cotangent, axis=1)
    >>> simulate = kerasjoint.wrap_numpy(decay, decay_vjp, shape=(50,))
    """
    if vjp is None:
        return _NumpyFunction(f, shape)
    return _DifferentiableNumpyFunction(f, vjp, shape)


class _NumpyFunction(HostFunction):
    differentiable = False

    def __init__(self, function: Callable[..., Any], shape: Any) -> None:
        super().__init__("wrap_numpy", function, shape)

    def run(self, arguments: tuple[Any, ...]) -> Any:
        return self.__wrapped__(*arguments)


class _DifferentiableNumpyFunction(_NumpyFunction):
    differentiable = True

    def __init__(self, function: Callable[..., Any], vjp: Callable[..., Any], shape: Any) -> None:
        super().__init__(function, shape)
        if not callable(vjp):
            raise ArgumentError(f"{self.label}: vjp", "a function or None", repr(vjp))
        self._vjp = vjp

    def pull_back(self, arguments: tuple[Any, ...], cotangent: Any) -> list[Any]:
        gradients = self._vjp(*arguments, cotangent)
        if not isinstance(gradients, tuple | list):
            gradients = (gradients, *[None] * (len(arguments) - 1))
        return self._per_leaf(gradients, arguments)

    def _per_leaf(self, gradient: Any, argument: Any) -> list[Any]:
        """Return one gradient for every leaf of ``argument``, in the order of ``tf.nest.flatten``."""
        name = f"{self.label}: vjp"
        if not tf.nest.is_nested(argument):
            return [gradient]
        if gradient is None:
            return [None] * len(tf.nest.flatten(argument))
        if isinstance(argument, Mapping):
            if not isinstance(gradient, Mapping) or not set(gradient) <= set(argument):
                got = ", ".join(map(str, gradient)) if isinstance(gradient, Mapping) else type(gradient).__name__
                raise ArgumentError(name, f"a dictionary of gradients with names among {', '.join(argument)}", got)
            parts = [(gradient.get(key), argument[key]) for key in sorted(argument)]
        else:
            if not isinstance(gradient, tuple | list) or len(gradient) != len(argument):
                got = str(len(gradient)) if isinstance(gradient, tuple | list) else type(gradient).__name__
                raise ArgumentError(name, f"{len(argument)} gradients, one per argument", got)
            parts = list(zip(gradient, argument, strict=True))
        return [leaf for part in parts for leaf in self._per_leaf(*part)]
