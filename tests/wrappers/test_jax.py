from __future__ import annotations

import copy
import pickle
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, decay_set
from wrappers.oscillation import EAGER, GRAPH, XLA, assert_agrees, inputs, oscillation, run, value_and_gradients

from kerasjoint import ArgumentError, KerasjointError, ProblemSet, integrate
from kerasjoint.wrappers import wrap_jax

simulate = wrap_jax(partial(oscillation, jnp))


@wrap_jax
def exponential(rate, time):
    """One instance a row."""
    return jnp.exp(-rate[:, None] * time)


def plain(rate, time):
    return jnp.exp(-rate[:, None] * time)


@pytest.mark.parametrize("route", [EAGER, GRAPH, XLA])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 5])
def test_value_and_gradients(n: int, dtype: str, route: str) -> None:
    arrays = inputs(n, dtype)
    assert_agrees(run(route, value_and_gradients(simulate), arrays), arrays, dtype)
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_graph_for_every_number_of_instances(dtype: str, jit_compile: bool) -> None:
    signature = [tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in inputs(1, dtype)]
    function = tf.function(value_and_gradients(simulate), input_signature=signature, jit_compile=jit_compile)
    for n in (1, 4, 7):
        arrays = inputs(n, dtype)
        found = tf.nest.map_structure(lambda part: part.numpy(), function(*map(tf.constant, arrays)))
        assert_agrees(found, arrays, dtype)
    assert len(function._list_all_concrete_functions()) == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_global_setting_and_constants_of_the_function_do_not_change_the_dtype(dtype: str) -> None:
    grids = [np.linspace(0, 1, 3), jnp.linspace(0, 1, 3)]
    with jax.enable_x64(True):
        grids.append(jnp.linspace(0, 1, 3))
        assert grids[-1].dtype == "float64"
        expected = np.linspace(0, 1, 3) + 0.1
        for grid in grids:
            found = wrap_jax(lambda a, grid=grid: a[:, None] + grid)(tf.constant([0.1], dtype))
            assert found.dtype == dtype
            np.testing.assert_allclose(found[0], expected, rtol=1e-7)
        assert jax.config.jax_enable_x64


def test_arguments_that_are_no_tensors_take_the_dtype_of_the_tensors() -> None:
    wrapped = wrap_jax(lambda a, factor, grid, power: (factor * a[:, None] * grid) ** power)
    for dtype in ("float32", "float64"):
        found = wrapped(tf.constant([1.0, 2.0], dtype), 2.0, np.array([1.0, 3.0]), 2)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, [[4, 36], [16, 144]])


