"""Simulators written in PyTorch, differentiated by its autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerasjoint.errors import ArgumentError
from kerasjoint.optional import require
from kerasjoint.wrappers.host import HostFunction


def wrap_torch(f: Callable[..., Any], *, shape: Any = None) -> Callable[..., Any]:
    """Make a PyTorch function callable on TensorFlow tensors, for use inside ``InverseProblem.forward``.

    The function runs in PyTorch, outside compiled code, once for all instances. Gradients come from
    ``torch.autograd.grad``; each gradient runs ``f`` once more.

    Parameters
    ----------
    f
        A function or ``torch.nn.Module``. Takes PyTorch tensors on the CPU with the instances first, (n, ...), or
        dictionaries or tuples of them, and returns a tensor (n, ...), or a dictionary or tuple of them.
    shape
        The shape of the result per instance, or a dictionary or tuple of shapes; see ``wrap_numpy``. Needed in compiled
        functions if there are several results.

    Returns
    -------
    Callable
        A function of the same positional arguments that takes and returns TensorFlow tensors.

    Raises
    ------
    MissingPackageError
        PyTorch is not installed. It is an ``ImportError``.
    ArgumentError
        ``f`` is not callable. When called: an argument is not numeric; a result is not a real PyTorch tensor, not of
        the declared shape, or does not have the n instances first; a gradient is needed, but no result depends on the
        arguments through PyTorch. In a compiled function TensorFlow reports it as ``tf.errors.InvalidArgumentError``.

    Notes
    -----
    - The tensors have the dtype of TensorFlow's, float32 or float64. Results are cast to that of the first
      floating-point argument.
    - An argument on which no result depends has gradient zero.
    - There are no second derivatives. Forward mode (``integrate`` with ``mode="forward"``) raises a ``LookupError``.

    Example
    -------
    >>> import torch
    >>> def decay(rate, time):
    ...     return torch.exp(-rate[:, None] * time)
    >>> simulate = kerasjoint.wrap_torch(decay, shape=(50,))
    """
    require("torch", extra="torch")
    return _TorchFunction("wrap_torch", f, shape)


class _TorchFunction(HostFunction):
    def run(self, arguments: tuple[Any, ...]) -> Any:
        torch = require("torch", extra="torch")
        result = self.__wrapped__(*tf.nest.map_structure(torch.from_numpy, arguments))
        return tf.nest.map_structure(lambda leaf: self._check_tensor(leaf).detach().cpu().numpy(), result)

    def pull_back(self, arguments: tuple[Any, ...], cotangent: Any) -> list[Any]:
        torch = require("torch", extra="torch")
        leaves = [torch.from_numpy(array) for array in tf.nest.flatten(arguments)]
        sources = [k for k, leaf in enumerate(leaves) if leaf.is_floating_point()]
        for k in sources:
            leaves[k].requires_grad_()
        with torch.enable_grad():
            result = self.__wrapped__(*tf.nest.pack_sequence_as(arguments, leaves))
        pairs = [
            (output, torch.from_numpy(upstream).to(output))
            for output, upstream in zip(tf.nest.flatten(result), tf.nest.flatten(cotangent), strict=True)
            if output.requires_grad
        ]
        if not pairs:
            expected = "a result that depends on the arguments through PyTorch"
            raise ArgumentError(self.label, expected, "no gradient (from detach, no_grad or NumPy inside?)")
        outputs, upstreams = zip(*pairs, strict=True)
        gradients = torch.autograd.grad(outputs, [leaves[k] for k in sources], upstreams, allow_unused=True)
        found: list[Any] = [None] * len(leaves)
        for k, gradient in zip(sources, gradients, strict=True):
            found[k] = None if gradient is None else gradient.numpy()
        return found

    def _check_tensor(self, leaf: Any) -> Any:
        torch = require("torch", extra="torch")
        if not isinstance(leaf, torch.Tensor):
            raise ArgumentError(self.label, "PyTorch tensors as results", type(leaf).__name__)
        return leaf
