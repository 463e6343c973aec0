from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, Rosenbrock, assert_same_bits, decay_set, rosenbrock_set
from scipy.optimize import least_squares

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, Status, Unknown, refine
from kerasjoint.methods import LockstepLBFGS, LockstepLM

PLACES = np.linspace(-1, 1, 12)
MEAN, SPREAD = np.array([1.0, -2.0]), np.array([0.3, 0.5])


class Line(InverseProblem):
    """A line with known noise and a Gaussian prior: the posterior has a closed form."""

    unknowns = (Unknown("coefficients", shape=(2,), scale=1.0),)

    def forward(self, xi, x):
        return xi["coefficients"][:, :1] + xi["coefficients"][:, 1:] * PLACES

    def residuals(self, prediction, y, x):
        return (prediction - y) / x["noise"][:, None]

    def regularizer(self, xi, x):
        return tf.reduce_sum(((xi["coefficients"] - MEAN) / SPREAD) ** 2, axis=1)


class Trapped(Rosenbrock):
    """Rosenbrock's valley, NaN from the start where the condition says 2, and beyond a wall where it says 1."""

    def forward(self, xi, x):
        inside = (x["bad"] < 0.5) | ((x["bad"] < 1.5) & (xi["point"][:, 0] < 0.9))
        return super().forward(xi, x) * tf.where(inside, 1 + 0 * x["bad"], np.nan * x["bad"])[:, None]


def line_set(n: int) -> ProblemSet:
    rng = np.random.default_rng(0)
    noise = np.linspace(0.1, 1.0, n)
    y = 1 + 2 * PLACES + noise[:, None] * rng.normal(size=(n, 12))
    return ProblemSet(Line(), {"noise": noise}, y)


def trapped_set(bad: list[int]) -> ProblemSet:
    return ProblemSet(Trapped(), {"a": [0.5, 1.3, -0.7, 1.1, 1.2], "bad": bad}, np.zeros((5, 2)))


def test_a_linear_problem_with_a_gaussian_prior_takes_one_step() -> None:
    problem_set = line_set(3)
    solution = LockstepLM(first_step=100.0, max_iterations=3).solve(problem_set)
    design = np.stack([np.ones(12), PLACES], axis=1)
    for i, noise in enumerate(problem_set.x["noise"]):
        precision = design.T @ design / noise**2 + np.diag(1 / SPREAD**2)
        mean = np.linalg.solve(precision, design.T @ problem_set.y[i] / noise**2 + MEAN / SPREAD**2)
        np.testing.assert_allclose(solution.xi[i], mean, rtol=1e-7)
        np.testing.assert_allclose(
            solution.uncertainty(True).covariance[i], np.linalg.inv(precision), rtol=1e-10, atol=1e-15
        )
    # The first damping is 1e-3: each step leaves a thousandth of the error.
    first = LockstepLM(first_step=100.0, max_iterations=1).solve(problem_set)
    np.testing.assert_allclose(first.xi, solution.xi, atol=2e-3 * np.abs(solution.xi).max())


def test_rosenbrock_and_a_bounded_optimum(rosenbrock: ProblemSet, decay: ProblemSet) -> None:
    for problem_set in (rosenbrock, decay):
        solution = LockstepLM().solve(problem_set)
        np.testing.assert_allclose(solution.xi, problem_set.truth, rtol=1e-9)
        assert set(solution.status) <= {Status.CONVERGED, Status.PRECISION}
        np.testing.assert_allclose(solution.loss, problem_set.objective(solution.xi), rtol=1e-12)


@pytest.mark.parametrize("robust_loss", ["linear", "huber", "soft_l1"])
def test_robust_fits_are_those_of_scipy(robust_loss: str) -> None:
    class Robust(Decay):
        pass

    Robust.robust_loss, Robust.robust_scale = robust_loss, 0.05
    clean = decay_set(Decay(), n=4)
    rng = np.random.default_rng(3)
    y = clean.y + 0.05 * rng.normal(size=clean.y.shape) + (rng.uniform(size=clean.y.shape) < 0.2)
    problem_set = ProblemSet(Robust(), clean.x, y)
    solution = LockstepLM().solve(problem_set)
    for i in range(4):
        found = least_squares(
            lambda rate, i=i: np.exp(-rate * clean.x["time"][i]) - y[i],
            [1.0],
            loss=robust_loss,
            f_scale=0.05,
            bounds=(0, 5),
            xtol=1e-14,
            ftol=1e-14,
            gtol=1e-14,
        )
        assert solution.loss[i] == pytest.approx(2 * found.cost, rel=1e-9)
        np.testing.assert_allclose(solution.xi[i], found.x, rtol=1e-5)


