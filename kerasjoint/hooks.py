"""A problem's methods, called with named unknowns: results checked, errors named with the user's own line."""

from __future__ import annotations

import inspect
import linecache
import traceback
from collections.abc import Sequence
from numbers import Real
from types import FunctionType
from typing import Any, ClassVar, Protocol

import numpy as np
import tensorflow as tf

from kerasjoint.errors import ArgumentError, KerasjointError, SimulatorError, describe
from kerasjoint.libraries import LIBRARIES, PACKAGE
from kerasjoint.robust import check_robust
from kerasjoint.unknown import Unknown, UnknownSpace

Condition = dict[str, tf.Tensor]
ARGUMENTS = {
    "forward": ("xi", "x"),
    "residuals": ("prediction", "y", "x"),
    "misfit": ("prediction", "y", "x"),
    "regularizer": ("xi", "x"),
    "prior": ("n", "seed"),
    "solved": ("loss", "xi", "problem_set"),
}
# Of finite differences: beyond, they are rounding, or no derivative.
LEAST_STEP, MOST_STEP = 1e-14, 0.1
MISNAMED = ("loss", "objective", "residual", "regulariser", "regularisation", "regularization")


class Hooks(Protocol):
    """What an evaluator needs of a problem."""

    unknowns: Sequence[Unknown]
    chunk: int | None
    robust_loss: str
    solved_tolerance: ClassVar[float]
    robust_scale: float
    difference_step: float | None
    shown_unknown: str | None

    @property
    def is_least_squares(self) -> bool:
        """Whether the misfit is a sum over the residuals."""

    def forward(self, xi: dict[str, tf.Tensor], x: Condition) -> Any:
        """Simulate."""

    def residuals(self, prediction: Any, y: tf.Tensor, x: Condition) -> Any:
        """Return the residuals, (n, ...) each."""

    def misfit(self, prediction: Any, y: tf.Tensor, x: Condition) -> tf.Tensor:
        """Measure what separates prediction and observation, (n,)."""

    def regularizer(self, xi: dict[str, tf.Tensor], x: Condition) -> tf.Tensor:
        """Return what is added to the misfit, (n,)."""

    def hook_name(self, hook: str) -> str:
        """What messages call a method."""


def check_hooks(problem: Hooks) -> None:
    """Refuse methods under names that nothing calls, and methods that do not take what they are called with."""
    for name in MISNAMED:
        if callable(getattr(problem, name, None)):
            expected = "misfit(prediction, y, x), residuals(prediction, y, x) or regularizer(xi, x)"
            raise ArgumentError(problem.hook_name(name), expected, f"{name}, which nothing calls")
    for name, arguments in ARGUMENTS.items():
        try:
            inspect.signature(getattr(problem, name)).bind(*arguments)
        except TypeError:
            got = f"{name}{inspect.signature(getattr(problem, name))}"
            raise ArgumentError(problem.hook_name(name), f"{name}({', '.join(arguments)})", got) from None
    check_robust(problem.robust_loss, problem.robust_scale, type(problem).__name__)
    if problem.robust_loss != "linear" and not problem.is_least_squares:
        expected = "linear beside an own misfit, which it does not change"
        raise ArgumentError(problem.hook_name("robust_loss"), expected, repr(problem.robust_loss))
    step = problem.difference_step
    if step is not None and not (isinstance(step, Real) and LEAST_STEP <= step <= MOST_STEP):
        expected = f"a number from {LEAST_STEP:g} to {MOST_STEP:g}, or None"
        raise ArgumentError(problem.hook_name("difference_step"), expected, describe(step))
    tolerance = problem.solved_tolerance
    if not (isinstance(tolerance, int | float) and np.isfinite(tolerance) and tolerance >= 0):
        raise ArgumentError(problem.hook_name("solved_tolerance"), "a number of at least 0", describe(tolerance))


def predict(problem: Hooks, space: UnknownSpace, xi: tf.Tensor, x: Condition) -> Any:
    """Return the prediction at flat unknowns (n, d)."""
    return call(problem, "forward", space.unflatten(xi), dict(x))