@pytest.mark.parametrize("route", [EAGER, GRAPH, XLA])
def test_complex_numbers_have_the_gradients_of_tensorflow(route: str) -> None:
    def gradients(function):
        def evaluate(z, a):
            with tf.GradientTape() as tape:
                tape.watch([z, a])
                value = tf.abs(function(z, a) * z)
            return tape.gradient(value, [z, a])

        return evaluate

    arrays = np.array([0.3 + 0.4j, 1 - 2j]), np.array([0.3, 0.7])
    found = run(route, gradients(wrap_jax(lambda z, a: z**2 * a * jnp.exp(1j * a * z))), arrays)
    expected = run(
        EAGER,
        gradients(lambda z, a: z**2 * tf.cast(a, z.dtype) * tf.exp(1j * tf.cast(a, z.dtype) * z)),
        arrays,
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("route", [EAGER, GRAPH, XLA])
def test_integers_are_constants(route: str) -> None:
    wrapped = wrap_jax(lambda a, k: (a * k, k + 1))

    def evaluate(a, k):
        with tf.GradientTape() as tape:
            tape.watch([a, k])
            value, after = wrapped(a, k)
        assert tape.gradient(value, k) is None
        return value, after

    value, after = run(route, evaluate, [np.array([0.5, 2.0]), np.array([3, 4], np.int32)])
    np.testing.assert_array_equal(value, [1.5, 8])
    np.testing.assert_array_equal(after, np.array([4, 5], np.int32))


def test_second_derivatives() -> None:
    def curvature(a):
        with tf.GradientTape() as outer:
            outer.watch(a)
            with tf.GradientTape() as inner:
                inner.watch(a)
                value = wrap_jax(lambda a: a**3)(a)
            slope = inner.gradient(value, a)
        return outer.gradient(slope, a)

    for route in (EAGER, GRAPH, XLA):
        np.testing.assert_allclose(run(route, curvature, [np.array([1.0, 2.0])]), [6, 12], rtol=1e-14)


def test_inside_a_custom_gradient() -> None:
    @tf.custom_gradient
    def doubled(a):
        value, gradient = run_inside(a)
        return value, lambda upstream: 2 * upstream * gradient

    def run_inside(a):
        with tf.GradientTape() as tape:
            tape.watch(a)
            value = wrap_jax(jnp.sin)(a)
        return value, tape.gradient(value, a)

    def slope(a):
        with tf.GradientTape() as tape:
            tape.watch(a)
            value = doubled(a)
        return tape.gradient(value, a)

    a = np.array([0.2, 0.4])
    for route in (EAGER, GRAPH, XLA):
        np.testing.assert_allclose(run(route, slope, [a]), 2 * np.cos(a), rtol=1e-14)


def test_in_the_loop_of_integrate() -> None:
    step = wrap_jax(lambda u, p: u - 0.1 * p["rate"] * u)

    def slope(mode, rate):
        with tf.GradientTape() as tape:
            tape.watch(rate)
            value = integrate(lambda p: tf.ones_like(p["rate"]), step, {"rate": rate}, steps=5, mode=mode)
        return value, tape.gradient(value, rate)

    rate = np.array([0.5, 1.5])
    value, gradient = run(XLA, partial(slope, "reverse"), [rate])
    np.testing.assert_allclose(value, (1 - 0.1 * rate) ** 5, rtol=1e-14)
    np.testing.assert_allclose(gradient, -0.5 * (1 - 0.1 * rate) ** 4, rtol=1e-14)
    with pytest.raises(LookupError, match=r"wrap_jax\(<lambda>\): .*mode='reverse'"):
        tf.function(partial(slope, "forward"), autograph=False)(tf.constant(rate))


def test_as_the_forward_model_of_a_problem(decay: ProblemSet) -> None:
    class JaxDecay(Decay):
        def forward(self, xi, x):
            return exponential(xi["rate"], x["time"])

    same = decay_set(JaxDecay(), n=4)
    xi = np.array([[0.5], [1.0], [2.0], [3.0]])
    for one, other in zip(same.value_and_gradient(xi), decay.value_and_gradient(xi), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_name_and_copies() -> None:
    assert (exponential.__name__, exponential.__doc__) == ("exponential", "One instance a row.")
    assert repr(exponential) == "wrap_jax(exponential)"
    assert exponential.__wrapped__.__name__ == "exponential"
    assert wrap_jax(partial(plain)).__name__ == "partial"
    assert pickle.loads(pickle.dumps(exponential)) is exponential
    a, t = tf.constant([1.0]), tf.constant([[1.0, 2.0]])
    wrapped = wrap_jax(plain)
    for other in (pickle.loads(pickle.dumps(wrapped)), copy.deepcopy(wrapped)):
        np.testing.assert_array_equal(other(a, t), wrapped(a, t))


def test_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match="wrap_jax: expected a function, got 3"):
        wrap_jax(3)
    with pytest.raises(ArgumentError, match=r"wrap_jax\(plain\): .* got str"):
        wrap_jax(plain)(tf.constant([1.0]), "time")
    with pytest.raises(ArgumentError, match=r"wrap_jax\(plain\): expected a floating-point tensor .* got none"):
        wrap_jax(plain)(1, 2)
    with pytest.raises(ArgumentError, match=r"wrap_jax\(plain\): expected shapes known .* got \(None, None\)"):
        tf.function(wrap_jax(plain)).get_concrete_function(
            tf.TensorSpec((None,), "float32"), tf.TensorSpec((None, None), "float32")
        )
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(ImportError, match=r"jax is not installed: pip install kerasjoint\[jax\]") as caught:
        wrap_jax(plain)
    assert isinstance(caught.value, KerasjointError)