def test_an_active_bound_is_approached_and_not_reached() -> None:
    time = np.tile(np.linspace(0.1, 1.0, 9), (3, 1))
    # They grow, or decay faster than the bounds allow.
    problem_set = ProblemSet(Decay(), {"time": time}, np.exp(np.array([0.5, -6.0, -2.0])[:, None] * time))
    solution = LockstepLM().solve(problem_set)
    problem_set.space.check_inside(solution.xi, "xi")
    np.testing.assert_allclose(solution.xi[:, 0], [0.0, 5.0, 2.0], atol=1e-5)
    lbfgs = LockstepLBFGS().solve(problem_set)
    assert (solution.loss <= lbfgs.loss * (1 + 1e-6) + 1e-20).all()


def test_instances_do_not_know_their_order_or_company(rosenbrock: ProblemSet) -> None:
    order = np.array([3, 0, 2, 1])
    whole, shuffled = LockstepLM().solve(rosenbrock), LockstepLM().solve(rosenbrock[order])
    for name in ("xi", "loss", "status", "iterations", "evaluations"):
        np.testing.assert_array_equal(getattr(shuffled, name), getattr(whole, name)[order])
    alone = LockstepLM().solve(rosenbrock[1])
    np.testing.assert_allclose(alone.xi, whole.xi[1:2], atol=1e-9)
    assert_same_bits(whole, LockstepLM().solve(rosenbrock, seed=7))


def test_a_bad_instance_changes_no_bit_of_the_others() -> None:
    clean = LockstepLM(max_iterations=30).solve(trapped_set([0, 0, 0, 0, 0]))
    mixed = LockstepLM(max_iterations=30).solve(trapped_set([0, 2, 0, 1, 0]))
    assert mixed.status[1] == Status.NON_FINITE
    assert (mixed.loss[1], mixed.evaluations[1], mixed.non_finite[1], mixed.iterations[1]) == (np.inf, 2, 2, 0)
    assert mixed.non_finite[3] > 0
    assert 0.2**2 < mixed.loss[3] <= 1.1**2
    assert mixed.status[3] != Status.CONVERGED
    for name in ("xi", "loss", "status", "iterations", "non_finite", "evaluations"):
        good = [0, 2, 4]
        np.testing.assert_array_equal(getattr(mixed, name)[good], getattr(clean, name)[good], err_msg=name)


def test_no_gradient_at_the_start_is_no_convergence(billiards: ProblemSet) -> None:
    misses = ~billiards.value_and_gradient(billiards.guess)[1].any(axis=1)
    solution = LockstepLM().solve(billiards)
    assert ((solution.status == Status.STATIONARY) == misses).all()
    assert (solution.evaluations[misses] == 1).all()


def test_every_evaluation_is_counted_and_the_best_is_kept(
    rosenbrock: ProblemSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[float]] = [[] for _ in range(len(rosenbrock))]
    original = ProblemSet.normal_equations

    def watched(self, xi, instances):
        found = original(self, xi, instances)
        for i, loss in zip(instances, found[0], strict=True):
            seen[i].append(loss)
        return found

    monkeypatch.setattr(ProblemSet, "normal_equations", watched)
    monkeypatch.setattr(ProblemSet, "value_and_gradient", None)
    before = rosenbrock.evaluator.gradients
    for m in range(1, 5):
        rosenbrock.compile(m, "normal_equations")
    compiled = rosenbrock.evaluator.gradients
    assert compiled == before
    solution = LockstepLM(max_iterations=6).solve(rosenbrock)
    assert solution.evaluations.tolist() == [len(losses) for losses in seen]
    assert solution.loss.tolist() == [min(losses) for losses in seen]
    assert rosenbrock.evaluator.gradients == before + solution.evaluations.sum()
    assert (solution.iterations <= 6).all()


@pytest.mark.parametrize("first_step", [0.01, 0.3])
def test_the_first_step_is_at_most_as_long_as_told(rosenbrock: ProblemSet, first_step: float) -> None:
    solution = LockstepLM(first_step=first_step, max_iterations=1).solve(rosenbrock)
    lengths = np.linalg.norm(solution.z, axis=1)
    assert (lengths <= first_step).all()
    assert (lengths > 0).all()


def test_iterations_are_limited(rosenbrock: ProblemSet) -> None:
    solution = LockstepLM(max_iterations=2).solve(rosenbrock)
    assert (solution.iterations == 2).all()
    assert (solution.status == Status.ITERATIONS).all()


