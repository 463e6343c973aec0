from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from wrappers.oscillation import EAGER, GRAPH, SHAPE, assert_agrees, inputs, oscillation, run, value_and_gradients

from kerasjoint import ArgumentError
from kerasjoint.wrappers import wrap_torch

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

ROUTES = [EAGER, GRAPH]
A = np.array([0.5, 1.0, 2.0])

simulate = wrap_torch(partial(oscillation, torch), shape=SHAPE)


def slopes(function):
    def evaluate(*arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            value = function(*arguments)
        return tape.gradient(value, arguments)

    return evaluate


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [1, 5])
def test_value_and_gradients(n: int, dtype: str, route: str) -> None:
    arrays = inputs(n, dtype)
    assert_agrees(run(route, value_and_gradients(simulate), arrays), arrays, dtype)


@pytest.mark.parametrize("route", ROUTES)
def test_a_module_without_grad_mode(route: str) -> None:
    layer = torch.nn.Linear(1, 2).double()
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    wrapped = wrap_torch(torch.nn.Sequential(layer, torch.nn.Tanh()), shape=(2,))
    assert wrapped.__name__ == "Sequential"
    with torch.no_grad():
        (found,) = run(route, slopes(wrapped), [A[:, None]])
    slope = (1 - np.tanh(A[:, None] * weight.T + bias) ** 2) @ weight
    np.testing.assert_allclose(found, slope, rtol=1e-12)


@pytest.mark.parametrize("route", ROUTES)
def test_autograd_inside_the_function(route: str) -> None:
    def force(a):
        position = a.detach().requires_grad_() if not a.requires_grad else a
        (slope,) = torch.autograd.grad(torch.sum(position**3), position, create_graph=True)
        return slope

    np.testing.assert_allclose(run(route, wrap_torch(force), [A]), 3 * A**2, rtol=1e-14)
    np.testing.assert_allclose(run(route, slopes(wrap_torch(force)), [A])[0], 6 * A, rtol=1e-14)


@pytest.mark.parametrize("route", ROUTES)
def test_constants(route: str) -> None:
    wrapped = wrap_torch(lambda a, b, k: (a * k, torch.ones_like(b)), shape=((), ()))

    def evaluate(a, b, k):
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            first, second = wrapped(a, b, k)
            value = first + second
        return first, second, *tape.gradient(value, [a, b])

    found = run(route, evaluate, [A.astype("float32"), A, np.array([1, 2, 3])])
    for one, other, dtype in zip(
        found, (A * [1, 2, 3], A**0, [1, 2, 3], 0 * A), [*["float32"] * 3, "float64"], strict=True
    ):
        assert one.dtype == dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("route", ROUTES)
def test_mistakes_in_results(route: str) -> None:
    for function, call, message in (
        (lambda a: a.detach() ** 2, slopes, "a result that depends on the arguments through PyTorch, got no gradient"),
        (lambda a: a.numpy(), lambda wrapped: wrapped, "PyTorch tensors as results, got ndarray"),
        (lambda a: a[:2], lambda wrapped: wrapped, "results with the 3 instances first, got shape (2,)"),
        (lambda a: a * 1j, lambda wrapped: wrapped, "results that are real numbers, got dtype complex128"),
    ):
        with pytest.raises((ArgumentError, tf.errors.InvalidArgumentError)) as caught:
            run(route, call(wrap_torch(function)), [A])
        assert f"wrap_torch(<lambda>): expected {message}" in str(caught.value)


def test_mistakes_when_wrapping() -> None:
    with pytest.raises(ArgumentError, match="wrap_torch: expected a function, got 3"):
        wrap_torch(3)
    with pytest.raises(ArgumentError, match=r"wrap_torch\(exp\): expected as shape= "):
        wrap_torch(torch.exp, shape="ab")
