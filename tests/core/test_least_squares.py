"""Jacobians, normal equations and robust losses, against finite differences, SciPy and each other."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, Fragile, central_difference, decay_set, fragile_set
from scipy.optimize import least_squares

from kerasjoint import (
    ArgumentError,
    InverseProblem,
    ProblemSet,
    Unknown,
    integrate,
    refine,
    time_loop,
    wrap_jax,
)
from kerasjoint.errors import RouteWarning
from kerasjoint.evaluator import Route
from kerasjoint.methods import LockstepLBFGS

TIME = np.linspace(0.1, 1.0, 7)


class Mixed(InverseProblem):
    """A dict of weighted residuals of different shapes, and a prior."""

    unknowns = (Unknown("rate", lower=0.0, upper=5.0), Unknown("gain", shape=(2,), scale=1.0))

    def __init__(self, robust_loss: str = "linear") -> None:
        self.robust_loss, self.robust_scale = robust_loss, 0.5

    def forward(self, xi, x):
        trace = tf.exp(-xi["rate"][:, None, None] * TIME[:, None]) * xi["gain"][:, None, :]
        return {"trace": trace, "sum": tf.reduce_sum(xi["gain"], axis=1)}

    def residuals(self, prediction, y, x):
        trace = (prediction["trace"] - tf.reshape(y[:, :14], (-1, 7, 2))) / x["noise"][:, None, None]
        return {"trace": trace, "sum": 3.0 * (prediction["sum"] - y[:, 14])}

    def regularizer(self, xi, x):
        return tf.square((xi["rate"] - 1) / x["noise"]) + tf.reduce_sum(xi["gain"] ** 4, axis=1)


class Chain(InverseProblem):
    """A time loop with ``size`` unknowns and ``stored`` residuals."""

    def __init__(self, size: int, mode: str, stored: int = 12) -> None:
        self.unknowns = (Unknown("force", shape=(size,), scale=1.0),)
        self.mode, self.stored = mode, stored

    def forward(self, xi, x):
        def step(state, parameters):
            return state + 0.05 * tf.sin(tf.roll(state, 1, axis=1) + parameters["force"])

        start = lambda parameters: x["initial"] + parameters["force"] ** 2  # noqa: E731
        states = integrate(start, step, xi, steps=12, store_every=12 // self.stored, mode=self.mode)
        return tf.reduce_sum(states * tf.sin(states), axis=2)


def mixed_set(problem: Mixed) -> ProblemSet:
    y = np.random.default_rng(0).normal(size=(3, 15))
    return ProblemSet(problem, {"noise": [0.5, 1.0, 2.0]}, y)


def chain_set(problem: Chain) -> ProblemSet:
    initial = np.random.default_rng(1).normal(size=(3, problem.unknowns[0].size))
    return ProblemSet(problem, {"initial": initial}, np.zeros((3, problem.stored)))


def at(problem_set: ProblemSet) -> np.ndarray:
    return problem_set.guess + 0.3 * np.random.default_rng(2).normal(size=problem_set.guess.shape)


def weighted_jacobian(problem_set: ProblemSet, xi: np.ndarray) -> tuple[np.ndarray, ...]:
    return problem_set.evaluator.weighted_jacobian(xi, problem_set.data, np.arange(len(problem_set)))


@pytest.mark.parametrize("robust_loss", ["linear", "huber", "soft_l1"])
def test_normal_equations_of_a_dict_of_weighted_residuals_with_a_prior(robust_loss: str) -> None:
    problem_set = mixed_set(Mixed(robust_loss))
    xi = at(problem_set)
    loss, gradient, hessian = problem_set.normal_equations(xi)
    np.testing.assert_allclose(loss, problem_set.objective(xi), rtol=1e-14)
    np.testing.assert_allclose(gradient, central_difference(problem_set.objective, xi, 1e-5), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, problem_set.value_and_gradient(xi)[1], rtol=1e-12)
    misfit, jacobian, prior, residuals = weighted_jacobian(problem_set, xi)
    expected = np.zeros((3, 3, 3))
    expected[:, 0, 0] = 2 / np.square([0.5, 1.0, 2.0])
    expected[:, [1, 2], [1, 2]] = 12 * xi[:, 1:] ** 2
    np.testing.assert_allclose(prior, expected, rtol=1e-12)
    plain = weighted_jacobian(mixed_set(Mixed("linear")), xi)[1]
    curvature = np.square(jacobian).sum(axis=2) / np.square(plain).sum(axis=2)
    size = np.abs(residuals) / problem_set.problem.robust_scale
    slope = {"linear": np.ones_like(size), "huber": 1 / np.maximum(size, 1), "soft_l1": (1 + size**2) ** -0.5}
    # A step is not to rely on less than a tenth of the slope.
    weight = np.maximum(curvature, 0.1 * slope[robust_loss])
    expected = 2 * plain.swapaxes(1, 2) @ (weight[:, :, None] * plain) + prior
    np.testing.assert_allclose(hessian, expected, rtol=1e-10, atol=1e-10)
    penalty = np.square((xi[:, 0] - 1) / [0.5, 1.0, 2.0]) + (xi[:, 1:] ** 4).sum(axis=1)
    np.testing.assert_allclose(misfit, loss - penalty, rtol=1e-12)


def test_jacobian_against_finite_differences() -> None:
    problem_set = mixed_set(Mixed())
    xi = at(problem_set)

    def residuals(flat: np.ndarray) -> np.ndarray:
        prediction = problem_set.problem.simulate(flat)
        trace = (prediction["trace"] - problem_set.y[:, :14].reshape(-1, 7, 2)) / problem_set.x["noise"][:, None, None]
        parts = {"trace": trace.reshape(3, -1), "sum": 3.0 * (prediction["sum"] - problem_set.y[:, 14])[:, None]}
        return np.concatenate([parts[name] for name in sorted(parts)], axis=1)

    moves = 1e-6 * np.eye(3)
    expected = np.stack([(residuals(xi + move) - residuals(xi - move)) / 2e-6 for move in moves], axis=2)
    np.testing.assert_allclose(weighted_jacobian(problem_set, xi)[1], expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(("size", "stored"), [(3, 12), (11, 12), (5, 3)], ids=["tangents", "looped", "by gradients"])
def test_forward_and_reverse_mode_have_the_same_jacobian(size: int, stored: int) -> None:
    forward, reverse = (chain_set(Chain(size, mode, stored)) for mode in ("forward", "reverse"))
    xi = at(forward)
    jacobians = [weighted_jacobian(problem_set, xi)[1] for problem_set in (forward, reverse)]
    # A loop that is differentiated backwards is simulated with every unknown moved instead.
    np.testing.assert_allclose(*jacobians, rtol=1e-5, atol=1e-6)
    moves = 1e-5 * np.eye(size)
    simulate = lambda flat: forward.problem.simulate(flat, forward.x)  # noqa: E731
    expected = np.stack([(simulate(xi + move) - simulate(xi - move)) / 2e-5 for move in moves], axis=2)
    np.testing.assert_allclose(jacobians[0], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("stored", [12, 3])
@pytest.mark.parametrize("instances_last", [False, True])
def test_many_tangents_travel_along_at_once(stored: int, instances_last: bool) -> None:
    """Also of a complex state, and with the instances last."""

    class Spinning(Chain):
        def forward(self, xi, x):
            turn = tf.transpose if instances_last else tf.identity

            def step(state, parameters):
                force = turn(tf.complex(parameters["force"], 0 * parameters["force"]))
                axis = 0 if instances_last else 1
                return state * (1 + 0.1j * force) + 0.05 * tf.roll(state, 1, axis) * tf.math.conj(state)

            begin = turn(tf.complex(x["initial"], 0.5 * x["initial"]))
            states = integrate(
                lambda _: begin,
                step,
                xi,
                steps=12,
                store_every=12 // self.stored,
                mode=self.mode,
                instances_last=instances_last,
            )
            states = tf.transpose(states, (2, 0, 1)) if instances_last else states
            return tf.reshape(tf.concat([tf.math.real(states), tf.math.abs(states)], axis=2), (states.shape[0], -1))

    initial = np.random.default_rng(1).normal(size=(3, 11))
    problem_set = ProblemSet(Spinning(11, "auto", stored), {"initial": initial}, np.zeros((3, 22 * stored)))
    xi = at(problem_set)
    found = weighted_jacobian(problem_set, xi)[1]
    assert "weighted_jacobian" not in problem_set.evaluator._uncompiled
    moves = 1e-5 * np.eye(11)
    simulate = lambda flat: problem_set.problem.simulate(flat, problem_set.x)  # noqa: E731
    expected = np.stack([(simulate(xi + move) - simulate(xi - move)) / 2e-5 for move in moves], axis=2)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_tangents_that_are_too_large_stay_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """By differences the same Jacobian; in forward mode the unknowns' tangents are pushed through the step."""
    pushed, original = [], time_loop._jvp
    monkeypatch.setattr(time_loop, "_jvp", lambda *args: pushed.append(1) or original(*args))
    # Eleven tangents of a state of eleven numbers.
    jacobians, counts = [], []
    for most in (11 * 11, 11 * 11 - 1):
        monkeypatch.setattr(time_loop, "TANGENT_NUMBERS", most)
        problem_set = chain_set(Chain(11, "auto", 12))
        problem_set.evaluator._functions.clear()
        jacobians.append(weighted_jacobian(problem_set, at(problem_set))[1])
        counts.append(len(pushed))
    assert 0 < counts[0] == counts[1]
    np.testing.assert_allclose(*jacobians, rtol=1e-5, atol=1e-6)


