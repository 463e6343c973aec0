from __future__ import annotations

import gc
import re
import warnings
import weakref

import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, Fragile, Traced, central_difference, decay_set, fragile_set

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, Unknown, set_cores
from kerasjoint.batching import padded_size
from kerasjoint.errors import RouteWarning
from kerasjoint.evaluator import Route
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
    assert problem.traces == 4  # pieces of 3, the last one, and twice to check shapes
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
    with pytest.raises(ArgumentError, match=r"Closed\.forward: expected a function of any number of instances"):
        ProblemSet(Closed(), problem_set.x, problem_set.y)


@pytest.mark.parametrize(
    ("n", "chunk", "size"),
    [
        (1, None, 1),
        (2, None, 4),
        (4, None, 4),
        (5, None, 16),
        (65, None, 256),
        (4096, None, 4096),
        (4100, None, 4100),
        (5200, None, 8192),
        (20_000, None, 20_480),
        (2, 8, 2),
        (7, 8, 8),
        (7, 3, 7),
        (65, 32, 65),
        (87, 32, 88),
        (92, 32, 96),
        (4, 8, 4),
        (14, 8, 16),
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


class Text(Decay):
    """Uses an operation that XLA refuses."""

    def forward(self, xi, x):
        time = tf.strings.to_number(tf.strings.as_string(x["time"], precision=17), xi["rate"].dtype)
        return tf.exp(-xi["rate"][:, None] * time)


class Unique(Decay):
    """Uses an operation whose result's shape depends on values."""

    def forward(self, xi, x):
        values, places = tf.unique(tf.reshape(x["time"], (-1,)))
        time = tf.reshape(tf.gather(values, places), tf.shape(x["time"]))
        return tf.exp(-xi["rate"][:, None] * time)


def test_shapes_that_depend_on_values_work(seven: ProblemSet) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RouteWarning)
        value, _ = decay_set(Unique(), n=7).value_and_gradient(XI)
    np.testing.assert_allclose(value, seven.objective(XI), rtol=1e-13)


class Host(Decay):
    """Calls NumPy without a wrapper."""

    def forward(self, xi, x):
        time = tf.numpy_function(lambda time: time, (x["time"],), xi["rate"].dtype)
        return tf.exp(-xi["rate"][:, None] * time)


@pytest.mark.parametrize(
    ("problem_class", "route", "operation"), [(Text, Route.TENSORFLOW, "AsString"), (Host, Route.HOST, "PyFunc")]
)
def test_what_xla_cannot_compile_runs_without_it_after_one_warning(
    seven: ProblemSet, problem_class: type, route: Route, operation: str
) -> None:
    problem = problem_class()
    problem.chunk = 3 if route is Route.TENSORFLOW else None
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        problem_set = decay_set(problem, n=7)
        value, gradient = problem_set.value_and_gradient(XI)
        np.testing.assert_allclose(problem_set.objective(XI), value, rtol=1e-13)
        decay_set(problem, n=5, seed=1).value_and_gradient(XI[:5])
        assert problem.simulate(XI, problem_set.x).shape == (7, 20)
    (warning,) = (one for one in warned if one.category is RouteWarning)
    assert re.search(rf"{problem_class.__name__}\.forward .*{operation}", str(warning.message))
    assert problem_set.evaluator.route is route
    expected_value, expected_gradient = seven.value_and_gradient(XI)
    np.testing.assert_allclose(value, expected_value, rtol=1e-13)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-12)


@pytest.mark.filterwarnings("ignore::kerasjoint.errors.RouteWarning")
def test_a_simulation_may_come_before_any_problem_set(seven: ProblemSet) -> None:
    found = Host().simulate(XI, seven.x)
    np.testing.assert_allclose(found, seven.problem.simulate(XI, seven.x), rtol=1e-14)


def test_eager_simulation_runs_line_by_line() -> None:
    seen = []

    class Printing(Decay):
        def forward(self, xi, x):
            seen.append(float(xi["rate"][1].numpy()))
            return super().forward(xi, x)

    time = np.linspace(0, 1, 5)[None].repeat(3, axis=0)
    found = Printing().simulate({"rate": [1.0, 2.0, 3.0]}, {"time": time}, eager=True)
    np.testing.assert_allclose(found, np.exp(-np.arange(1.0, 4.0)[:, None] * time), rtol=1e-14)
    assert seen == [2.0]


def test_counts_are_of_instances_without_filling(seven: ProblemSet) -> None:
    problem_set = decay_set(Traced(), n=7)
    evaluator = problem_set.evaluator
    before = evaluator.values, evaluator.gradients
    problem_set.objective(XI)
    problem_set.value_and_gradient(XI[:3], np.arange(3))
    assert (evaluator.values - before[0], evaluator.gradients - before[1]) == (7, 3)


def test_equal_problems_share_an_evaluator_and_nothing_holds_a_problem_set() -> None:
    class Scaled(Decay):
        def __init__(self, scale: float) -> None:
            self.scale = scale

        def forward(self, xi, x):
            return self.scale * super().forward(xi, x)

    one, same, other = (decay_set(Scaled(scale), n=3) for scale in (1.0, 1.0, 2.0))
    assert one.evaluator is same.evaluator
    assert one.evaluator is one[:2].evaluator
    assert one.evaluator is not other.evaluator
    np.testing.assert_allclose(other.problem.simulate(XI[:3], other.x), 2 * one.problem.simulate(XI[:3], one.x))
    one.value_and_gradient(XI[:3])
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None


class Constant(Decay):
    """Holds a constant and counts its simulations."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.calls = 0
        self.seen: list[int] = []

    def forward(self, xi, x):
        self.calls += 1
        self.seen.append(xi["rate"].shape[0])
        return self.factor * super().forward(xi, x)


def test_a_changed_constant_is_refused_but_not_a_counter() -> None:
    problem = Constant(1.0)
    for seed in range(3):
        decay_set(problem, n=3, seed=seed).value_and_gradient(XI[:3])
    assert problem.calls == len(problem.seen) > 2
    problem.factor = 2.0
    with pytest.raises(ArgumentError, match=r"problem: expected constants as at its first use.*whose factor changed"):
        decay_set(problem, n=3)


def test_double_precision_alone_is_refused() -> None:
    class Double(Decay):
        def forward(self, xi, x):
            return super().forward(xi, x) + tf.constant(np.zeros(20))

    with pytest.raises(ArgumentError, match=r"Double\.forward: expected a function that computes in the dtype of"):
        decay_set(Double(), n=2)


def test_a_loop_written_out_is_warned_of_before_it_is_compiled() -> None:
    class Steps(Decay):
        def __init__(self, steps: int) -> None:
            self.steps = steps

        def forward(self, xi, x):
            state = tf.ones_like(x["time"])
            for _ in range(self.steps):
                state -= xi["rate"][:, None] * tf.square(state) / self.steps
            return state

    decay_set(Steps(100), n=2)
    with pytest.warns(RouteWarning, match=r"Steps\.forward is \d{4} operations.*kerasjoint\.integrate"):
        decay_set(Steps(300), n=2)
