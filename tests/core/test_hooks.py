"""What a problem's methods may return, and how their mistakes are named."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, central_difference, decay_set

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, SimulatorError, Unknown

XI = np.linspace(0.3, 4.5, 7)[:, None]


class Broken(Decay):
    def __init__(self, how: str) -> None:
        self.how = how

    def forward(self, xi, x):
        decayed = super().forward(xi, x)
        if self.how == "numpy":
            return np.exp(-xi["rate"])
        if self.how == "eager":
            return tf.exp(-xi["rate"].numpy()[:, None] * x["time"])
        return {
            "shape": lambda: decayed[:, :-1],
            "rank": lambda: decayed[:, :, None],
            "instances": lambda: tf.reduce_sum(decayed, axis=0, keepdims=True),
            "single": lambda: tf.cast(decayed, tf.float32),
            "stopped": lambda: tf.stop_gradient(decayed),
            "constant": lambda: tf.ones_like(x["time"]),
        }[self.how]()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("shape", r"Broken\.forward: expected the observation's shape .*20.* got .*19"),
        ("rank", r"Broken\.forward: expected the observation's shape"),
        ("instances", r"Broken\.forward: expected the observation's shape"),
        ("single", r"Broken\.forward: expected the dtype of its inputs, float64, got float32"),
        ("stopped", r"Broken\.forward: expected a result that depends on the unknowns through TensorFlow"),
        ("constant", r"Broken\.forward: expected a result that depends on the unknowns through TensorFlow"),
        ("numpy", r"Broken\.forward: expected TensorFlow"),
        ("eager", r"Broken\.forward: expected TensorFlow"),
    ],
)
def test_a_simulator_that_breaks_its_contract_is_named(how: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        decay_set(Broken(how), n=4).value_and_gradient(XI[:4])


@pytest.mark.parametrize("wrong", [lambda loss: tf.reduce_sum(loss), lambda loss: loss[:, None]])
@pytest.mark.parametrize("hook", ["misfit", "regularizer"])
def test_a_term_of_the_wrong_shape_is_refused(hook: str, wrong: Callable[[tf.Tensor], tf.Tensor]) -> None:
    class Wrong(Decay):
        def misfit(self, prediction, y, x):
            loss = super().misfit(prediction, y, x)
            return wrong(loss) if hook == "misfit" else loss

        def regularizer(self, xi, x):
            return wrong(xi["rate"]) if hook == "regularizer" else xi["rate"]

    with pytest.raises(ArgumentError, match=rf"Wrong\.{hook}: expected one number per instance, shape \(4,\)"):
        decay_set(Wrong(), n=4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda parts: tf.cast(parts, tf.float32), "expected the dtype of its inputs, float64, got float32"),
        (lambda parts: tf.reduce_sum(parts), r"expected one row per instance, shape \(4, \.\.\.\), got \(\)"),
        (lambda parts: parts[:-1], r"expected one row per instance, shape \(4, \.\.\.\), got \(3, 20\)"),
        (lambda parts: "none", "expected a tensor computed by TensorFlow, got str"),
        (lambda parts: (parts, None), "expected a tensor computed by TensorFlow, got NoneType"),
    ],
)
def test_residuals_of_the_wrong_kind_are_refused_by_that_name(wrong: Callable[..., Any], message: str) -> None:
    class Wrong(Decay):
        def residuals(self, prediction, y, x):
            return wrong(prediction - y)

    with pytest.raises(ArgumentError, match=rf"Wrong\.residuals: {message}"):
        decay_set(Wrong(), n=4)


class Faulty(Decay):
    """Raises inside one of its methods."""

    def __init__(self, hook: str) -> None:
        self.hook = hook

    def forward(self, xi, x):
        if self.hook == "forward":
            return x["tme"]
        return super().forward(xi, x)

    def residuals(self, prediction, y, x):
        return prediction - self.nothing if self.hook == "residuals" else super().residuals(prediction, y, x)

    def regularizer(self, xi, x):
        if self.hook == "regularizer":
            return tf.matmul(xi["rate"], x["time"])
        return super().regularizer(xi, x)


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        ("forward", r"KeyError: 'tme', of .*\(.*test_hooks\.py, line \d+: return x\[.tme.\]\)"),
        ("residuals", r"AttributeError: .*nothing.*test_hooks\.py, line \d+: return prediction - self\.nothing"),
        ("regularizer", r"line \d+: return tf\.matmul"),
    ],
)
def test_an_error_inside_a_method_names_it_and_the_users_line(hook: str, message: str) -> None:
    with pytest.raises(SimulatorError, match=rf"^Faulty\.{hook}: .*{message}") as caught:
        decay_set(Faulty(hook), n=5)
    assert caught.value.__cause__ is not None
    assert "16" not in str(caught.value).partition("(")[0]  # sizes that batches are filled up to are nobody's business
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


class Structured(InverseProblem):
    """Two sensors of different accuracy, one of them with a rate of its own; predictions by name."""

    unknowns = (Unknown("rate", lower=0.0, upper=5.0, guess=1.0), Unknown("offset", scale=0.1))

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def forward(self, xi, x):
        first = tf.exp(-xi["rate"][:, None] * x["time"])
        second = first[:, ::2] + xi["offset"][:, None]
        return {"a": first, "b": second} if self.kind is dict else (first, second)

    def residuals(self, prediction, y, x):
        first, second = prediction.values() if self.kind is dict else prediction
        return first - y, (second - y[:, ::2]) / x["noise"][:, None]

    def regularizer(self, xi, x):
        return tf.square(xi["offset"] / 0.5)


@pytest.mark.parametrize("kind", [dict, tuple])
def test_predictions_may_be_structures(kind: type) -> None:
    plain = decay_set(Decay(), n=3)
    noise = np.array([0.5, 1.0, 2.0])
    problem = Structured(kind)
    problem_set = ProblemSet(problem, {**plain.x, "noise": noise}, plain.y)
    xi = np.array([[0.5, 0.1], [1.0, -0.2], [3.0, 0.0]])
    first = np.exp(-xi[:, :1] * plain.x["time"])
    second = first[:, ::2] + xi[:, 1:]
    by_hand = np.sum((first - plain.y) ** 2, 1) + np.sum(((second - plain.y[:, ::2]) / noise[:, None]) ** 2, 1)
    by_hand += (xi[:, 1] / 0.5) ** 2
    np.testing.assert_allclose(problem_set.objective(xi), by_hand, rtol=1e-13)
    _, gradient = problem_set.value_and_gradient(xi)
    np.testing.assert_allclose(gradient, central_difference(problem_set.objective, xi, 1e-5), rtol=1e-7, atol=1e-9)
    prediction = problem.simulate(xi, problem_set.x)
    assert isinstance(prediction, kind)
    a, b = prediction.values() if kind is dict else prediction
    np.testing.assert_allclose(a, first, rtol=1e-14)
    np.testing.assert_allclose(b, second, rtol=1e-14)


def test_a_structure_without_residuals_of_its_own_is_refused() -> None:
    class Pair(Decay):
        def forward(self, xi, x):
            return super().forward(xi, x), xi["rate"]

    with pytest.raises(ArgumentError, match=r"Pair\.forward: expected a tensor .* or residuals or misfit overridden"):
        decay_set(Pair(), n=2)


def test_methods_that_nothing_calls_or_that_take_too_little_are_refused() -> None:
    class Named(Decay):
        def loss(self, prediction, y):
            return tf.reduce_sum(prediction - y, axis=1)

    class British(Decay):
        regularization = 0.1

        def regulariser(self, xi, x):
            return self.regularization * tf.square(xi["rate"])

    class Short(Decay):
        def residuals(self, prediction, y):
            return prediction - y

    with pytest.raises(ArgumentError, match=r"Named\.loss: expected misfit\(prediction, y, x\).* got loss, which"):
        decay_set(Named(), n=2)
    with pytest.raises(ArgumentError, match=r"British\.regulariser: expected misfit.*got regulariser, which nothing"):
        decay_set(British(), n=2)
    with pytest.raises(ArgumentError, match=r"Short\.residuals: expected residuals\(prediction, y, x\), got resid"):
        decay_set(Short(), n=2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda xi, x: 1.0 if xi["rate"][0] > 0 else 2.0, r"tf\.where instead of if"),
        (lambda xi, x: np.exp(xi["rate"]), r"wrapped by kerasjoint\.wrap_numpy"),
        (lambda xi, x: __import__("jax").numpy.exp(xi["rate"]), r"wrapped by kerasjoint\.wrap_jax"),
        (lambda xi, x: xi["rate"] * x["time"], r"xi\['rate'\]\[:, None\] of a number beside arrays"),
        (lambda xi, x: xi["rate"] * tf.ones((), tf.float32), r"tf\.constant\(values, xi\['rate'\]\.dtype\)"),
        (lambda xi, x: x["tme"], r"KeyError: 'tme', of xi = \['rate'\] and x = \['time'\]"),
    ],
)
def test_a_message_says_what_to_write_instead(wrong: Callable[..., object], message: str) -> None:
    class Wrong(Decay):
        def forward(self, xi, x):
            return wrong(xi, x)

    with pytest.raises((ArgumentError, SimulatorError), match=rf"Wrong\.forward: .*{message}"):
        decay_set(Wrong(), n=2)