class OwnLoop(Chain):
    """The last states of a loop that is no ``integrate``."""

    def forward(self, xi, x):
        def body(k, state):
            return k + 1, state + 0.05 * tf.sin(tf.roll(state, 1, axis=1) + xi["force"])

        return tf.while_loop(lambda k, _: k < 12, body, (0, x["initial"]), maximum_iterations=12)[1]


@pytest.mark.parametrize("chunk", [None, 2])
def test_a_loop_of_ones_own_is_simulated_for_each_unknown(chunk: int | None) -> None:
    """Its gradient is exact all the same."""
    problem = OwnLoop(11, "auto", 11)
    problem.chunk = chunk
    problem_set = chain_set(problem)
    xi = at(problem_set)
    loss, gradient, hessian = problem_set.normal_equations(xi)
    assert problem_set.evaluator.jacobian_precision == pytest.approx(1.5e-8, rel=0.01)
    expected = problem_set.value_and_gradient(xi)
    np.testing.assert_allclose(loss, expected[0], rtol=1e-12)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-10, atol=1e-12)
    moves = 1e-5 * np.eye(11)
    simulate = lambda flat: problem_set.problem.simulate(flat, problem_set.x)  # noqa: E731
    jacobian = np.stack([(simulate(xi + move) - simulate(xi - move)) / 2e-5 for move in moves], axis=2)
    np.testing.assert_allclose(hessian, 2 * jacobian.swapaxes(1, 2) @ jacobian, rtol=1e-5, atol=1e-6)


