"""Simulators written in JAX, PyTorch or NumPy, as functions that ``InverseProblem.forward`` can call."""

from kerasjoint.wrappers.jax import wrap_jax
from kerasjoint.wrappers.numpy import wrap_numpy
from kerasjoint.wrappers.torch import wrap_torch

__all__ = ["wrap_jax", "wrap_numpy", "wrap_torch"]
