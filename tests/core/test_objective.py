from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, Fragile, Traced, central_difference, decay_set, fragile_set

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, Unknown, set_cores
from kerasjoint.batching import padded_size
from kerasjoint.tensor_problem_set import TensorProblemSet

XI = np.linspace(0.3, 4.5, 7)[:, None]


@pytest.fixture(scope="module")
def seven() -> ProblemSet:
    return decay_set(Decay(), n=7)


def test_loss_is_the_sum_of_squares(seven: ProblemSet) -> None:
    residual = np.exp(-XI * seven.x["time"]) - seven.y
    np.testing.assert_allclose(seven.objective(XI), np.sum(residual**2, axis=1), rtol=1e-13)
    np.testing.assert_allclose(seven.objective(seven.truth), 0, atol=1e-28)
    np.testing.assert_allclose(seven.problem.simulate(XI, seven.x), residual + seven.y, rtol=1e-14)


def test_gradient_against_finite_differences_and_by_hand(seven: ProblemSet) -> None:
    value, gradient = seven.value_and_gradient(XI)
    np.testing.assert_allclose(value, seven.objective(XI), rtol=1e-13)
    np.testing.assert_allclose(gradient, central_difference(seven.objective, XI, 1e-5), rtol=1e-8)
    decayed = np.exp(-XI * seven.x["time"])
    by_hand = np.sum(2 * (decayed - seven.y) * -seven.x["time"] * decayed, axis=1)
    np.testing.assert_allclose(gradient[:, 0], by_hand, rtol=1e-12)


def test_many_problems_and_sizes_do_not_make_tensorflow_warn(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="tensorflow"):
        for _ in range(3):
            for n in (1, 3, 9, 40, 100):
                problem_set = decay_set(Decay(), n=n)
                problem_set.value_and_gradient(problem_set.guess)
                problem_set.objective(problem_set.guess)
    assert not caplog.records


def test_chunks_agree_with_the_whole_and_trace_once(seven: ProblemSet) -> None:
    problem = Traced(chunk=3)
    chunked = decay_set(problem, n=7)
    set_cores(2)
    try:
        value, gradient = chunked.value_and_gradient(XI)
    finally:
        set_cores(None)
    assert problem.traces == 3  # pieces of 3, the last one, and to see that it takes any number of instances
    np.testing.assert_allclose(value, seven.value_and_gradient(XI)[0], rtol=1e-13)
    np.testing.assert_allclose(gradient, seven.value_and_gradient(XI)[1], rtol=1e-13)
    np.testing.assert_allclose(chunked.objective(XI), value, rtol=1e-13)


def test_no_tracing_for_known_shapes() -> None:
    problem = Traced()
    decay_set(problem, n=3).value_and_gradient(XI[:3])
    before = problem.traces
    for n in (2, 3, 4):
        decay_set(problem, n=n, seed=n).value_and_gradient(XI[:n] / 2)
    assert problem.traces == before
    assert decay_set(problem, n=5).compile()
    assert not decay_set(problem, n=6, seed=1).compile()
    assert problem.traces == before + 1


class Closed(Decay):
    """Keeps its instances' scale to itself instead of taking it from x."""

    scale = tf.constant(np.arange(1.0, 17.0))

    def forward(self, xi, x):
        return super().forward({"rate": xi["rate"] * self.scale}, x)


def test_arrays_of_instances_that_are_no_arguments_are_refused() -> None:
    """Of 16 instances, subsets from 9 on are filled up to 16: their rows would meet the wrong scales."""
    problem_set = decay_set(Decay(), n=16)
    wrong = ProblemSet(Closed(), problem_set.x, problem_set.y)
    with pytest.raises(ArgumentError, match=r"Closed\.forward: expected a function of any number of instances"):
        wrong.value_and_gradient(wrong.guess)


@pytest.mark.parametrize(
    ("n", "chunk", "size"),
    [
        (1, None, 1),
        (2, None, 4),
        (4, None, 4),
        (5, None, 16),
        (65, None, 256),
        (2, 8, 2),
        (7, 8, 8),
        (7, 3, 7),
        (65, 32, 65),
        (87, 32, 88),
    ],
)
def test_padding_serves_many_sizes_with_few(n: int, chunk: int | None, size: int) -> None:
    set_cores(2)
    try:
        assert padded_size(n, chunk) == size
    finally:
        set_cores(None)


@pytest.mark.parametrize("chunk", [None, 2])
def test_a_bad_instance_is_masked_and_changes_no_bit_of_the_others(chunk: int | None) -> None:
    problem = Fragile()
    problem.chunk = chunk
    xi = np.linspace(0.5, 4.5, 6)[:, None]
    clean_value, clean_gradient = fragile_set(problem, [0] * 6).value_and_gradient(xi)
    value, gradient = fragile_set(problem, [0, 1, 0, 0, 0, 1]).value_and_gradient(xi)
    good = [0, 2, 3, 4]
    assert np.isposinf(value[[1, 5]]).all()
    assert not gradient[[1, 5]].any()
    np.testing.assert_array_equal(value[good], clean_value[good])
    np.testing.assert_array_equal(gradient[good], clean_gradient[good])
    assert np.isposinf(fragile_set(problem, [0, 1]).objective(xi[:2])).tolist() == [False, True]


def test_a_bad_gradient_alone_is_masked_too() -> None:
    class Root(InverseProblem):
        unknowns = (Unknown("u", scale=1.0),)

        def forward(self, xi, x):
            return tf.sqrt(xi["u"])[:, None]

    problem_set = ProblemSet(Root(), y=np.ones((2, 1)))
    value, gradient = problem_set.value_and_gradient([[0.0], [4.0]])
    assert value.tolist() == [np.inf, 1.0]
    assert gradient.tolist() == [[0.0], [0.5]]


def test_training_sees_the_same_losses_and_masked_gradients() -> None:
    tensors = TensorProblemSet.of(fragile_set(Fragile(), [0, 1, 0]), tf.float64)
    xi = tf.constant([[1.0], [1.0], [3.5]], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(xi)
        loss = tensors.objective(xi)
        total = tf.reduce_sum(tf.where(tf.math.is_finite(loss), 3 * loss, 0.0))
    stretch = np.exp(2 * np.linspace(-1, 1, 3))
    np.testing.assert_allclose(loss, [stretch[0], np.inf, 2.25 * stretch[2]], rtol=1e-13)
    np.testing.assert_allclose(tape.gradient(total, xi)[:, 0], [-6 * stretch[0], 0, 9 * stretch[2]], rtol=1e-13)


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
            "strings": lambda: decayed + tf.strings.to_number(tf.strings.as_string(decayed), tf.float64),
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
        ("strings", r"Broken\.forward: expected operations that XLA can compile, got .*AsString"),
        ("numpy", r"Broken\.forward: expected TensorFlow"),
        ("eager", r"Broken\.forward: expected TensorFlow"),
    ],
)
def test_a_simulator_that_breaks_its_contract_is_named(how: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        decay_set(Broken(how), n=4).value_and_gradient(XI[:4])


@pytest.mark.parametrize("wrong", [lambda loss: tf.reduce_sum(loss), lambda loss: loss[:, None]])
def test_a_loss_of_the_wrong_shape_is_refused(wrong: object) -> None:
    class WrongLoss(Decay):
        def loss(self, prediction, y):
            return wrong(super().loss(prediction, y))

    with pytest.raises(ArgumentError, match=r"WrongLoss\.loss: expected one loss per instance"):
        decay_set(WrongLoss(), n=4).objective(XI[:4])
