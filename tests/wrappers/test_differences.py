"""Simulators without a gradient are solved by finite differences, beside the same in TensorFlow and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import least_squares
from wrappers.waves import TIMES, OwnMisfit, RobustWaves, Waves, nearby, on_host, start_of, waves

import kerasjoint
from kerasjoint import ArgumentError, InverseProblem, ProblemSet, SimulatorWarning, Status, Unknown, wrap_numpy
from kerasjoint.methods import CMAES, AmortizedMultiStart, LockstepLBFGS, LockstepLM, MultiStart
from kerasjoint.uncertainty import uncertainty_at

pytestmark = pytest.mark.usefixtures("few_batch_sizes")


@pytest.mark.parametrize("kind", [Waves, RobustWaves, OwnMisfit])
def test_gradients_are_those_of_tensorflow(kind) -> None:
    found, expected = waves(kind(wrap_numpy(on_host))), waves(kind())
    assert found.evaluator.by_differences
    assert not expected.evaluator.by_differences
    xi = nearby(found)
    (loss, gradient), (true_loss, true_gradient) = (one.value_and_gradient(xi) for one in (found, expected))
    np.testing.assert_allclose(loss, true_loss, rtol=1e-12)
    np.testing.assert_allclose(gradient, true_gradient, rtol=1e-5, atol=1e-6 * np.abs(true_gradient).max())


@pytest.mark.parametrize("kind", [Waves, RobustWaves])
def test_normal_equations_are_those_of_tensorflow_with_and_without_an_adjoint(kind) -> None:
    expected = waves(kind())
    xi = nearby(expected)
    truth = expected.normal_equations(xi)
    for simulator in (wrap_numpy(on_host), wrap_numpy(on_host, lambda *_: (None, None, None))):
        for one, other in zip(waves(kind(simulator)).normal_equations(xi), truth, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6 * np.abs(other).max())


def test_they_are_counted_as_simulations() -> None:
    called = []

    def counted(*unknowns):
        called.append(len(unknowns[0]))
        return on_host(*unknowns)

    class Stepped(Waves):
        difference_step = 1e-7

    problem_set = waves(Stepped(wrap_numpy(counted)))
    # Whether instances are solved takes simulations of the truth.
    unknown = ProblemSet(problem_set.problem, problem_set.x, problem_set.y)
    amortized = AmortizedMultiStart(evaluations=120, steps=5)
    for method in (LockstepLBFGS(), LockstepLM(), MultiStart(50), amortized, CMAES(60, polish=0)):
        called.clear()
        solution = method.solve(unknown)
        assert sum(called) == solution.simulations.sum(), method.name


def test_the_whole_objective_is_differenced_where_one_part_has_no_gradient() -> None:
    class Partly(Waves):
        def forward(self, xi, x):
            part = self.simulator(xi["size"], xi["rate"], 0 * xi["offset"])
            return part + xi["offset"][:, None]

    found, expected = waves(Partly(wrap_numpy(on_host))), waves(Waves())
    xi = nearby(found)
    np.testing.assert_allclose(found.value_and_gradient(xi)[1], expected.value_and_gradient(xi)[1], rtol=1e-4)


def test_a_regularizer_without_a_gradient_is_refused() -> None:
    class Penalised(Waves):
        def regularizer(self, xi, x):
            return penalty(xi["offset"])

    penalty = wrap_numpy(lambda offset: offset**2, shape=())
    with pytest.raises(ArgumentError, match=r"Penalised.regularizer: expected TensorFlow, or Python with a gradient"):
        waves(Penalised(wrap_numpy(on_host)))


def test_what_the_unknowns_do_not_change_is_not_differenced() -> None:
    class Constant(Waves):
        def forward(self, xi, x):
            return super().forward(xi, x) + 0 * on_mean(x["mean"])[:, None]

    on_mean = wrap_numpy(lambda mean: mean**2)
    found, expected = waves(Constant()), waves(Waves())
    assert not found.evaluator.by_differences
    xi = nearby(found)
    np.testing.assert_allclose(found.value_and_gradient(xi)[1], expected.value_and_gradient(xi)[1], rtol=1e-10)


@pytest.mark.filterwarnings("ignore:.*calls Python:kerasjoint.RouteWarning")
@pytest.mark.parametrize("kind", ["inside", "before", "beside a wrapper"])
def test_a_gradient_of_ones_own_counts_where_it_is(kind) -> None:
    @tf.custom_gradient
    def own(rate):
        sine = tf.ensure_shape(tf.numpy_function(lambda r: np.sin(r[:, None] * TIMES), [rate], rate.dtype), (None, 30))
        return sine, lambda up: tf.reduce_sum(up * TIMES * tf.cos(rate[:, None] * TIMES), axis=1)

    @tf.custom_gradient
    def same(values):
        return values, lambda up: up

    wrapped = wrap_numpy(lambda offset: 1 * offset, lambda offset, cotangent: cotangent)

    class Mixed(Waves):
        def forward(self, xi, x):
            if kind == "inside":
                return xi["size"][:, None] * own(xi["rate"]) + xi["offset"][:, None]
            found = tf.numpy_function(on_host, [xi["size"], xi["rate"], 0 * xi["offset"]], xi["size"].dtype)
            found = tf.ensure_shape(found, (None, len(TIMES)))
            offset = wrapped(xi["offset"])[:, None] if kind == "beside a wrapper" else xi["offset"][:, None]
            return same(found) + offset

    found, expected = waves(Mixed()), waves(Waves())
    assert found.evaluator.by_differences is (kind != "inside")
    xi = nearby(found)
    np.testing.assert_allclose(found.value_and_gradient(xi)[1], expected.value_and_gradient(xi)[1], rtol=1e-4)


@pytest.mark.filterwarnings("ignore:.*calls Python:kerasjoint.RouteWarning")
def test_plain_python_in_a_simulator_is_differenced() -> None:
    class Plain(Waves):
        def forward(self, xi, x):
            found = tf.numpy_function(on_host, [xi["size"], xi["rate"], xi["offset"]], xi["size"].dtype)
            return tf.ensure_shape(found, (None, len(TIMES)))

    found, expected = waves(Plain()), waves(Waves())
    xi = nearby(found)
    np.testing.assert_allclose(found.value_and_gradient(xi)[1], expected.value_and_gradient(xi)[1], rtol=1e-4)


def test_a_bad_instance_changes_no_other() -> None:
    def failing(size, rate, offset):
        if (rate > 9).any():
            raise ArithmeticError("too fast")
        return on_host(size, rate, offset)

    good = waves(Waves(wrap_numpy(on_host)))
    guess = np.tile(good.space.guess, (6, 1))
    guess[4, 1] = 9.5
    mixed = ProblemSet(Waves(wrap_numpy(failing)), good.x, good.y, guess=guess)
    with pytest.warns(SimulatorWarning, match="too fast"):
        found = LockstepLM().solve(mixed)
    others = [0, 1, 2, 3, 5]
    np.testing.assert_array_equal(found.xi[others], LockstepLM().solve(good).xi[others])
    assert found.status[4] == Status.NON_FINITE


def test_levenberg_marquardt_goes_where_scipy_goes() -> None:
    problem_set = waves(Waves(wrap_numpy(on_host)))
    found = kerasjoint.refine(
        problem_set, LockstepLBFGS(max_iterations=1).solve(problem_set, start=start_of(problem_set))
    )
    for i in range(len(problem_set)):
        mean, y = problem_set.x["mean"][i], problem_set.y[i]

        def residuals(xi, mean=mean, y=y):
            return np.append(on_host(*xi[:, None])[0] - y, (xi[2] - mean) / 3000)

        expected = least_squares(residuals, problem_set.truth[i], x_scale=[1, 1, 100], xtol=1e-15, ftol=1e-15)
        assert found.loss[i] == pytest.approx(2 * expected.cost, rel=1e-9)
        np.testing.assert_allclose(found.xi[i], expected.x, rtol=1e-5)


def test_standard_errors_are_those_of_tensorflow() -> None:
    found, expected = (
        LockstepLM().solve(one, start=start_of(one)).uncertainty().standard_errors
        for one in (waves(Waves(wrap_numpy(on_host))), waves(Waves()))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_standard_errors_are_those_of_tensorflow_also_at_a_bound() -> None:
    class Bounded(InverseProblem):
        unknowns = (Unknown("gain", lower=0.0, scale=1.0), Unknown("drift", lower=0.0, scale=1.0))

        def __init__(self, simulator) -> None:
            self.simulator = simulator

        def forward(self, xi, x):
            return self.simulator(xi["gain"], xi["drift"])

    def line(gain, drift):
        return gain[:, None] + drift[:, None] * TIMES

    y = 2 - 0.3 * TIMES[None] + 0.01 * np.random.default_rng(0).normal(size=(3, len(TIMES)))
    at_bound = np.array([[1.6, 1e-300], [1.6, 1e-20], [1.6, 1e-11]])
    found, expected = (
        uncertainty_at(ProblemSet(Bounded(simulator), y=y), at_bound, absolute_sigma=False).covariance
        for simulator in (wrap_numpy(line), line)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_the_data_do_not_determine_is_named() -> None:
    class Product(InverseProblem):
        unknowns = (Unknown("gain", lower=0.0, upper=5.0, guess=2.0), Unknown("area", lower=0.0, upper=5.0, guess=1.0))

        def forward(self, xi, x):
            return simulator(xi["gain"], xi["area"])

    simulator = wrap_numpy(lambda gain, area: (gain * area)[:, None] * np.sin(TIMES))
    problem_set = ProblemSet(Product(), y=np.sin(TIMES)[None] * [[2.0], [3.0]])
    found = LockstepLM().solve(problem_set).uncertainty()
    assert [len(directions) for directions in found.undetermined] == [1, 1]
    assert found.message(0).startswith("the data do not determine gain - ")
    assert np.isinf(found.standard_errors).all()


def test_a_problem_that_wraps_in_its_constructor_equals_another_such() -> None:
    one, other = (waves(Waves(wrap_numpy(on_host, shape=(len(TIMES),)))) for _ in range(2))
    assert one.fingerprint == other.fingerprint


def test_solve_solves_them_and_tensorflow_does_not_warn(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="tensorflow"):
        problem_set = waves(Waves(wrap_numpy(on_host)))
        found = AmortizedMultiStart(evaluations=600, steps=50, rounds=2).solve(problem_set, seed=0)
    assert not caplog.records
    assert found.solved.all()
    # A value is one of the four simulations that a gradient takes.
    assert found.cost().sum() == pytest.approx(found.simulations.sum() / 4)


def test_a_simulator_that_the_unknowns_do_not_change_is_stationary() -> None:
    problem_set = waves(Waves(wrap_numpy(lambda size, rate, offset: np.ones((len(size), len(TIMES))))))
    gradient = problem_set.value_and_gradient(problem_set.guess)[1]
    np.testing.assert_array_equal(gradient[:, :2], 0)


def test_refining_again_does_not_fail() -> None:
    problem_set = waves(Waves(wrap_numpy(on_host)))
    once = kerasjoint.refine(problem_set, LockstepLM().solve(problem_set, start=start_of(problem_set)))
    again = kerasjoint.refine(problem_set, once)
    assert set(again.status) <= {Status.CONVERGED, Status.PRECISION}
    np.testing.assert_allclose(again.loss, once.loss, rtol=1e-9)
    # Without L-BFGS, which would look for what is not there.
    assert (again.jacobians - once.jacobians).sum() == (again.evaluations - once.evaluations).sum()
