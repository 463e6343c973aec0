"""The drop-in door, in SciPy's vocabulary: many minimisations of one function with different data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult

from kerasjoint.errors import ArgumentError
from kerasjoint.methods import METHODS
from kerasjoint.methods.base import Method
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet, check_finite
from kerasjoint.solution import Status
from kerasjoint.solving import solve
from kerasjoint.unknown import Unknown, as_float_array

SUCCESS = (Status.CONVERGED, Status.PRECISION)


def minimize(
    fun: Callable[..., tf.Tensor],
    x0: ArrayLike,
    args: Sequence[ArrayLike] | ArrayLike = (),
    method: str | Method = "reparameterized",
    bounds: Sequence[tuple[float, float]] | None = None,
    *,
    scale: ArrayLike = 1.0,
    seed: int = 0,
) -> OptimizeResult:
    """Minimise ``fun`` for each of n instances at once.

    Parameters
    ----------
    fun
        ``fun(x, *args)`` in TensorFlow: variables (n, d) and the arrays of ``args`` to one loss per instance, (n,).
    x0
        Starts, (n, d), strictly inside the bounds.
    args
        Arrays (n, ...) that differ between instances, or a single one; the network sees them too.
    method
        A method or its name; ``solve`` says what happens around it.
    bounds
        A pair (lower, upper) for each of the d variables, or ``None`` for none.
    scale
        Without bounds: typical size of a change of each variable.
    seed
        Of the method.

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
    if isinstance(method, str):
        METHODS.check(method)
    check_finite("x0", start)
    given = args if isinstance(args, (tuple, list)) else (args,)
    arrays = [_argument(f"args[{k}]", array, len(start)) for k, array in enumerate(given)]
    names = [f"arg{k}" for k in range(len(arrays))]
    problem = _FunctionProblem(fun, _unknown(start.shape[1], bounds, scale), names)
    problem.space.check_inside(start, "x0")
    # There is no observation; in its place the network sees where each instance starts.
    problem_set = ProblemSet(problem, dict(zip(names, arrays, strict=True)), y=start, guess=start)
    solution = solve(problem_set, method, seed=seed)
    status = [Status(code) for code in solution.status]
    result = OptimizeResult()
    result.update(
        x=solution.xi,
        fun=solution.loss,
        success=np.isin(solution.status, SUCCESS),
        status=solution.status,
        message=[one.message for one in status],
        nfev=solution.evaluations,
        nit=solution.iterations,
        solution=solution,
    )
    return result


class _FunctionProblem(InverseProblem):
    """A per-instance loss dressed as a problem; there is nothing to observe but the loss itself."""

    forward_name = "fun"

    def __init__(self, fun: Callable[..., tf.Tensor], unknown: Unknown, names: list[str]) -> None:
        self._fun = fun
        self._names = names
        self.unknowns = (unknown,)

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> Any:
        value = self._fun(xi["x"], *(x[name] for name in self._names))
        if not tf.is_tensor(value) or value.shape != xi["x"].shape[:1]:
            got = value.shape if tf.is_tensor(value) else type(value).__name__
            raise ArgumentError("fun", "a function that returns one loss per instance, a tensor of shape (n,)", got)
        return (value,)

    def loss(self, prediction: Any, y: tf.Tensor) -> tf.Tensor:
        return prediction[0]


def _argument(argument: str, values: ArrayLike, n: int) -> NDArray[np.float64]:
    array = as_float_array(argument, values)
    if array.ndim == 0 or len(array) != n:
        raise ArgumentError(argument, f"an array of {n} instances as in x0", f"shape {array.shape}")
    return check_finite(argument, array)


def _unknown(size: int, bounds: Sequence[tuple[float, float]] | None, scale: ArrayLike) -> Unknown:
    if bounds is None:
        return Unknown("x", shape=(size,), scale=scale)
    pairs = as_float_array("bounds", bounds)
    if pairs.shape != (size, 2):
        raise ArgumentError("bounds", f"{size} pairs (lower, upper)", f"shape {pairs.shape}")
    return Unknown("x", shape=(size,), lower=pairs[:, 0], upper=pairs[:, 1])
