from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, decay_set
from scipy.optimize import least_squares

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, Solution, Status, Unknown, refine, solve
from kerasjoint.best import best_of
from kerasjoint.methods import LBFGS, LockstepHybrid, LockstepLBFGS, LockstepLM, Reparameterized, ScipyLBFGS, Supervised
from kerasjoint.problems import Billiards


@pytest.fixture(scope="module")
def rough(decay: ProblemSet) -> Solution:
    return LBFGS(max_iterations=2).solve(decay)


@pytest.mark.parametrize("method", [None, LBFGS(), ScipyLBFGS()], ids=["default", "lbfgs", "scipy"])
def test_it_polishes_and_adds_the_cost(decay: ProblemSet, rough: Solution, method: object) -> None:
    refined = refine(decay, rough, method)
    alone = (method or LockstepLM()).solve(decay, start=rough.z)
    assert (refined.loss <= rough.loss).all()
    np.testing.assert_allclose(refined.xi, decay.truth, rtol=1e-9)
    np.testing.assert_array_equal(refined.xi, alone.xi)
    for name in ("evaluations", "iterations", "non_finite"):
        np.testing.assert_array_equal(getattr(refined, name), getattr(rough, name) + getattr(alone, name))
    assert refined.seconds > rough.seconds
    assert refined.method == "lbfgs + refine"
    assert refined.solver == f"LBFGS, {type(method or LockstepLM()).__name__}"
    assert refined.history["evaluations"].iloc[-1] == refined.evaluations.mean()
    assert refined.history["mean"].iloc[0] == pytest.approx(rough.loss.mean(), rel=1e-12)


def test_it_is_never_worse_whatever_the_step(problem_sets: dict[str, ProblemSet]) -> None:
    for problem_set in problem_sets.values():
        solution = LBFGS(max_iterations=1).solve(problem_set)
        for first_step in (1e-6, 30.0):
            refined = refine(problem_set, solution, ScipyLBFGS(max_iterations=2, first_step=first_step))
            assert (refined.loss <= solution.loss).all()
        again = refine(problem_set, refine(problem_set, solution))
        assert (again.loss <= solution.loss).all()
        assert again.method == "lbfgs + refine + refine"


@pytest.mark.parametrize("method", [None, "lockstep-lbfgs", "lockstep-lm", "lbfgs", "scipy-lbfgs"])
def test_what_ended_in_a_minimum_stays_so_to_the_last_bit(method: str | None) -> None:
    decay = decay_set(Decay(), 20)
    noisy = decay.y + 0.05 * np.random.default_rng(0).standard_normal(decay.y.shape)
    problem_set = ProblemSet(decay.problem, decay.x, noisy)
    solution = LockstepLBFGS().solve(problem_set)
    assert np.isin(solution.status, (Status.CONVERGED, Status.PRECISION)).all()
    refined = refine(problem_set, solution, method)
    assert (refined.loss <= solution.loss).all()
    assert np.isin(refined.status, (Status.CONVERGED, Status.PRECISION)).all()


class Distance(InverseProblem):
    unknowns = (Unknown("place", shape=(2,), scale=1.0),)

    def forward(self, xi, x):
        return xi["place"]

    def misfit(self, prediction, y, x):
        return tf.norm(prediction - y, axis=1)


def test_a_start_without_a_gradient_is_a_point_all_the_same() -> None:
    """The gradient of a norm is not finite where it is zero: at the solution."""
    problem_set = ProblemSet(Distance(), {}, np.zeros((3, 2)))
    assert np.isinf(problem_set.value_and_gradient(problem_set.guess)[0]).all()
    for method in (LBFGS(), ScipyLBFGS(), LockstepLBFGS()):
        solution = method.solve(problem_set)
        assert solution.loss.tolist() == [0.0, 0.0, 0.0]
        assert refine(problem_set, solution, method).loss.tolist() == [0.0, 0.0, 0.0]
        assert set(solution.status) == {Status.NON_FINITE}
        assert "gradient" in Status.NON_FINITE.message


class Valley(InverseProblem):
    """A linear problem with twelve unknowns and a condition number of a million."""

    unknowns = (Unknown("u", shape=(12,), scale=1.0),)
    axes = np.linalg.qr(np.random.default_rng(0).standard_normal((12, 12)))[0]

    def forward(self, xi, x):
        return xi["u"] @ tf.constant(self.axes * np.logspace(0, -6, 12), xi["u"].dtype)