class StepInJax(Chain):
    """TensorFlow cannot differentiate its loop twice."""

    def forward(self, xi, x):
        import jax.numpy as jnp

        move = wrap_jax(lambda state, force: state + 0.05 * jnp.sin(jnp.roll(state, 1, axis=1) + force))
        return integrate(lambda _: x["initial"], lambda state, it: move(state, it["force"]), xi, steps=12)


@pytest.mark.parametrize("size", [3, 11])
def test_a_step_in_jax_has_a_jacobian(size: int) -> None:
    problem_set, expected = (chain_set(kind(size, "auto", size)) for kind in (StepInJax, OwnLoop))
    xi = at(problem_set)
    for one, other in zip(problem_set.normal_equations(xi), expected.normal_equations(xi), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    start = LockstepLBFGS(max_iterations=2).solve(problem_set)
    assert (refine(problem_set, start).loss < start.loss).all()


class InJax(Decay):
    def forward(self, xi, x):
        import jax.numpy as jnp

        return wrap_jax(lambda rate, time: jnp.exp(-rate[:, None] * time))(xi["rate"], x["time"])


@tf.custom_gradient
def refused_twice(values):
    """The identity, whose second derivative writes numbers down, which XLA cannot."""

    @tf.custom_gradient
    def first(up):
        return up, lambda again: again + 0 * tf.strings.to_number(tf.strings.as_string(values), again.dtype)

    return values, first


def test_jacobians_that_xla_refuses_leave_it_alone_after_one_warning() -> None:
    class Spelt(Decay):
        def forward(self, xi, x):
            return super().forward({"rate": refused_twice(xi["rate"])}, x)

    problem_set = decay_set(Spelt(), n=2)
    with pytest.warns(RouteWarning, match=r"the Jacobian of Spelt\.forward .*: .*AsString"):
        loss, gradient, _ = problem_set.normal_equations(problem_set.guess)
    problem_set.normal_equations(problem_set.guess)
    expected = problem_set.value_and_gradient(problem_set.guess)
    np.testing.assert_allclose(loss, expected[0], rtol=1e-12)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-8)
    assert problem_set.evaluator.route is Route.XLA


