"""Simulators without a gradient are solved by finite differences, beside the same in TensorFlow and SciPy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import least_squares

import kerasjoint
from kerasjoint import ArgumentError, InverseProblem, ProblemSet, SimulatorWarning, Status, Unknown, wrap_numpy
from kerasjoint.methods import CMAES, AmortizedMultiStart, LockstepLBFGS, LockstepLM, MultiStart
from kerasjoint.uncertainty import uncertainty_at

pytestmark = pytest.mark.usefixtures("few_batch_sizes")

TIMES = np.linspace(0.1, 3, 30)
LOWER, UPPER = 0.5, 12.0


def wave(library, size, rate, offset):
    return size[:, None] * library.sin(rate[:, None] * TIMES) + offset[:, None]


class Waves(InverseProblem):
    """A sine with an offset: an unknown with two bounds, one with one, and one with none; a Gaussian prior on one."""

    unknowns = (
        Unknown("size", lower=0.0, scale=1.0),
        Unknown("rate", lower=LOWER, upper=UPPER, guess=2.0),
        Unknown("offset", scale=100.0),
    )

    def __init__(self, simulator=None) -> None:
        self.simulator = simulator

    def forward(self, xi, x):
        if self.simulator is None:
            return wave(tf, xi["size"], xi["rate"], xi["offset"])
        return self.simulator(xi["size"], xi["rate"], xi["offset"])

    def regularizer(self, xi, x):
        return tf.square((xi["offset"] - x["mean"]) / 3000.0)


class RobustWaves(Waves):
    robust_loss, robust_scale = "soft_l1", 0.1


class OwnMisfit(Waves):
    def misfit(self, prediction, y, x):
        return tf.reduce_sum(tf.math.log1p(tf.square(prediction - y)), axis=1)


def on_host(size, rate, offset):
    return wave(np, size, rate, offset)


def waves(problem: InverseProblem, n: int = 6) -> ProblemSet:
    generator = np.random.default_rng(n)
    truth = np.c_[generator.uniform(0.5, 2, n), generator.uniform(1, 10, n), generator.normal(0, 100, n)]
    y = on_host(*truth.T) + 0.01 * generator.standard_normal((n, len(TIMES)))
    return ProblemSet(problem, {"mean": generator.normal(0, 10, n)}, y, truth)


def nearby(problem_set: ProblemSet) -> np.ndarray:
    return problem_set.truth + np.random.default_rng(0).normal(size=problem_set.truth.shape) * [0.2, 0.1, 5.0]


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


def test_steps_stay_inside_of_bounds_and_calls_are_of_bounded_size() -> None:
    seen, sizes = [], []

    def watched(size, rate, offset):
        seen.append((size.min(), rate.min(), rate.max()))
        sizes.append(len(size))
        return on_host(size, rate, offset)

    problem_set = waves(Waves(wrap_numpy(watched)), n=600)
    xi = np.tile([1e-300, LOWER + 1e-12, 1e3], (600, 1))
    xi[300:, 1] = UPPER - 1e-12
    gradient = problem_set.value_and_gradient(xi)[1]
    least, lowest, highest = (
        extreme(part) for extreme, part in zip((min, min, max), zip(*seen, strict=True), strict=True)
    )
    assert (least > 0, lowest > LOWER, highest < UPPER) == (True, True, True)
    assert max(sizes) <= 1024
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(("digits", "step"), [(4, None), (16, 0.1)])
def test_steps_of_narrow_bounds_far_from_zero_stay_inside(digits, step) -> None:
    seen = []

    def watched(rate):
        seen.extend(rate)
        return np.round(np.exp(-(rate - 1000.0)[:, None] * TIMES), digits)

    class Narrow(InverseProblem):
        unknowns = (Unknown("rate", lower=1000.0, upper=1001.0),)
        difference_step = step

        def __init__(self):
            self.simulator = wrap_numpy(watched)

        def forward(self, xi, x):
            return self.simulator(xi["rate"])

    truth = np.array([[1000.2], [1000.9], [1000.01]])
    problem_set = ProblemSet(Narrow(), y=np.exp(-(truth - 1000) * TIMES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SimulatorWarning)
        LockstepLM().solve(problem_set)
    assert 1000 <= min(seen) < max(seen) <= 1001


class Root(InverseProblem):
    """Defined up to 2 alone, which no bound tells."""

    unknowns = (Unknown("end", lower=0.0, upper=10.0, guess=1.0),)

    def __init__(self) -> None:
        self.simulator = wrap_numpy(lambda end: np.emath.sqrt(2 - end[:, None]).real / (end[:, None] <= 2))

    def forward(self, xi, x):
        return self.simulator(xi["end"])


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_the_other_side_is_tried_where_a_simulation_is_not_finite() -> None:
    problem_set = ProblemSet(Root(), y=np.full((3, 1), 0.5))
    at = np.array([[2 - 1e-9], [1.0], [2.5]])
    loss, gradient = problem_set.value_and_gradient(at)
    np.testing.assert_array_equal(np.isfinite(loss), [True, True, False])
    assert gradient[0, 0] > 0
    assert gradient[1, 0] == pytest.approx(-(1 - 0.5), rel=1e-6)
    assert gradient[2, 0] == 0


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


def start_of(problem_set: ProblemSet) -> np.ndarray:
    return problem_set.space.to_z(nearby(problem_set), problem_set.guess)


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


def noisy(digits):
    return wrap_numpy(lambda *unknowns: np.round(on_host(*unknowns), digits))


@pytest.mark.parametrize("simulator", [noisy(4), wrap_numpy(lambda *unknowns: on_host(*unknowns).astype(np.float32))])
def test_noisy_simulators_get_longer_steps(simulator) -> None:
    problem_set = waves(Waves(simulator))
    with pytest.warns(SimulatorWarning, match=r"Waves.forward is noisy: .* set difference_step to choose"):
        found = LockstepLM().solve(problem_set, start=start_of(problem_set))
    expected = LockstepLM().solve(waves(Waves()), start=start_of(problem_set))
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-2)


def test_steps_are_those_of_what_does_not_fail() -> None:
    def failing(size, rate, offset):
        result = on_host(size, rate, offset).astype(np.float32)
        result[rate > 9] = np.nan
        return result

    problem_set, others = waves(Waves(wrap_numpy(failing))), [1, 2, 3, 4]
    start, expected = start_of(problem_set), LockstepLM().solve(waves(Waves()), start=start_of(waves(Waves()))).loss
    bad = start.copy()
    bad[[0, 5]] = problem_set.space.to_z(np.tile([[1.0, 9.5, 1.0]], (2, 1)), problem_set.guess[[0, 5]])
    with pytest.warns(SimulatorWarning, match=r"Waves.forward is noisy"):
        mixed = LockstepLM().solve(problem_set, start=bad)
    assert mixed.status[0] == Status.NON_FINITE
    np.testing.assert_allclose(mixed.loss[others], expected[others], rtol=1e-2)
    # What was learned serves the next set, as if that one had come first.
    np.testing.assert_allclose(LockstepLM().solve(problem_set, start=start).loss, expected, rtol=1e-2)


def test_noise_in_one_result_is_seen_beside_a_large_smooth_one() -> None:
    class Two(Waves):
        def forward(self, xi, x):
            return self.simulator(xi["size"], xi["rate"], xi["offset"])

        def residuals(self, prediction, y, x):
            return {"large": prediction["large"] - 1e6, "wave": prediction["wave"] - y}

    def both(size, rate, offset):
        return {"large": 1e6 * (1 + 1e-9 * size[:, None] ** 2), "wave": on_host(size, rate, offset).astype(np.float32)}

    problem_set = waves(Two(wrap_numpy(both, shape={"large": (1,), "wave": (len(TIMES),)})))
    with pytest.warns(SimulatorWarning, match="Two.forward is noisy"):
        found = LockstepLM().solve(problem_set, start=start_of(problem_set))
    expected = LockstepLM().solve(waves(Waves()), start=start_of(problem_set))
    np.testing.assert_allclose(found.xi[:, 1], expected.xi[:, 1], rtol=1e-3)


def test_a_chosen_step_is_taken() -> None:
    class Chosen(Waves):
        difference_step = 1e-3

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problem_set = waves(Chosen(noisy(4)))
        found = LockstepLM().solve(problem_set, start=start_of(problem_set))
    assert (found.loss < 10 * problem_set.truth_loss).all()


def test_a_simulator_that_the_unknowns_do_not_change_is_stationary() -> None:
    problem_set = waves(Waves(wrap_numpy(lambda size, rate, offset: np.ones((len(size), len(TIMES))))))
    gradient = problem_set.value_and_gradient(problem_set.guess)[1]
    np.testing.assert_array_equal(gradient[:, :2], 0)


@pytest.mark.parametrize("step", [0, 1.0, -1e-3, "small", np.nan, 1e-20])
def test_steps_that_are_none_are_refused(step) -> None:
    class Wrong(Waves):
        difference_step = step

    with pytest.raises(ArgumentError, match=r"Wrong.difference_step: expected a number from 1e-14 to 0.1, or None"):
        waves(Wrong(wrap_numpy(on_host)))


def test_refining_again_does_not_fail() -> None:
    problem_set = waves(Waves(wrap_numpy(on_host)))
    once = kerasjoint.refine(problem_set, LockstepLM().solve(problem_set, start=start_of(problem_set)))
    again = kerasjoint.refine(problem_set, once)
    assert set(again.status) <= {Status.CONVERGED, Status.PRECISION}
    np.testing.assert_allclose(again.loss, once.loss, rtol=1e-9)
    # Without L-BFGS, which would look for what is not there.
    assert (again.jacobians - once.jacobians).sum() == (again.evaluations - once.evaluations).sum()