def test_many_unknowns_in_a_long_valley_are_finished_by_least_squares() -> None:
    truth = np.random.default_rng(1).standard_normal((3, 12))
    problem_set = ProblemSet(Valley(), {}, Valley().simulate(truth, {}))
    solution = LockstepLBFGS(max_iterations=1).solve(problem_set)
    short = refine(problem_set, solution, LockstepLBFGS(first_step=0.01, max_iterations=1000))
    assert np.abs(short.xi - truth).max() > 0.5
    refined, alone = refine(problem_set, solution), LockstepHybrid(first_step=0.01).solve(problem_set, start=solution.z)
    np.testing.assert_allclose(refined.xi, truth, atol=0.02)
    assert refined.solver.endswith("LockstepHybrid")
    # A Jacobian of twelve unknowns counts as three evaluations.
    assert (alone.jacobians > 0).all()
    np.testing.assert_array_equal(refined.jacobians, alone.jacobians)
    np.testing.assert_array_equal(refined.evaluations, solution.evaluations + alone.evaluations + 2 * alone.jacobians)

    np.testing.assert_allclose(refined.history["evaluations"].iloc[-1], refined.evaluations.mean())


class Corner(InverseProblem):
    """A line whose regularizer has no second derivative at zero."""

    unknowns = (Unknown("a", scale=1.0), Unknown("b", scale=1.0))

    def forward(self, xi, x):
        return xi["a"][:, None] + xi["b"][:, None] * x["t"]

    def regularizer(self, xi, x):
        return tf.reduce_sum(tf.abs(tf.stack([xi["a"], xi["b"]], axis=1)) ** 1.5, axis=1)


def test_where_only_the_jacobian_is_not_finite_lbfgs_refines() -> None:
    t = np.tile(np.linspace(0, 1, 20), (3, 1))
    problem_set = ProblemSet(Corner(), {"t": t}, 2 + t, guess=np.array([[0.0, 0], [0.1, 0.1], [0.2, 0.2]]))
    solution = LockstepLBFGS().solve(problem_set)
    start = replace(solution, z=np.zeros((3, 2)), xi=problem_set.guess, loss=problem_set.objective(problem_set.guess))
    refined = refine(problem_set, start)
    np.testing.assert_allclose(refined.xi, solution.xi, rtol=1e-5)
    assert (np.diff(refined.history["evaluations"]) > 0).all()
    np.testing.assert_allclose(refined.history["mean"].iloc[-1], refined.loss.mean())
    np.testing.assert_allclose(refined.history["evaluations"].iloc[-1], refined.evaluations.mean())


def test_nonsense_is_refused(decay: ProblemSet, rough: Solution) -> None:
    other_guess = ProblemSet(decay.problem, decay.x, decay.y, guess=decay.guess + 1)
    cases = [
        ((decay, rough.xi), "solution: expected a Solution, got ndarray"),
        ((decay[:3], rough), "solution: expected 3 instances"),
        ((decay_set(Decay(), n=4, seed=1), rough), "solution: expected a solution of this problem set"),
        ((other_guess, rough), "solution: expected a solution of this problem set, with its guess"),
        ((decay.y, rough), "problem_set: expected a ProblemSet"),
        ((decay, rough, Reparameterized()), "method: expected a local method"),
        ((decay, rough, LBFGS), "method: expected a local method"),
    ]
    for arguments, message in cases:
        with pytest.raises(ArgumentError, match=message):
            refine(*arguments)
    twin = decay_set(Decay(), n=4)
    assert refine(twin, rough).problem_set is twin


def test_equal_data_under_other_constants_is_another_problem_set() -> None:
    """Of billiards, no array tells the friction."""
    rolling, braked = Billiards().sample(8, seed=0), Billiards(friction=0.11).sample(8, seed=0)
    np.testing.assert_array_equal(rolling.y, braked.y)
    solution = LBFGS(max_iterations=5).solve(rolling)
    assert solution.is_of(Billiards().sample(8, seed=0))
    assert not solution.is_of(braked)
    with pytest.raises(ArgumentError, match="constants"):
        refine(braked, solution)


