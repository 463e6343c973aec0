"""Graphs and gradients that were traced go when nobody needs them, and work as long as somebody does."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

from kerasjoint.tracing import concrete_function


@tf.custom_gradient
def tripled(x: tf.Tensor):
    """Its slope is not that of its value, so that a lost gradient shows."""
    return tf.identity(x), lambda upstream: 3 * upstream


def in_a_loop(x: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(x)
        _, y = tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, tripled(y)), (0, x), maximum_iterations=2)
    return tape.gradient(y, x)


def at_once(x: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tripled(x)
    return tape.gradient(y, x)


def registered() -> set[str]:
    return {name for name in ops.gradient_registry.list() if name.startswith("CustomGradient")}


@pytest.mark.parametrize(("function", "slope"), [(at_once, 3), (in_a_loop, 9)])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_nothing_stays_of_a_graph_with_custom_gradients(function, slope: int, jit_compile: bool) -> None:
    gc.collect()
    before = registered()
    concrete = concrete_function(function, tf.TensorSpec((2,)), jit_compile=jit_compile)
    np.testing.assert_array_equal(concrete(tf.ones(2)), [slope, slope])
    assert registered() > before
    graph = weakref.ref(concrete.graph)
    del concrete
    gc.collect()
    assert graph() is None
    assert registered() == before


def test_gradients_are_taken_through_it_later() -> None:
    """Of a concrete function, whose own gradient is built when it is asked for."""
    concrete = concrete_function(tripled, tf.TensorSpec((2,)))
    gc.collect()
    x = tf.ones(2)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = concrete(x)
    np.testing.assert_array_equal(tape.gradient(y, x), [3, 3])
    outer = concrete_function(lambda x: 2 * concrete(x), tf.TensorSpec((2,)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = outer(x)
    np.testing.assert_array_equal(tape.gradient(y, x), [6, 6])
