from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, Rosenbrock, assert_same_bits, decay_set, rosenbrock_set
from scipy.optimize import minimize

from kerasjoint import ArgumentError, ProblemSet, Status
from kerasjoint.methods import LBFGS, LockstepLBFGS, ScipyLBFGS

CLASSES = [LBFGS, LockstepLBFGS, ScipyLBFGS]
LOCAL = pytest.mark.parametrize("method", CLASSES)


class Trapped(Rosenbrock):
    """Rosenbrock's valley, NaN from the start, or beyond a wall that the path crosses, where the condition says so."""

    def forward(self, xi, x):
        inside = (x["bad"] < 0.5) | ((x["bad"] < 1.5) & (xi["point"][:, 0] < 0.9))
        return super().forward(xi, x) * tf.where(inside, 1 + 0 * x["bad"], np.nan * x["bad"])[:, None]


def watch(problem_set: ProblemSet, monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[np.ndarray, float]]]:
    """Collect every unknown and loss that is evaluated from now on, per instance, in order."""
    for m in range(1, len(problem_set) + 1):
        problem_set.compile(m)
    seen: list[list[tuple[np.ndarray, float]]] = [[] for _ in range(len(problem_set))]
    original = ProblemSet.value_and_gradient

    def watched(self: ProblemSet, xi: np.ndarray, instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, gradient = original(self, xi, instances)
        for i, *trial in zip(instances, xi, value, strict=True):
            seen[i].append(tuple(trial))
        return value, gradient

    monkeypatch.setattr(ProblemSet, "value_and_gradient", watched)
    return seen


@pytest.fixture(scope="module")
def trapped() -> Trapped:
    return Trapped()


def trapped_set(problem: Trapped, bad: list[int]) -> ProblemSet:
    a = np.array([0.5, 1.3, -0.7, 1.1, 1.2])
    return ProblemSet(problem, {"a": a, "bad": bad}, np.zeros((5, 2)))


@LOCAL
def test_rosenbrock_against_scipy_in_the_plain_variables(rosenbrock: ProblemSet, method: type) -> None:
    solution = method().solve(rosenbrock)
    for a, xi, loss in zip(rosenbrock.x["a"], solution.xi, solution.loss, strict=True):
        plain = minimize(lambda p, a=a: (a - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2, np.zeros(2), tol=1e-10)
        np.testing.assert_allclose(xi, plain.x, atol=1e-4)
        assert loss < 1e-20
    np.testing.assert_allclose(solution.xi, rosenbrock.truth, atol=1e-9)
    assert set(solution.status) <= {Status.CONVERGED, Status.PRECISION}
    assert solution.solved.all()


@LOCAL
def test_a_bounded_optimum_in_the_normalised_coordinates(decay: ProblemSet, method: type) -> None:
    solution = method().solve(decay)
    np.testing.assert_allclose(solution.xi, decay.truth, rtol=1e-9)
    np.testing.assert_allclose(decay.problem.space.to_xi(solution.z, decay.guess), solution.xi, rtol=1e-15)
    np.testing.assert_array_equal(solution.loss, decay.objective(solution.xi))
    assert solution.history["mean"].iloc[0] == pytest.approx(decay.objective(decay.guess).mean())
    assert solution.history["mean"].iloc[-1] == pytest.approx(solution.last.loss.mean())
    assert solution.history["iteration"].iloc[-1] == solution.iterations.max()
    assert solution.history["evaluations"].iloc[-1] == solution.evaluations.mean()


@LOCAL
def test_instances_do_not_know_their_order_or_company(rosenbrock: ProblemSet, method: type) -> None:
    order = np.array([3, 0, 2, 1])
    whole, shuffled = method().solve(rosenbrock), method().solve(rosenbrock[order])
    for name in ("xi", "loss", "status", "iterations"):
        np.testing.assert_array_equal(getattr(shuffled, name), getattr(whole, name)[order])
    alone = method().solve(rosenbrock[1:3])
    np.testing.assert_allclose(alone.xi, whole.xi[1:3], atol=1e-9)
    assert_same_bits(whole, method().solve(rosenbrock, seed=7))


@LOCAL
def test_a_bad_instance_changes_no_bit_of_the_others(trapped: Trapped, method: type) -> None:
    clean = method(max_iterations=30).solve(trapped_set(trapped, [0, 0, 0, 0, 0]))
    mixed = method(max_iterations=30).solve(trapped_set(trapped, [0, 2, 0, 1, 0]))
    assert mixed.status[1] == Status.NON_FINITE
    assert (mixed.loss[1], mixed.evaluations[1], mixed.non_finite[1], mixed.iterations[1]) == (np.inf, 2, 2, 0)
    assert np.isfinite(mixed.xi).all()
    # The minimum of instance 3 lies behind its wall: it ends before, at the best point it saw, and says so.
    assert mixed.non_finite[3] > 0
    assert 0.2**2 < mixed.loss[3] <= 1.1**2
    assert mixed.status[3] != Status.CONVERGED
    for name in ("xi", "loss", "status", "iterations", "non_finite"):
        good = [0, 2, 4]
        np.testing.assert_array_equal(getattr(mixed, name)[good], getattr(clean, name)[good], err_msg=name)


@LOCAL
def test_no_gradient_at_the_start_is_no_convergence(billiards: ProblemSet, method: type) -> None:
    misses = ~billiards.value_and_gradient(billiards.guess)[1].any(axis=1)
    assert 0 < misses.sum() < len(billiards)
    solution = method().solve(billiards)
    assert ((solution.status == Status.STATIONARY) == misses).all()
    np.testing.assert_array_equal(solution.xi[misses], billiards.guess[misses])
    assert (solution.evaluations[misses] == 1).all()
    assert (solution.iterations[misses] == 0).all()


@LOCAL
@pytest.mark.parametrize("most", [1, 4])
def test_iterations_are_limited(rosenbrock: ProblemSet, method: type, most: int) -> None:
    solution = method(max_iterations=most).solve(rosenbrock)
    assert (solution.iterations == most).all()
    assert (solution.status == Status.ITERATIONS).all()
    assert (solution.loss <= solution.last.loss).all()
    assert (solution.loss < rosenbrock.objective(rosenbrock.guess)).all()


@LOCAL
def test_it_starts_where_told(rosenbrock: ProblemSet, method: type) -> None:
    start = rosenbrock.truth + 1e-3
    near = method(first_step=1e-4).solve(rosenbrock, start=start)
    assert near.history["mean"].iloc[0] == pytest.approx(rosenbrock.objective(start).mean())
    assert near.solved.all()
    at_optimum = method().solve(rosenbrock, start=rosenbrock.truth)
    assert (at_optimum.status == Status.STATIONARY).all()
    np.testing.assert_array_equal(at_optimum.xi, rosenbrock.truth)


@LOCAL
def test_every_evaluation_is_counted_and_the_best_is_kept(
    rosenbrock: ProblemSet, method: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watch(rosenbrock, monkeypatch)
    solution = method(max_iterations=15).solve(rosenbrock)
    assert solution.evaluations.tolist() == [len(trials) for trials in seen]
    assert solution.loss.tolist() == [min(loss for _, loss in trials) for trials in seen]


@LOCAL
@pytest.mark.parametrize("first_step", [0.01, 0.3, 2.0])
def test_the_first_trial_is_as_far_away_as_asked(
    rosenbrock: ProblemSet, method: type, first_step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watch(rosenbrock, monkeypatch)
    method(max_iterations=1, first_step=first_step).solve(rosenbrock)
    for (start, _), *trials in seen:
        # SciPy evaluates the start once more.
        lengths = [np.linalg.norm(trial - start) for trial, _ in trials]
        assert next(filter(None, lengths)) == pytest.approx(first_step)


@LOCAL
@pytest.mark.parametrize("first_step", [1e-3, 1.0])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6])
def test_the_tolerance_is_relative_to_the_first_gradient_whatever_the_step(
    rosenbrock: ProblemSet, method: type, first_step: float, tolerance: float
) -> None:
    solution = method(tolerance=tolerance, first_step=first_step).solve(rosenbrock)
    slope = np.abs(rosenbrock.value_and_gradient(rosenbrock.guess)[1]).max(axis=1)
    last = np.abs(rosenbrock.value_and_gradient(solution.last.xi)[1]).max(axis=1)
    assert (solution.status == Status.CONVERGED).all()
    assert (last <= tolerance * slope * (1 + 1e-9)).all()
    before = method(tolerance=tolerance, first_step=first_step, max_iterations=int(solution.iterations.min()) - 1)
    earlier = before.solve(rosenbrock).last.xi
    assert (np.abs(rosenbrock.value_and_gradient(earlier)[1]).max(axis=1) > tolerance * slope).all()


def test_scipys_own_count_agrees(rosenbrock: ProblemSet) -> None:
    solution = ScipyLBFGS().solve(rosenbrock)
    for i in range(len(rosenbrock)):
        one = rosenbrock[i]
        scale = 1.0 / np.linalg.norm(slope := one.value_and_gradient(one.guess)[1])

        def scaled(z: np.ndarray, one: ProblemSet = one, scale: float = scale) -> tuple[float, np.ndarray]:
            value, gradient = one.value_and_gradient(z[None])
            return value[0] * scale, gradient[0] * scale

        options = {"maxiter": 200, "maxcor": 10, "ftol": 0.0, "gtol": 1e-12 * np.abs(slope).max() * scale}
        result = minimize(scaled, np.zeros(2), jac=True, method="L-BFGS-B", options=options)
        assert solution.evaluations[i] == result.nfev + 1
        assert solution.iterations[i] == result.nit
        np.testing.assert_allclose(solution.last.xi[i], result.x, atol=1e-12)


def test_failed_line_searches_start_again(wave_packet: ProblemSet) -> None:
    problem_set = wave_packet.problem.sample(64, seed=0)
    once = LBFGS(restarts=0).solve(problem_set)
    failed = once.status == Status.FAILED
    assert failed.any()
    again = LBFGS(restarts=1).solve(problem_set)
    assert_same_bits(once, again, rows=~failed)
    assert (again.loss[failed] <= once.loss[failed]).all()
    assert (again.loss[failed] < once.loss[failed]).any()
    assert set(again.status[failed]) <= {Status.CONVERGED, Status.PRECISION}
    most = int(once.iterations[failed][0]) + 1
    limited = LBFGS(max_iterations=most).solve(problem_set[failed])
    assert (limited.iterations[0], limited.status[0]) == (most, Status.ITERATIONS)


@LOCAL
@pytest.mark.parametrize(
    "arguments",
    [
        {"max_iterations": 0},
        {"max_iterations": 2.5},
        {"max_iterations": True},
        {"history_size": -1},
        {"history_size": "ten"},
        {"tolerance": 0.0},
        {"tolerance": np.nan},
        {"first_step": -0.5},
        {"first_step": np.inf},
    ],
)
def test_bad_arguments_are_refused(method: type, arguments: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match=f"{next(iter(arguments))}: expected a positive"):
        method(**arguments)


@pytest.mark.parametrize("restarts", [-1, 1.0, True, "2"])
def test_bad_restarts_are_refused(restarts: object) -> None:
    with pytest.raises(ArgumentError, match="restarts: expected a whole number"):
        LBFGS(restarts=restarts)


@LOCAL
def test_a_bad_start_is_refused(decay: ProblemSet, method: type) -> None:
    for start in (np.zeros(4), np.zeros((3, 1)), np.full((4, 1), np.nan)):
        with pytest.raises(ArgumentError, match="start: expected"):
            method().solve(decay, start=start)
    with pytest.raises(ArgumentError, match="problem_set: expected a ProblemSet, got ndarray"):
        method().solve(decay.y)


def test_one_instance_is_enough() -> None:
    for method in CLASSES:
        solution = method().solve(decay_set(Decay(), n=1))
        assert (len(solution), solution.solved.tolist()) == (1, [True])
        assert rosenbrock_set(Rosenbrock(), 1)[0].y.shape == (1, 2)