def test_solve_gives_the_better_of_the_two_for_each_instance(billiards: ProblemSet) -> None:
    method, local = Reparameterized(epochs=20), ScipyLBFGS()
    solution = solve(billiards, method, seed=3, local_method=local)
    refined, plain = refine(billiards, method.solve(billiards, seed=3), local), local.solve(billiards)
    expected = best_of([refined, plain])
    np.testing.assert_array_equal(solution.loss, expected.loss)
    np.testing.assert_array_equal(solution.evaluations, refined.evaluations + plain.evaluations)
    assert solution.method == "reparameterized + refine"


def test_solve_takes_names_and_leaves_local_methods_alone(decay: ProblemSet) -> None:
    np.testing.assert_array_equal(solve(decay, "lbfgs").xi, LBFGS().solve(decay).xi)
    assert solve(decay, ScipyLBFGS()).method == "scipy-lbfgs"


def test_the_users_problem_of_the_design_end_to_end() -> None:
    time = np.tile(np.linspace(0, 2, 50), (6, 1))
    rates = np.linspace(0.2, 4.5, 6)
    problem_set = ProblemSet(Decay(), x={"time": time}, y=np.exp(-rates[:, None] * time))
    frame = solve(problem_set).to_frame()
    np.testing.assert_allclose(frame["rate"], rates, rtol=1e-8)
    assert frame["confirmed"].all()


@pytest.mark.parametrize(
    "method", ["supervised", Supervised(epochs=2), "neural-adjoint"], ids=["name", "method", "neural-adjoint"]
)
def test_a_problem_that_cannot_be_sampled_is_no_use_to_methods_that_learn(decay: ProblemSet, method: object) -> None:
    with pytest.raises(ArgumentError, match=r"Decay\.sample_training: expected sample_training\(n, seed\)"):
        solve(decay, method)


def test_solve_refuses_nonsense(decay: ProblemSet) -> None:
    cases = [
        ({"problem_set": decay.y}, "problem_set: expected a ProblemSet"),
        ({"method": "lbfg"}, "did you mean 'lbfgs'"),
        ({"method": LBFGS}, "method: expected a method"),
        ({"method": 3}, "method: expected a method"),
        ({"verbose": 2}, "verbose: expected 'auto', 0 or 1, got 2"),
        ({"local_method": Reparameterized()}, "local_method: expected a local method"),
        ({"method": "lbfgs", "local_method": ScipyLBFGS()}, "local_method: expected none, since lbfgs is not refined"),
        ({"seed": -1}, "seed: expected a whole number not below 0, of at most 64 bits, got -1"),
    ]
    for arguments, message in cases:
        with pytest.raises(ArgumentError, match=message):
            solve(**{"problem_set": decay} | arguments)


class Bounded(InverseProblem):
    """Two unknowns of which bounds may keep the best values out."""

    unknowns = (Unknown("rate", lower=1.0, upper=3.0), Unknown("size", lower=0.5, guess=1.0, scale=1.0))

    def forward(self, xi, x):
        return xi["size"][:, None] * tf.exp(-xi["rate"][:, None] * x["time"])


@pytest.mark.parametrize("method", ["lockstep-lbfgs", "lockstep-lm", "scipy-lbfgs", "amortized-multi-start"])
def test_unknowns_that_end_at_a_bound_are_named(method: str) -> None:
    """Beside SciPy, which reaches bounds exactly and says so in its active mask."""
    time = np.linspace(0, 2, 20)
    wanted = np.array([[0.5, 1.0], [0.99, 0.3], [1.001, 1.0], [2.0, 0.2], [2.999, 2.0], [4.0, 0.49]])
    y = wanted[:, 1:] * np.exp(-wanted[:, :1] * time)
    solution = solve(ProblemSet(Bounded(), {"time": np.tile(time, (6, 1))}, y), method)
    options = {"bounds": ([1, 0.5], [3, np.inf]), "method": "dogbox", "xtol": 1e-12, "ftol": 1e-12, "gtol": 1e-12}
    found = [
        least_squares(lambda p, data: p[1] * np.exp(-p[0] * time) - data, [2, 1], args=(data,), **options) for data in y
    ]
    np.testing.assert_array_equal(solution.at_bounds, [one.active_mask for one in found])
    np.testing.assert_allclose(solution.xi, [one.x for one in found], rtol=1e-5)
    assert solution.to_frame()["at_bounds"].tolist() == ["rate", "size", "", "rate, size", "", "rate, size"]
