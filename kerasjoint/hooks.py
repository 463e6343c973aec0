"""A problem's methods, called with named unknowns: results checked, errors named with the user's own line."""

from __future__ import annotations

import linecache
import os
import sysconfig
import traceback
from collections.abc import Sequence
from types import FunctionType
from typing import Any, Protocol

import tensorflow as tf

from kerasjoint.errors import ArgumentError, KerasjointError, SimulatorError
from kerasjoint.unknown import Unknown, UnknownSpace

Condition = dict[str, tf.Tensor]
HOOKS = ("forward", "residuals", "misfit", "regularizer")


class Hooks(Protocol):
    """What an evaluator needs of a problem."""

    unknowns: Sequence[Unknown]
    chunk: int | None

    def forward(self, xi: dict[str, tf.Tensor], x: Condition) -> Any:
        """Simulate."""

    def misfit(self, prediction: Any, y: tf.Tensor, x: Condition) -> tf.Tensor:
        """Measure what separates prediction and observation, (n,)."""

    def regularizer(self, xi: dict[str, tf.Tensor], x: Condition) -> tf.Tensor:
        """Return what is added to the misfit, (n,)."""

    def hook_name(self, hook: str) -> str:
        """What messages call a method."""


def predict(problem: Hooks, space: UnknownSpace, xi: tf.Tensor, x: Condition) -> Any:
    """Return the prediction at flat unknowns (n, d)."""
    return _call(problem, "forward", space.unflatten(xi), dict(x))


def objective(problem: Hooks, space: UnknownSpace, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tf.Tensor:
    """Return misfit + regularizer at flat unknowns (n, d), one number per instance, (n,)."""
    prediction = predict(problem, space, xi, x)
    misfit = _per_instance(problem, "misfit", xi, prediction, y, dict(x))
    return misfit + _per_instance(problem, "regularizer", xi, space.unflatten(xi), dict(x))


def _per_instance(problem: Hooks, hook: str, xi: tf.Tensor, *arguments: Any) -> tf.Tensor:
    value = _call(problem, hook, *arguments)
    name, n = problem.hook_name(hook), xi.shape[0]
    if not tf.is_tensor(value):
        raise ArgumentError(name, "a tensor computed by TensorFlow", type(value).__name__)
    if not value.shape.is_compatible_with((n,)):
        raise ArgumentError(name, f"one number per instance, shape ({n},)", value.shape)
    if value.dtype != xi.dtype:
        raise ArgumentError(name, f"the dtype of its inputs, {xi.dtype.name}", value.dtype.name)
    return tf.ensure_shape(value, (n,))


def _call(problem: Hooks, hook: str, *arguments: Any) -> Any:
    try:
        return getattr(problem, hook)(*arguments)
    except KerasjointError:
        raise
    except Exception as error:
        where, line = _place(problem, hook, error)
        if "ymbolic" in str(error) and isinstance(error, (NotImplementedError, AttributeError, TypeError)):
            expected = "TensorFlow operations throughout, no NumPy (or a simulator wrapped by kerasjoint.wrap_numpy)"
            raise ArgumentError(where, expected, f"{_first_line(error)} {line}") from error
        raise SimulatorError(where, f"{type(error).__name__}: {_first_line(error)} {line}") from error


def _place(problem: Hooks, hook: str, error: Exception) -> tuple[str, str]:
    """Return the name of the innermost of the problem's methods that the error went through, and the user's line."""
    functions = {name: getattr(getattr(problem, name, None), "__func__", None) for name in HOOKS}
    codes = {f.__code__: name for name, f in functions.items() if isinstance(f, FunctionType)}
    where, files = hook, {code.co_filename for code in codes}
    frames = list(traceback.walk_tb(error.__traceback__))
    place = ""
    for frame, number in frames:
        where = codes.get(frame.f_code, where)
        if frame.f_code.co_filename in files or not _is_library(frame.f_code.co_filename):
            source = linecache.getline(frame.f_code.co_filename, number).strip()
            place = f"({frame.f_code.co_filename}, line {number}: {source})"
    return problem.hook_name(where), place


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"


def _is_library(filename: str) -> bool:
    package = os.path.dirname(os.path.abspath(__file__))
    return filename.startswith(
        (package, sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), "<frozen", "<__array")
    )