class Distance(Decay):
    def misfit(self, prediction, y, x):
        return tf.norm(prediction - y, axis=1)


def test_where_the_misfit_is_no_sum_refinement_takes_lbfgs() -> None:
    problem_set = decay_set(Distance(), n=2)
    assert not LockstepLM.applies_to(problem_set)
    with pytest.raises(ArgumentError, match=r"Distance\.misfit: expected the default, a sum over the residuals"):
        LockstepLM().solve(problem_set)
    rough = LockstepLBFGS(max_iterations=2).solve(problem_set)
    assert refine(problem_set, rough).solver == "LockstepLBFGS, LockstepLBFGS"


def test_refinement_finishes_by_lbfgs_what_is_left_unconverged(monkeypatch: pytest.MonkeyPatch) -> None:
    problem_set = rosenbrock_set(Rosenbrock(), n=4)
    rough = LockstepLBFGS(max_iterations=1).solve(problem_set)
    monkeypatch.setattr(LockstepLM.__init__, "__defaults__", (2, 1e-12, 1.0))
    refined = refine(problem_set, rough)
    assert refined.solver == "LockstepLBFGS, LockstepLM, LockstepLBFGS"
    np.testing.assert_allclose(refined.xi, problem_set.truth, atol=1e-9)
    assert (refined.evaluations > rough.evaluations + 3).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_iterations": 0}, "max_iterations: expected a positive integer"),
        ({"tolerance": 0.0}, "tolerance: expected a positive number"),
        ({"first_step": -1.0}, "first_step: expected a positive number"),
    ],
)
def test_nonsense_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        LockstepLM(**arguments)


class LargeResiduals(InverseProblem):
    """Residuals u + 1 and s u^2 + u - 1 with the minimum 0, where those of Gauss-Newton shrink by |s| (Powell)."""

    unknowns = (Unknown("u", guess=0.3, scale=1.0),)

    def forward(self, xi, x):
        u = xi["u"]
        return tf.stack([u + 1, x["s"] * u**2 + u - 1], axis=1)


def test_large_residuals_are_no_slow_convergence() -> None:
    shrinking = np.array([0.0, 0.5, 0.9, -0.9, -3.0])
    problem_set = ProblemSet(LargeResiduals(), {"s": shrinking}, np.zeros((5, 2)))
    solution = LockstepLM(tolerance=1e-15).solve(problem_set)
    assert np.abs(solution.xi).max() < 1e-7
    np.testing.assert_allclose(solution.loss, 2, rtol=1e-14)
    # By Gauss-Newton the errors of the third would shrink to that in 140 evaluations.
    assert solution.evaluations.max() < 25


class Chain(InverseProblem):
    """Twelve unknowns, each coupled to the next by products and sines, seen through twenty sums."""

    unknowns = (Unknown("u", shape=(12,), scale=1.0),)
    weights = np.random.default_rng(1).normal(size=(20, 12))

    def forward(self, xi, x):
        u = xi["u"] + x["shift"][:, None]
        return tf.linalg.matvec(tf.constant(self.weights, u.dtype), u + 0.2 * tf.sin(u) * tf.roll(u, 1, 1))


def test_with_many_unknowns_one_jacobian_serves_for_several_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    truth, x = rng.normal(size=(6, 12)), {"shift": rng.normal(size=6)}
    problem_set = ProblemSet(Chain(), x, Chain().simulate(truth, x) + 0.1 * rng.normal(size=(6, 20)), truth)
    jacobians = []
    evaluate = ProblemSet.normal_equations

    def counted(self, xi, rows=None):
        jacobians.append(len(xi))
        return evaluate(self, xi, rows)

    monkeypatch.setattr(ProblemSet, "normal_equations", counted)
    near = problem_set.space.to_z(truth, problem_set.guess) + 0.1 * rng.normal(size=(6, 12))
    solution = LockstepLM(tolerance=1e-10).solve(problem_set, start=near)
    assert 6 <= sum(jacobians) < 0.5 * solution.evaluations.sum()
    for i in range(6):
        one, start = problem_set[i : i + 1], problem_set.space.to_xi(near[i : i + 1], problem_set.guess[i : i + 1])[0]

        def residuals(u, one=one):
            return (Chain().simulate(u[None], one.x) - one.y)[0]

        expected = least_squares(residuals, start, xtol=1e-14, ftol=1e-14, gtol=1e-14)
        np.testing.assert_allclose(solution.loss[i], 2 * expected.cost, rtol=1e-8)