def objective(problem: Hooks, space: UnknownSpace, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> tf.Tensor:
    """Return misfit + regularizer at flat unknowns (n, d), one number per instance, (n,)."""
    prediction = predict(problem, space, xi, x)
    misfit = _per_instance(problem, "misfit", xi, prediction, y, dict(x))
    return misfit + regularizer(problem, space, xi, x)


def misfit_and_residuals(
    problem: Hooks, space: UnknownSpace, xi: tf.Tensor, x: Condition, y: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the misfit (n,) and all residuals of each instance in one row, (n, m), at flat unknowns (n, d)."""
    prediction = predict(problem, space, xi, x)
    misfit = _per_instance(problem, "misfit", xi, prediction, y, dict(x))
    parts = tf.nest.flatten(call(problem, "residuals", prediction, y, dict(x)))
    return misfit, tf.concat([tf.reshape(part, (xi.shape[0], -1)) for part in parts], axis=1)


def regularizer(problem: Hooks, space: UnknownSpace, xi: tf.Tensor, x: Condition) -> tf.Tensor:
    """Return what is added to the misfit, (n,), at flat unknowns (n, d)."""
    return _per_instance(problem, "regularizer", xi, space.unflatten(xi), dict(x))


def _per_instance(problem: Hooks, hook: str, xi: tf.Tensor, *arguments: Any) -> tf.Tensor:
    value = call(problem, hook, *arguments)
    shape = (xi.shape[0],)
    check_tensor(problem.hook_name(hook), value, xi, shape)
    return tf.ensure_shape(value, shape)


def check_tensor(name: str, value: Any, like: tf.Tensor, shape: tuple[int, ...] | None = None) -> None:
    """Refuse what one of a problem's methods returned unless it is a tensor with the rows and dtype of ``like``."""
    if not tf.is_tensor(value):
        raise ArgumentError(name, "a tensor computed by TensorFlow", type(value).__name__)
    n, rank = like.shape[0], value.shape.rank
    if shape and not value.shape.is_compatible_with(shape):
        raise ArgumentError(name, f"one number per instance, shape {shape}", value.shape)
    if rank == 0 or (rank and not value.shape[:1].is_compatible_with((n,))):
        raise ArgumentError(name, f"one row per instance, shape ({n}, ...)", value.shape)
    if value.dtype != like.dtype:
        raise ArgumentError(name, f"the dtype of its inputs, {like.dtype.name}", value.dtype.name)


def call(problem: Hooks, hook: str, *arguments: Any) -> Any:
    """Return what a problem's method returns; an error in it names the method and the user's line."""
    try:
        return getattr(problem, hook)(*arguments)
    except KerasjointError:
        raise
    except Exception as error:
        where, line = place_of(problem, hook, error)
        if "ymbolic" in str(error) and isinstance(error, (NotImplementedError, AttributeError, TypeError)):
            raise ArgumentError(where, _instead(error), f"{_first_line(error)} {line}") from error
        known = ""
        if isinstance(error, KeyError) and hook in ("forward", "regularizer"):
            known = f", of xi = {sorted(arguments[0])} and x = {sorted(arguments[1])}"
        message = f"{type(error).__name__}: {_first_line(error)}{known} {line}{_advice(problem, str(error))}"
        raise SimulatorError(where, message) from error


def _advice(problem: Hooks, message: str) -> str:
    """Return what to write instead of the two commonest mistakes: a forgotten axis, and a dtype of one's own."""
    name = problem.unknowns[0].name
    if "Dimensions must be equal" in message or "ncompatible shapes" in message:
        return f"; the first axis is the instance: xi[{name!r}][:, None] of a number beside arrays (n, m)"
    if "does not match type" in message:
        return f"; compute in the dtype of the inputs: tf.constant(values, xi[{name!r}].dtype)"
    return ""


def _instead(error: Exception) -> str:
    """Return what to write instead of Python or another library on symbolic tensors."""
    if "Python `bool`" in str(error):
        return "TensorFlow operations: tf.where instead of if, tf.while_loop or kerasjoint.integrate instead of while"
    # JAX hides its frames, but speaks of abstract arrays.
    library = "jax" if "abstract array" in str(error) else "numpy"
    return f"TensorFlow operations throughout, or a simulator wrapped by kerasjoint.wrap_{library}"


def place_of(problem: Hooks, hook: str, error: Exception) -> tuple[str, str]:
    """Return the name of the innermost of the problem's methods that the error went through, and the user's line."""
    functions = {name: getattr(getattr(problem, name, None), "__func__", None) for name in ARGUMENTS}
    codes = {f.__code__: name for name, f in functions.items() if isinstance(f, FunctionType)}
    where, files = hook, {code.co_filename for code in codes if not code.co_filename.startswith(PACKAGE)}
    frames = list(traceback.walk_tb(error.__traceback__))
    place = ""
    for frame, number in frames:
        where = codes.get(frame.f_code, where)
        if frame.f_code.co_filename in files or not frame.f_code.co_filename.startswith(LIBRARIES):
            source = linecache.getline(frame.f_code.co_filename, number).strip()
            place = f"({frame.f_code.co_filename}, line {number}: {source})"
    return problem.hook_name(where), place


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"
