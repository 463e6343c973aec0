from __future__ import annotations

import copy
import pickle
import sys
import traceback
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from wrappers.oscillation import (
    EAGER,
    GRAPH,
    SHAPE,
    TIMES,
    assert_agrees,
    by_tensorflow,
    inputs,
    oscillation,
    run,
    value_and_gradients,
)

from kerasjoint import ArgumentError, integrate
from kerasjoint.wrappers import wrap_numpy, wrap_torch

ROUTES = [EAGER, GRAPH]
A, TIME = np.array([0.5, 1.0, 2.0]), np.ones((3, 4))


def oscillation_vjp(xi, time, cotangent):
    """By hand, in NumPy."""
    rate, frequency, phase = xi["rate"], xi["wave"][:, :1], xi["wave"][:, 1:]
    decay, angle = np.exp(-rate[:, None] * time), frequency * time + phase
    signal, (first, second) = cotangent["signal"], cotangent["energy"]
    slope = signal * decay * np.cos(angle)
    wave = np.stack([np.sum(slope * time, axis=1), np.sum(slope, axis=1)], axis=1)
    wave += 2 * (first * rate)[:, None] * xi["wave"] + second * rate[:, None]
    damping = signal * decay * np.sin(angle)
    by_rate = -np.sum(damping * time, axis=1) + first * np.sum(xi["wave"] ** 2, axis=1)
    by_rate += np.sum(second * xi["wave"], axis=1)
    return {"rate": by_rate, "wave": wave}, slope * frequency - damping * rate[:, None]


def decay(rate, time):
    """One instance a row."""
    return np.exp(-rate[:, None] * time)


def decay_vjp(rate, time, cotangent):
    return np.sum(-time * decay(rate, time) * cotangent, axis=1)


def returns(result, *arguments):
    return result


def gradients(function, *sources):
    def evaluate(*arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            value = function(*arguments)
        found = tape.gradient(value, [arguments[k] for k in sources])
        return found[0] if len(found) == 1 else found

    return evaluate


def attempt(route, function, arrays=(A, TIME)):
    """The message of what is raised when a function is called."""
    with pytest.raises((ArgumentError, tf.errors.InvalidArgumentError)) as caught:
        run(route, function, arrays)
    assert (caught.type is ArgumentError) == (route == EAGER)
    return str(caught.value)


simulate = wrap_numpy(partial(oscillation, np), oscillation_vjp, shape=SHAPE)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 5])
def test_value_and_gradients(n: int, dtype: str, route: str) -> None:
    arrays = inputs(n, dtype)
    assert_agrees(run(route, value_and_gradients(simulate), arrays), arrays, dtype)


def test_one_graph_for_every_number_of_instances() -> None:
    signature = [tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in inputs(1, "float64")]
    function = tf.function(value_and_gradients(simulate), input_signature=signature)
    for n in (1, 4, 7):
        arrays = inputs(n, "float64")
        found = tf.nest.map_structure(lambda part: part.numpy(), function(*map(tf.constant, arrays)))
        assert_agrees(found, arrays, "float64")


@pytest.mark.parametrize("route", ROUTES)
def test_inside_a_custom_gradient(route: str) -> None:
    @tf.custom_gradient
    def objective(*arguments):
        value, slopes = value_and_gradients(simulate)(*arguments)
        return value, lambda upstream: [upstream[:, None] * slopes[1] if k == 1 else None for k in range(3)]

    arrays = inputs(3, "float64")
    found = run(route, gradients(objective, 1), arrays)
    np.testing.assert_allclose(found, by_tensorflow(arrays)[1][1], rtol=1e-12)


@pytest.mark.parametrize("route", ROUTES)
def test_without_a_vjp_there_is_no_gradient(route: str) -> None:
    def evaluate(rate, time):
        with tf.GradientTape() as tape:
            tape.watch([rate, time])
            value = wrap_numpy(decay)(rate, time)
        assert tape.gradient(value, [rate, time]) == [None, None]
        return value

    np.testing.assert_array_equal(run(route, evaluate, (A, TIME)), decay(A, TIME))


@pytest.mark.parametrize("route", ROUTES)
def test_entries_of_the_vjp_may_be_left_out(route: str) -> None:
    expected = decay_vjp(A, TIME, np.ones_like(TIME))
    for vjp in (decay_vjp, lambda *arguments: (decay_vjp(*arguments), None), lambda *a: [decay_vjp(*a), None]):
        first, second = run(route, gradients(wrap_numpy(decay, vjp), 0, 1), (A, TIME))
        np.testing.assert_allclose(first, expected, rtol=1e-14)
        np.testing.assert_array_equal(second, np.zeros_like(TIME))

    def of_structures(returned):
        wrapped = wrap_numpy(lambda xi, pair: xi["a"] * xi["b"] * pair[0], partial(returns, returned))
        return run(route, gradients(lambda a, b: wrapped({"b": b, "a": a}, (b, a)), 0, 1), (A, 2 * A))

    ones = np.ones_like(A)
    for returned, expected in (
        ({"b": ones}, (0 * ones, ones)),
        (({"a": ones, "b": 2 * ones}, (4 * ones, None)), (ones, 6 * ones)),
        ((None, (None, ones)), (ones, 0 * ones)),
    ):
        np.testing.assert_array_equal(of_structures(returned), expected)


