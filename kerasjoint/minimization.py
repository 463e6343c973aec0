"""SciPy-style batched minimization: one function with different data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import Bounds, OptimizeResult

from kerasjoint.errors import ArgumentError
from kerasjoint.methods import METHODS
from kerasjoint.methods.base import Method
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.progress import Verbose
from kerasjoint.solution import Status
from kerasjoint.solving import solve
from kerasjoint.unknown import Unknown, as_float_array, check_finite

# As SciPy: a vanishing gradient at the start is one, and so is a global search that went on to its end.
SUCCESS = (Status.CONVERGED, Status.PRECISION, Status.STATIONARY, Status.SEARCHED)

Pair = tuple[float | None, float | None]


def minimize(
    fun: Callable[..., tf.Tensor],
    x0: ArrayLike,
    args: Sequence[ArrayLike] | ArrayLike = (),
    method: str | Method | None = None,
    bounds: Sequence[Pair] | Bounds | None = None,
    *,
    scale: ArrayLike | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    verbose: Verbose = "auto",
) -> OptimizeResult:
    """Minimise ``fun`` for each of n instances at once.

    Parameters
    ----------
    fun
        ``fun(x, *args)`` in TensorFlow: variables (n, d) and the values of ``args`` to one loss per instance, (n,).
    x0
        Starts, (n, d), strictly inside the bounds.
    args
        Arrays (n, ...) that differ between instances, and numbers that are the same for all; or a single one of them.
        The network sees the arrays too.
    method
        A method or its name; ``solve`` says what happens around it.
    bounds
        ``scipy.optimize.Bounds``, or a pair (lower, upper) for each of the d variables, ``None`` or an infinity for no
        bound on that side.
    scale
        Typical size of a change of each variable that has not two bounds, (d,) or one number. Default: 1.
    options
        Keyword arguments of the method, if it is given by its name.
    seed
        Of the method.
    verbose
        Whether to show progress: 1, 0, or ``"auto"`` for on a terminal only.

    Returns
    -------
    scipy.optimize.OptimizeResult
        With ``x`` (n, d), ``fun`` (n,), ``success`` (n,), ``status`` (n,), ``message`` (list), ``nfev`` (n,), ``nit``
        (n,) and ``solution``, the full ``Solution``.

    Example
    -------
    >>> minimize(lambda x, a: tf.reduce_sum((x - a) ** 2, axis=1), x0=np.zeros((32, 2)), args=(targets,))
    """
    start = as_float_array("x0", x0)
    if start.ndim != 2 or 0 in start.shape:
        raise ArgumentError("x0", "shape (n, d), one start per instance", start.shape)
    if not callable(fun):
        raise ArgumentError("fun", "a function of (x, *args)", type(fun).__name__)
    chosen = _method(method, options)
    check_finite("x0", start)
    given = args if isinstance(args, (tuple, list)) else (args,)
    values = [_argument(f"args[{k}]", value, len(start)) for k, value in enumerate(given)]
    problem = _FunctionProblem(fun, _unknown(start.shape[1], bounds, scale), values)
    problem.space.check_inside(start, "x0")
    x = {f"arg{k}": value for k, value in enumerate(values) if value.ndim}
    # There is no observation; in its place the network sees where each instance starts.
    problem_set = ProblemSet(problem, x, y=start, guess=start)
    solution = solve(problem_set, chosen, seed=seed, verbose=verbose)
    result = OptimizeResult()
    result.update(
        x=solution.xi,
        fun=solution.loss,
        success=np.isin(solution.status, SUCCESS),
        status=solution.status,
        message=[Status(code).message for code in solution.status],
        nfev=solution.evaluations,
        nit=solution.iterations,
        solution=solution,
    )
    return result


class _FunctionProblem(InverseProblem):
    """A loss per instance as a problem: the prediction is the loss itself."""

    def __init__(self, fun: Callable[..., tf.Tensor], unknown: Unknown, values: list[NDArray[np.float64]]) -> None:
        self.fun = fun
        self.unknowns = (unknown,)
        self.numbers = {k: float(value) for k, value in enumerate(values) if not value.ndim}
        self.count = len(values)

    def hook_name(self, hook: str) -> str:
        """Return what messages call a method."""
        return "fun"

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the function's values, (n,)."""
        variables = xi["x"]
        numbers = {k: tf.constant(number, variables.dtype) for k, number in self.numbers.items()}
        return self.fun(variables, *(numbers[k] if k in numbers else x[f"arg{k}"] for k in range(self.count)))

    def misfit(self, prediction: Any, y: tf.Tensor, x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the function's values."""
        return prediction


def _method(method: str | Method | None, options: Mapping[str, Any] | None) -> Method | None:
    if not isinstance(method, str):
        if options:
            expected = "none beside a method that is constructed already" if method else "none without a method's name"
            raise ArgumentError("options", expected, dict(options))
        return method
    factory = METHODS.load(method)
    known = list(inspect.signature(factory).parameters)
    for name in options or {}:
        if name not in known:
            raise ArgumentError("options", f"options of {method!r}: {', '.join(known)}", repr(name))
    return factory(**(options or {}))


def _argument(argument: str, values: ArrayLike, n: int) -> NDArray[np.float64]:
    array = as_float_array(argument, values)
    if array.ndim == 0:
        return check_finite(argument, array[None])[0]
    if len(array) != n:
        raise ArgumentError(argument, f"a number, or an array of {n} instances as in x0", f"shape {array.shape}")
    return check_finite(argument, array)


def _unknown(size: int, bounds: Sequence[Pair] | Bounds | None, scale: ArrayLike | None) -> Unknown:
    lower, upper = _limits(size, bounds)
    needed = ~(np.isfinite(lower) & np.isfinite(upper))
    if scale is None and needed.any():
        scale = np.where(needed, 1.0, np.nan)
    try:
        return Unknown("x", shape=(size,), lower=lower, upper=upper, scale=scale)
    except ArgumentError as error:
        # By the name of the argument: "bounds" or "scale".
        raise ArgumentError(error.argument.split()[-1], error.expected, error.got) from None


def _limits(size: int, bounds: Sequence[Pair] | Bounds | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and the upper bound of each variable, infinite where there is none."""
    if bounds is None:
        return np.full(size, -np.inf), np.full(size, np.inf)
    if isinstance(bounds, Bounds):
        sides = [as_float_array("bounds", side) for side in (bounds.lb, bounds.ub)]
        if any(side.shape not in ((), (1,), (size,)) for side in sides):
            raise ArgumentError("bounds", f"bounds of {size} variables", f"{bounds}")
        array = np.stack([np.broadcast_to(side, (size,)) for side in sides], axis=1)
    else:
        try:
            pairs = [[-np.inf if low is None else low, np.inf if high is None else high] for low, high in bounds]
        except (TypeError, ValueError):
            raise ArgumentError("bounds", f"{size} pairs (lower, upper)", f"{bounds!r:.80}") from None
        array = as_float_array("bounds", pairs)
    if array.shape != (size, 2):
        raise ArgumentError("bounds", f"{size} pairs (lower, upper)", f"shape {array.shape}")
    if np.isnan(array).any():
        raise ArgumentError("bounds", "numbers, None or infinities", "NaN")
    return array[:, 0], array[:, 1]
