"""A damped oscillation that any array library can compute, and the ways in which TensorFlow can run it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

TIMES = 6
SHAPE = {"signal": (TIMES,), "energy": ((), (2,))}
EAGER = "eager"
GRAPH = "graph"
XLA = "xla"


def oscillation(library: Any, xi: dict[str, Any], time: Any) -> dict[str, Any]:
    """Unknowns ``rate`` (n,) and ``wave`` (n, 2), times (n, t): a signal (n, t) and energies (n,) and (n, 2)."""
    rate, wave = xi["rate"], xi["wave"]
    signal = library.exp(-rate[:, None] * time) * library.sin(wave[:, :1] * time + wave[:, 1:])
    return {"signal": signal, "energy": (rate * (wave[:, 0] ** 2 + wave[:, 1] ** 2), rate[:, None] * wave)}


def inputs(n: int, dtype: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(n)
    time = np.tile(np.linspace(0.1, 2, TIMES), (n, 1))
    return tuple(part.astype(dtype) for part in (rng.uniform(0.5, 1.5, n), rng.uniform(0.5, 1.5, (n, 2)), time))


def loss(results: dict[str, Any]) -> Any:
    """The objective of each instance, (n,), whatever the library."""
    first, second = results["energy"]
    misfit = sum((1 + 0.2 * k) * results["signal"][:, k] ** 2 for k in range(TIMES))
    return misfit + first**2 - second[:, 0] * second[:, 1]


def value_and_gradients(function: Callable[..., Any]) -> Callable[..., tuple[tf.Tensor, list[tf.Tensor]]]:
    """The objective (n,) and its gradients with respect to rate, wave and time."""

    def evaluate(rate: tf.Tensor, wave: tf.Tensor, time: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch([rate, wave, time])
            value = loss(function({"rate": rate, "wave": wave}, time))
        return value, tape.gradient(value, [rate, wave, time])

    return evaluate


def run(route: str, function: Callable[..., Any], arrays: Any) -> Any:
    """Call a function on tensors: eagerly, in a graph (through AutoGraph, as users have it), or compiled with XLA."""
    if route != EAGER:
        function = tf.function(function, jit_compile=route == XLA)
    return tf.nest.map_structure(lambda part: part.numpy(), function(*map(tf.constant, arrays)))


def by_tensorflow(arrays: Any) -> Any:
    return run(EAGER, value_and_gradients(lambda xi, time: oscillation(tf, xi, time)), arrays)


def by_differences(arrays: Any) -> list[NDArray[np.float64]]:
    """The gradients with respect to rate and wave by central differences in NumPy."""
    rate, wave, time = (np.asarray(part, np.float64) for part in arrays)

    def at(rate: NDArray[Any], wave: NDArray[Any]) -> NDArray[Any]:
        return loss(oscillation(np, {"rate": rate, "wave": wave}, time))

    step = 1e-6
    moves = step * np.eye(2)
    along = [at(rate, wave + move) - at(rate, wave - move) for move in moves]
    return [(at(rate + step, wave) - at(rate - step, wave)) / (2 * step), np.stack(along, axis=1) / (2 * step)]


def assert_agrees(found: Any, arrays: Any, dtype: str) -> None:
    """Value and gradients are those of TensorFlow and, in float64, of differences; nothing changed its dtype."""
    expected = by_tensorflow(arrays)
    tolerance = {"float32": 2e-5, "float64": 1e-12}[dtype]
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    if dtype == "float64":
        for one, other in zip(found[1][:2], by_differences(arrays), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-8)