@pytest.mark.parametrize("route", ROUTES)
def test_results_have_the_dtype_of_the_first_argument(route: str) -> None:
    for dtype in ("float32", "float64"):
        for result in (np.arange(3), np.array([True, False, True]), np.ones(3, np.float32), np.ones(3)):
            found = run(route, wrap_numpy(partial(returns, result)), [A.astype(dtype)])
            assert found.dtype == dtype
            np.testing.assert_array_equal(found, result)


@pytest.mark.parametrize("route", ROUTES)
def test_arguments_that_are_no_tensors(route: str) -> None:
    def compute(a, factor, grid, power):
        assert (factor.dtype, grid.dtype, power.dtype.kind) == (a.dtype, a.dtype, "i")
        return factor * (a[:, None] * grid) ** power

    wrapped = wrap_numpy(compute)
    for dtype in ("float32", "float64"):
        found = run(route, lambda a: wrapped(a, 2.0, np.array([1.0, 3.0]), 2), [A.astype(dtype)])
        np.testing.assert_allclose(found, 2 * (A[:, None] * [1, 3]) ** 2)


@pytest.mark.parametrize("route", ROUTES)
def test_arrays_may_be_overwritten_and_reused(route: str) -> None:
    buffer = np.empty(3)

    def overwrite(a):
        a += 1
        buffer[:] = a
        return buffer

    def evaluate(a):
        return wrap_numpy(overwrite)(a), wrap_numpy(overwrite)(2 * a), a

    for found, expected in zip(run(route, evaluate, [A]), (A + 1, 2 * A + 1, A), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("n", [None, 3])
def test_shapes_in_graphs(n: int | None) -> None:
    def shapes(function, *sizes):
        traced = tf.function(function).get_concrete_function(*(tf.TensorSpec((n, *size), "float32") for size in sizes))
        return tf.nest.map_structure(lambda part: part.shape, traced.structured_outputs)

    found = shapes(lambda rate, wave, time: simulate({"rate": rate, "wave": wave}, time), (), (2,), (TIMES,))
    assert found["signal"].as_list() == [n, TIMES]
    assert [part.as_list() for part in found["energy"]] == [[n], [n, 2]]
    assert shapes(wrap_numpy(decay), (), (4,)).rank is None
    assert shapes(wrap_numpy(decay, shape=(None, 4)), (), (4,)).as_list() == [n, None, 4]
    assert shapes(gradients(wrap_numpy(decay, decay_vjp), 1), (), (4,)).as_list() == [n, 4]


def test_names_of_operations_in_graphs() -> None:
    traced = tf.function(gradients(wrap_numpy(decay, decay_vjp), 0)).get_concrete_function(A, TIME)
    names = [operation.name for operation in traced.graph.get_operations() if operation.type == "PyFunc"]
    assert names == ["kerasjoint_host_decay", "kerasjoint_host_decay_gradient"]
    traced = tf.function(lambda a: wrap_numpy(lambda a: a)(a)).get_concrete_function(A)
    assert "kerasjoint_black_box__lambda_" in [operation.name for operation in traced.graph.get_operations()]


def test_eager_exceptions_keep_their_traceback_and_graphs_name_the_line() -> None:
    def fails(a):
        return a / undefined  # noqa: F821

    with pytest.raises(NameError, match="undefined") as caught:
        wrap_numpy(fails)(tf.constant(A))
    assert traceback.extract_tb(caught.tb)[-1].line == "return a / undefined  # noqa: F821"
    with pytest.raises(tf.errors.UnknownError, match=r"return a / undefined"):
        tf.function(wrap_numpy(fails))(tf.constant(A))


def test_derivatives_that_are_not_there() -> None:
    wrapped = wrap_numpy(decay, decay_vjp)
    for route in (lambda function: function, partial(tf.function, autograph=False)):
        with tf.GradientTape() as outer:
            rate = tf.constant(A)
            outer.watch(rate)
            slope = route(gradients(wrapped, 0))(rate, tf.constant(TIME))
        assert outer.gradient(slope, rate) is None

        def step(u, parameters):
            return wrapped(u, parameters["u"][:, None])[:, 0]

        def forward(rate, step=step):
            return integrate(lambda p: p["u"], step, {"u": rate}, steps=2, mode="forward")

        with pytest.raises(LookupError, match=r"wrap_numpy\(decay\): .*mode='reverse'"):
            route(forward)(tf.constant(A))


def test_name_and_copies() -> None:
    wrapped = wrap_numpy(decay, decay_vjp, shape=(4,))
    assert (wrapped.__name__, wrapped.__doc__, wrapped.__wrapped__) == ("decay", "One instance a row.", decay)
    assert repr(wrapped) == "wrap_numpy(decay)"
    for other in (pickle.loads(pickle.dumps(wrapped)), copy.deepcopy(wrapped)):
        for found, expected in zip(
            run(GRAPH, gradients(other, 0), (A, TIME)), run(GRAPH, gradients(wrapped, 0), (A, TIME)), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_mistakes_when_wrapping() -> None:
    with pytest.raises(ArgumentError, match="wrap_numpy: expected a function, got 3"):
        wrap_numpy(3)
    with pytest.raises(ArgumentError, match=r"wrap_numpy\(decay\): vjp: expected a function or None, got 3"):
        wrap_numpy(decay, 3)
    for shape in (3, "ab", ("a",), {"u": 3}, (1.5,)):
        with pytest.raises(ArgumentError, match=r"wrap_numpy\(decay\): expected as shape= "):
            wrap_numpy(decay, shape=shape)


@pytest.mark.parametrize("compiled", [False, True])
def test_mistakes_in_arguments(compiled: bool) -> None:
    for arguments, message in (
        ((), "a floating-point tensor among the arguments, got none"),
        ((tf.constant(1.0),), r"a floating-point argument of shape \(n, ...\), got scalars only"),
        ((tf.constant([1.0]), "time"), "tensors, arrays or numbers as arguments, got str"),
        ((tf.constant([1.0]), None), "tensors, arrays or numbers as arguments, got NoneType"),
    ):

        def call():
            return wrap_numpy(decay)(*arguments)  # noqa: B023

        with pytest.raises(ArgumentError, match=r"wrap_numpy\(decay\): expected " + message):
            tf.function(call, autograph=False)() if compiled else call()


ONE_ARRAY = "an array with the instances first, as np.stack makes of one for each, or a tuple of such arrays"


@pytest.mark.parametrize("route", ROUTES)
def test_mistakes_in_results(route: str) -> None:
    for result, shape, expected, got in (
        (np.ones(2), None, "results with the 3 instances first", "shape (2,)"),
        (1.0, None, "results with the 3 instances first", "shape ()"),
        (np.ones(3, complex), None, "results that are real numbers", "dtype complex128"),
        (np.array([None] * 3), None, "results that are real numbers", "dtype object"),
        (None, None, "results that are real numbers", "dtype object"),
        (np.ones((3, 2)), (4,), "a result of shape (4,) per instance, as declared", "(2,)"),
        ([A, A, A], (), ONE_ARRAY, "a list of 3"),
        (np.ones((3, 2)), {"u": (2,)}, "results as declared by shape=", "shape (3, 2)"),
        ({"v": A}, {"u": ()}, "results as declared by shape=", "{'v': shape (3,)}"),
        ((A, A), ((), (), ()), "results as declared by shape=", "(shape (3,), shape (3,))"),
    ):
        message = attempt(route, wrap_numpy(partial(returns, result), shape=shape))
        assert f"wrap_numpy(partial): expected {expected}, got {got}" in message


def test_several_results_in_a_graph_must_be_declared() -> None:
    wrapped = wrap_numpy(lambda a, time: {"u": a})
    np.testing.assert_array_equal(run(EAGER, wrapped, (A, TIME))["u"], A)
    message = attempt(GRAPH, wrapped)
    assert "a lone array in a compiled function, or shape= to declare several results, got {'u': shape (3,)}" in message


@pytest.mark.parametrize("route", ROUTES)
def test_mistakes_in_the_vjp(route: str) -> None:
    for returned, expected in (
        ((A,), "wrap_numpy(decay): vjp: expected 2 gradients, one per argument, got 1"),
        ((A, TIME, A), "wrap_numpy(decay): vjp: expected 2 gradients, one per argument, got 3"),
        (A[:2], "wrap_numpy(decay): expected a gradient of its argument's shape (3,), got (2,)"),
        ((A, A), "wrap_numpy(decay): expected a gradient of its argument's shape (3, 4), got (3,)"),
        (1j * A, "wrap_numpy(decay): expected gradients that are real numbers, got dtype complex128"),
    ):
        wrapped = wrap_numpy(decay, partial(returns, returned))
        assert expected in attempt(route, gradients(wrapped, 0))
    for returned, got in (({"b": A}, "b"), (A, "ndarray")):
        wrapped = wrap_numpy(lambda xi, time: xi["a"], partial(returns, returned))
        message = attempt(route, gradients(lambda a, time, wrapped=wrapped: wrapped({"a": a}, time), 0))
        assert f"vjp: expected a dictionary of gradients with names among a, got {got}" in message


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"torch is not installed: pip install kerasjoint\[torch\]"):
        wrap_torch(decay)