def test_jax() -> None:
    one, other = decay_set(Decay(), n=4), decay_set(InJax(), n=4)
    for expected, found in zip(one.normal_equations(one.guess), other.normal_equations(one.guess), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_chunks_and_subsets_change_nothing() -> None:
    class Chunked(Decay):
        chunk = 4

    whole, cut = decay_set(Decay(), n=11), decay_set(Chunked(), n=11)
    rows = np.array([10, 3, 3])
    for expected, found in zip(whole.normal_equations(whole.guess), cut.normal_equations(whole.guess), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)
    for expected, found in zip(
        whole.normal_equations(whole.guess), cut.normal_equations(whole.guess[rows], rows), strict=True
    ):
        np.testing.assert_allclose(found, expected[rows], rtol=1e-13)


def test_one_bad_instance_is_masked() -> None:
    problem_set = fragile_set(Fragile(), [0, 1, 0])
    loss, gradient, hessian = problem_set.normal_equations(problem_set.guess)
    assert (loss[1], gradient[1, 0], hessian[1, 0, 0]) == (np.inf, 0, 0)
    np.testing.assert_allclose(hessian[[0, 2], 0, 0], 2 * np.exp([-2.0, 2.0]), rtol=1e-12)


@pytest.mark.parametrize("robust_loss", ["huber", "soft_l1"])
def test_robust_losses_are_those_of_scipy(robust_loss: str) -> None:
    class Robust(Decay):
        pass

    Robust.robust_loss, Robust.robust_scale = robust_loss, 0.1
    clean = decay_set(Decay(), n=3)
    noisy = clean.y + 0.3 * np.random.default_rng(0).standard_t(1.5, clean.y.shape)
    problem_set = ProblemSet(Robust(), clean.x, noisy)
    loss = problem_set.objective(problem_set.guess)
    for i in range(3):
        fitted = least_squares(
            lambda rate, i=i: np.exp(-rate * clean.x["time"][i]) - noisy[i], [1.0], loss=robust_loss, f_scale=0.1
        )
        at_fit = problem_set.objective(fitted.x[None], np.array([i]))
        assert at_fit[0] == pytest.approx(2 * fitted.cost, rel=1e-12)
        assert at_fit[0] < loss[i]


class Distance(Decay):
    def misfit(self, prediction, y, x):
        return tf.norm(prediction - y, axis=1)


class Misspelt(Decay):
    robust_loss = "huberr"


class NoScale(Decay):
    robust_scale = 0.0


def test_what_has_no_jacobian_is_refused_by_name() -> None:
    problem_set, message = (
        decay_set(Distance(), n=2),
        r"Distance\.misfit: expected the default, a sum over the residuals",
    )
    assert not problem_set.evaluator.has_jacobian
    with pytest.raises(ArgumentError, match=message):
        problem_set.normal_equations(problem_set.guess)
    with pytest.raises(ArgumentError, match=message):
        weighted_jacobian(problem_set, problem_set.guess)
    for problem, message in [
        (Misspelt(), r"Misspelt\.robust_loss: expected one of linear, huber, soft_l1, got 'huberr'"),
        (NoScale(), r"NoScale\.robust_scale: expected a positive number, got 0\.0"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            decay_set(problem, n=2)
