"""The evaluator: the one place where a problem's objective is compiled, cut into batches, masked and counted."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint import compile_cache
from kerasjoint.batching import filled_rows, padded_size, sizes_side_by_side
from kerasjoint.checks import check_count
from kerasjoint.compiled import Compiled
from kerasjoint.cores import cores
from kerasjoint.errors import ArgumentError, KerasjointError, NoGradientError, RouteWarning, SimulatorError
from kerasjoint.fingerprint import problem_fingerprint
from kerasjoint.functions import JACOBIANS, LOSSES, OUTPUTS, Functions
from kerasjoint.hooks import Condition, Hooks, check_hooks, place_of
from kerasjoint.host_calls import HostCalls
from kerasjoint.host_functions import HostFunctions
from kerasjoint.separation import Separation
from kerasjoint.tracing import concrete_function
from kerasjoint.unknown import UnknownSpace
from kerasjoint.xla_flags import start_xla

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]

EVALUATORS_KEPT = 32
# What TensorFlow's report says where XLA, or the conversion to it, refuses a graph.
REFUSALS = ("XLA", "tf2xla")
# The zoo's largest has 700. A hundred steps written out, 1,200, take half a minute with their gradient, 500 over ten.
MANY_OPERATIONS = 1_000


class Route(Enum):
    """How a simulator runs."""

    XLA = "compiled by XLA"
    TENSORFLOW = "a TensorFlow graph without XLA"
    HOST = "host calls"


class Data(NamedTuple):
    """The condition by name and the observation, of all instances."""

    x: Condition
    y: Any


class Evaluator:
    """Values and gradients of one problem's objective, for any instances and any subset of them.

    Instances are isolated: where the loss or a component of its gradient is not finite, that instance has loss +inf and
    gradient zero, and no other is touched. Batches are filled up to a few sizes that are compiled once; where the
    problem has a ``chunk`` they are cut into pieces that run side by side on the cores.

    A simulator runs compiled by XLA; as a TensorFlow graph, if XLA refuses an operation; or eagerly, if it calls Python
    (``wrap_numpy``, ``wrap_torch``, ``tf.numpy_function``). Leaving XLA is warned of once, as ``RouteWarning``. Where
    what it calls has no gradient, that of the objective comes from finite differences, and where it calls Python at
    all, Jacobians do.

    Attributes
    ----------
    route
        How the simulator runs.
    values, gradients
        How many instances were evaluated so far without, and with, their gradient or Jacobian; filling is not counted.

    Values are computed in the dtype of the unknowns and data, float64 or float32.

    Example
    -------
    >>> evaluator = evaluator_of(problem)
    >>> evaluator.value_and_gradient(xi, data, rows)
    """

    def __init__(self, problem: Hooks) -> None:
        start_xla()
        if problem.chunk is not None:
            check_count(f"{type(problem).__name__}.chunk", problem.chunk)
        check_hooks(problem)
        self.problem = problem
        self.space = UnknownSpace(problem.unknowns)
        if problem.shown_unknown not in (None, *self.space.labels):
            expected = f"one of {self.space.labels}"
            raise ArgumentError(problem.hook_name("shown_unknown"), expected, repr(problem.shown_unknown))
        self.route = Route.XLA
        self.values = self.gradients = 0
        self._checked: set[Any] = set()
        self._facts: dict[Any, bool] = {}
        self._predictions: dict[Any, Any] = {}
        self._compiled_sizes: set[Any] = set()
        self._functions: dict[tuple[str, bool], Compiled] = {}
        self._uncompiled: set[str] = set()
        self._separation = Separation(type(problem).__name__, self.space)
        self._by_tensorflow, self._on_host = Functions(problem, self.space), HostFunctions(problem, self.space)

    def check(self, n: int, data: Data) -> None:
        """Trace the objective, without running it, for data of these shapes; refuse what breaks a contract.

        It is traced in float64 for n instances, and in float32, as networks train, for n + 1: a problem that knows its
        instances by another way than ``x`` would meet the wrong ones in a subset.
        """
        key = _shapes(data)
        if key in self._checked:
            return
        graph = self._trace(self._by_tensorflow.objective, n, data)
        size = self._choose_route(graph)
        if self.route is not Route.HOST:
            self._check_flexible(n, data)
            self._warn_of_length(size)
        elif HostCalls(self._trace(self._by_tensorflow.penalty, n, data)).lose_gradients:
            expected = "TensorFlow, or Python with a gradient: differences are taken of the residuals alone"
            raise ArgumentError(self.problem.hook_name("regularizer"), expected, "Python without one")
        self._checked.add(key)

    def _check_flexible(self, n: int, data: Data) -> None:
        try:
            self._trace(self._by_tensorflow.objective, n + 1, data, tf.float32)
        except KerasjointError as error:
            reason = str(error).splitlines()[0]
            try:
                self._trace(self._by_tensorflow.objective, n + 1, data)
            except KerasjointError:
                expected = "a function of any number of instances, whose arrays all come as arguments"
                got = f"one for {n} alone ({reason})"
            else:
                expected = "a function that computes in the dtype of its inputs: networks train in float32"
                got = f"one for float64 alone ({reason})"
            raise ArgumentError(self.problem.hook_name("forward"), expected, got) from error

    def _warn_of_length(self, size: int) -> None:
        """Warn of a Python loop over many steps, which is written out before it is compiled."""
        if self.route is Route.XLA and size > MANY_OPERATIONS:
            advice = "a loop over time steps is compiled once as kerasjoint.integrate or tf.while_loop"
            name = self.problem.hook_name("forward")
            warnings.warn(f"{name} is {size} operations, which XLA may compile for minutes: {advice}", RouteWarning, 2)

    @property
    def by_differences(self) -> bool:
        """Whether gradients come from finite differences, of d + 1 simulations of each instance."""
        return self._on_host.by_differences

    @property
    def jacobian_precision(self) -> float:
        """The relative precision of the Jacobians evaluated last."""
        return (self._on_host if self.route is Route.HOST else self._by_tensorflow).precision

    @property
    def has_jacobian(self) -> bool:
        """Whether the misfit is a sum over the residuals, whose Jacobians there are then."""
        return self.problem.is_least_squares

    def has_gradient(self, n: int, data: Data) -> bool:
        """Return, by tracing, whether TensorFlow can differentiate the objective by the unknowns."""
        if self.by_differences:
            return False
        key = "gradient", _shapes(data)
        if key not in self._facts:
            try:
                self._trace(self._by_tensorflow.value_and_gradient, n, data)
                self._facts[key] = True
            except NoGradientError:
                self._facts[key] = False
        return self._facts[key]

    def predicts_observation(self, data: Data) -> bool:
        """Return, by tracing, whether ``forward`` gives one tensor of the observation's shape."""
        specs = self.prediction_specs(data)
        if not isinstance(specs, tf.TensorSpec) or not specs.dtype.is_floating:
            return False
        return bool(specs.shape.is_compatible_with((1, *data.y.shape[1:])))

    def prediction_specs(self, data: Data) -> Any:
        """Return, by tracing, the ``tf.TensorSpec`` of what ``forward`` gives for one instance, in its structure."""
        key = _shapes(data)
        if key not in self._predictions:
            graph = self._trace(self._by_tensorflow.predict, 1, data._replace(y=()))
            outputs = graph.structured_outputs
            self._predictions[key] = tf.nest.map_structure(lambda part: tf.TensorSpec(part.shape, part.dtype), outputs)
        return self._predictions[key]

    def value(self, xi: FloatArray, data: Data, rows: Rows) -> FloatArray:
        """Return the losses (m,) at ``xi`` (m, d) of the instances ``rows`` (m,); +inf where not finite."""
        self.values += len(rows)
        return self._run("value", xi, data, rows).numpy()[: len(rows)]

    def value_and_gradient(self, xi: FloatArray, data: Data, rows: Rows) -> tuple[FloatArray, FloatArray]:
        """Return the losses (m,) and gradients (m, d); where either is not finite: +inf and zero."""
        self.gradients += len(rows)
        return self._arrays("value_and_gradient", xi, data, rows)

    def normal_equations(self, xi: FloatArray, data: Data, rows: Rows) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the losses (m,), gradients (m, d) and Gauss-Newton Hessians (m, d, d); not finite: +inf and zeros.

        Only where the evaluator ``has_jacobian``.
        """
        self._require_least_squares()
        self.gradients += len(rows)
        return self._arrays("normal_equations", xi, data, rows)

    def weighted_jacobian(self, xi: FloatArray, data: Data, rows: Rows) -> tuple[FloatArray, ...]:
        """Return misfits (m,), Jacobians of residuals (m, k, d), Hessians of regularizers (m, d, d), residuals (m, k).

        The rows of the Jacobian have the square root of the weights of a robust loss. Not finite: +inf and zeros.
        """
        self._require_least_squares()
        self.gradients += len(rows)
        return self._arrays("weighted_jacobian", xi, data, rows)

    def _require_least_squares(self) -> None:
        name = self.problem.hook_name
        if not self.problem.is_least_squares:
            expected = (
                "the default, a sum over the residuals (a robust one, with robust_loss), where Jacobians are needed"
            )
            raise ArgumentError(name("misfit"), expected, "an own one")

    def predict(self, xi: NDArray[Any], x: Mapping[str, NDArray[Any]]) -> Any:
        """Return ``forward`` at ``xi`` (n, d): a structure of arrays (n, ...), in the dtype of ``xi``."""
        condition = {name: tf.constant(values, xi.dtype) for name, values in x.items()}
        data, n = Data(condition, ()), len(xi)
        key = ("predict", _shapes(data))
        if key not in self._checked:
            self._choose_route(self._trace(self._by_tensorflow.predict, n, data, xi.dtype))
            self._checked.add(key)
        self.values += n
        found = self._run("predict", xi, data, np.arange(n))
        return tf.nest.map_structure(lambda part: part.numpy()[:n], found)

    def differentiable_value(self, xi: tf.Tensor, data: Data, jit_compile: bool = True) -> tf.Tensor:
        """Return the losses (n,) of all instances such that gradients taken through them are the masked ones.

        For training, in the dtype of ``xi``. On the route of host calls it must be called eagerly.
        """
        n, chunk = xi.shape[0], self.problem.chunk
        rows = None if chunk is None else tf.minimum(tf.range(padded_size(n, chunk)), n - 1)

        @tf.custom_gradient
        def evaluate(xi: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            padded = tf.stop_gradient(xi if rows is None else tf.gather(xi, rows))
            if self.route is Route.HOST:
                value, gradient = self._plain("value_and_gradient")(tf.stop_gradient(xi), *data)
            else:
                compiled = self._function("value_and_gradient", jit_compile and self.route is Route.XLA)
                value, gradient = compiled(padded, rows, *data)
            return value[:n], lambda upstream: upstream[:, None] * gradient[:n]

        return evaluate(xi)

    def compile(self, m: int, data: Data, guess: FloatArray, function: str = "value_and_gradient") -> bool:
        """Compile a function, by default the gradient, for ``m`` instances now, unless it was; return if it was not."""
        if self.route is Route.HOST:
            return False
        chunk = self.problem.chunk
        key = (function, self.route, sizes_side_by_side(m, chunk) or padded_size(m, chunk), cores(), _shapes(data))
        if key in self._compiled_sizes:
            return False
        rows = np.arange(m) % len(guess)
        self._run(function, guess[rows], data, rows)
        self._compiled_sizes.add(key)
        return True

    def leave_xla(self, error: tf.errors.OpError, function: str = "value_and_gradient") -> bool:
        """Leave XLA if the error is its refusal to compile; return whether it was.

        Jacobians differentiate twice, which XLA may refuse where it takes the gradient: they alone leave it then.
        """
        if not self._compiles(function) or not any(sign in str(error) for sign in REFUSALS):
            return False
        if function in JACOBIANS:
            self._uncompiled.add(function)
            self._warn(f"the Jacobian of {self.problem.hook_name('forward')}", Route.TENSORFLOW, _reason(error))
        else:
            self._leave(Route.TENSORFLOW, _reason(error))
        return True

    def _compiles(self, function: str) -> bool:
        return self.route is Route.XLA and function not in self._uncompiled

    def _arrays(self, name: str, xi: FloatArray, data: Data, rows: Rows) -> Any:
        return tuple(part.numpy()[: len(rows)] for part in self._run(name, xi, data, rows))

    def _run(self, name: str, xi: FloatArray, data: Data, rows: Rows) -> Any:
        if self.route is Route.HOST:
            x, y = tf.nest.map_structure(lambda array: tf.gather(array, rows), tuple(data))
            try:
                return self._plain(name)(tf.constant(xi), x, y)
            except KerasjointError:
                raise
            except Exception as error:
                # As in the gradient of a wrapped simulator, which TensorFlow calls.
                where, line = place_of(self.problem, "forward", error)
                raise SimulatorError(where, f"{type(error).__name__}: {error} {line}".rstrip()) from error
        # Fill up to a size that is compiled anyway with copies of the last row.
        filled = filled_rows(len(rows), self.problem.chunk)
        at, chosen = tf.constant(xi[filled]), rows[filled]
        try:
            evaluate = self._function(name, self._compiles(name))
            found = evaluate(at, tf.constant(chosen, tf.int32), *data)
            if name in LOSSES:
                self._separation.check(evaluate, found, at, chosen, *data)
            return found
        except tf.errors.OpError as error:
            if compile_cache.forget_refused(error):
                self._functions.clear()
                return self._run(name, xi, data, rows)
            if self.leave_xla(error, name):
                return self._run(name, xi, data, rows)
            name = type(self.problem).__name__
            raise SimulatorError(name, f"{type(error).__name__} while it ran: {error.message}") from error

    def _function(self, name: str, jit_compile: bool) -> Compiled:
        key = name, jit_compile
        if key not in self._functions:
            self._functions[key] = Compiled(self._plain(name), self.problem.chunk, jit_compile, OUTPUTS.get(name))
        return self._functions[key]

    def _plain(self, name: str) -> Callable[..., Any]:
        return getattr(self._on_host if self.route is Route.HOST else self._by_tensorflow, name)

    def _trace(self, function: Callable[..., Any], n: int, data: Data, dtype: Any = tf.float64) -> Any:
        specs = tf.nest.map_structure(lambda array: tf.TensorSpec((n, *array.shape[1:]), dtype), tuple(data))
        return concrete_function(function, tf.TensorSpec((n, self.space.size), dtype), *specs)

    def _choose_route(self, graph: Any) -> int:
        """Take the route of host calls if the traced graph calls Python; return how many operations it has.

        Notes what cannot be differentiated.
        """
        calls = HostCalls(graph)
        self._on_host.by_differences |= calls.lose_gradients
        if calls.names and self.route is not Route.HOST:
            if calls.foreign:
                self._leave(Route.HOST, f"it calls Python ({calls.foreign[0]})")
            self.route = Route.HOST
        return calls.size

    def _leave(self, route: Route, reason: str) -> None:
        self.route = route
        self._warn(self.problem.hook_name("forward"), route, reason)

    def _warn(self, what: str, route: Route, reason: str) -> None:
        warnings.warn(f"{what} cannot be compiled by XLA and runs slower, as {route.value}: {reason}", RouteWarning, 2)


_shared: OrderedDict[tuple[type, str], Evaluator] = OrderedDict()
_lock = threading.Lock()


def evaluator_of(problem: Hooks) -> Evaluator:
    """Return the evaluator that all problems of this class with these constants share; the last few are kept."""
    key = type(problem), problem_fingerprint(problem)
    with _lock:
        evaluator = _shared.pop(key, None) or Evaluator(problem)
        _shared[key] = evaluator
        while len(_shared) > EVALUATORS_KEPT:
            _shared.popitem(last=False)
    return evaluator


def _shapes(data: Data) -> tuple[Any, ...]:
    return tuple((name, tuple(array.shape[1:])) for name, array in sorted(data.x.items())), tuple(
        tuple(array.shape[1:]) for array in tf.nest.flatten(data.y)
    )


def _reason(error: tf.errors.OpError) -> str:
    """Return the line of TensorFlow's report that says what XLA refused."""
    lines = str(error.message).splitlines()
    signs = ("with op ", "No registered", "Cannot find", *REFUSALS)
    return next((line for sign in signs for line in lines if sign in line), lines[0]).strip()
