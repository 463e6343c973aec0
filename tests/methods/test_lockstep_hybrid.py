from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, Fragile, Rosenbrock, assert_same_bits, decay_set, fragile_set, rosenbrock_set
from scipy.optimize import least_squares

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, Status, Unknown
from kerasjoint.costs import jacobian_cost
from kerasjoint.methods import LockstepHybrid, LockstepLBFGS
from kerasjoint.methods.lockstep_lm import in_gradients

WEIGHTS = np.logspace(0, -4, 12)


class Valleys(InverseProblem):
    """Twelve unknowns of very different weight, bent: long valleys."""

    unknowns = (Unknown("u", shape=(12,), scale=1.0),)

    def forward(self, xi, x):
        u = xi["u"]
        return tf.concat([u + 0.2 * tf.sin(u + x["shift"][:, None]) * tf.roll(u, 1, axis=1), u], axis=1) * np.tile(
            WEIGHTS, 2
        )


@pytest.fixture(scope="module")
def valleys() -> ProblemSet:
    rng = np.random.default_rng(0)
    truth, x = rng.normal(size=(5, 12)), {"shift": rng.normal(size=5)}
    return ProblemSet(Valleys(), x, Valleys().simulate(truth, x) + 1e-3 * WEIGHTS.mean() * rng.normal(size=(5, 24)))


def test_the_end_of_a_long_valley_is_that_of_scipy_where_lbfgs_ends_short(valleys: ProblemSet) -> None:
    solution, lbfgs = LockstepHybrid().solve(valleys), LockstepLBFGS().solve(valleys)
    assert np.isin(solution.status, (Status.CONVERGED, Status.PRECISION)).all()
    for i in range(len(valleys)):

        def residuals(u, one=valleys[i]):
            return (Valleys().simulate(u[None], one.x) - one.y)[0]

        found = least_squares(residuals, solution.xi[i], x_scale="jac", xtol=1e-15, ftol=1e-15, gtol=1e-15)
        np.testing.assert_allclose(solution.loss[i], 2 * found.cost, rtol=1e-8)
    # Beyond the end that SciPy confirms, there is nothing to gain: from the same start L-BFGS has not come that far.
    assert (lbfgs.status == Status.ITERATIONS).all()
    assert (solution.loss <= lbfgs.loss * (1 + 1e-12)).all()
    assert (in_gradients(solution).evaluations < 0.5 * lbfgs.evaluations).all()


def test_up_to_the_changeover_it_is_lbfgs(valleys: ProblemSet) -> None:
    short = LockstepHybrid(max_iterations=7, changeover=20).solve(valleys)
    assert_same_bits(short, LockstepLBFGS(max_iterations=7).solve(valleys))
    assert not short.jacobians.any()


class Distance(Decay):
    def misfit(self, prediction, y, x):
        return tf.norm(prediction - y, axis=1)


class Wide(InverseProblem):
    unknowns = (Unknown("u", shape=(41,), scale=1.0),)

    def forward(self, xi, x):
        return tf.sin(xi["u"] * np.linspace(1, 3, 41))


@pytest.mark.parametrize(
    "problem_set",
    [decay_set(Distance(), n=3), ProblemSet(Wide(), {}, np.linspace(-0.9, 0.9, 82).reshape(2, 41))],
    ids=["no sum of squares", "many unknowns"],
)
def test_where_least_squares_does_not_serve_it_is_lbfgs_all_the_way(problem_set: ProblemSet) -> None:
    solution = LockstepHybrid(changeover=2).solve(problem_set)
    assert not LockstepHybrid.changes_over(problem_set)
    assert_same_bits(solution, LockstepLBFGS().solve(problem_set))


def test_iterations_are_limited_and_one_of_least_squares_counts_as_four() -> None:
    problem_set = rosenbrock_set(Rosenbrock(), n=4)
    solution = LockstepHybrid(max_iterations=11, changeover=3, tolerance=1e-15).solve(problem_set)
    assert (solution.iterations == 3 + 2).all()
    assert (solution.status == Status.ITERATIONS).all()


@pytest.mark.parametrize("limit", [20, 21, 23])
def test_with_less_left_than_one_of_least_squares_it_does_not_change_over(valleys: ProblemSet, limit: int) -> None:
    assert_same_bits(LockstepHybrid(limit).solve(valleys), LockstepLBFGS(limit).solve(valleys))


class Cornered(Valleys):
    """Where the last unknown is zero the loss and its gradient are finite, and second derivatives are not."""

    unknowns = (*Valleys.unknowns, Unknown("corner", scale=1.0))

    def regularizer(self, xi, x):
        return tf.abs(xi["corner"]) ** 1.5


def test_an_instance_without_a_jacobian_goes_on_by_lbfgs(valleys: ProblemSet) -> None:
    guess = np.zeros((5, 13))
    guess[3:, 12] = 0.5
    problem_set = ProblemSet(Cornered(), valleys.x, valleys.y, guess=guess)
    found, lbfgs = LockstepHybrid().solve(problem_set), LockstepLBFGS().solve(problem_set)
    np.testing.assert_array_equal(found.iterations[:3], 200)
    assert (found.loss < 2 * lbfgs.loss)[:3].all()
    assert (found.iterations[3:] < 200).all()
    assert_same_bits(found, LockstepHybrid().solve(problem_set[:3]), [0, 1, 2])


def test_instances_do_not_know_their_order_or_company(valleys: ProblemSet) -> None:
    order = np.array([3, 0, 4, 2, 1])
    whole, shuffled = LockstepHybrid(max_iterations=40).solve(valleys), LockstepHybrid(40).solve(valleys[order])
    for name in ("xi", "loss", "status", "iterations", "evaluations", "jacobians"):
        np.testing.assert_array_equal(getattr(shuffled, name), getattr(whole, name)[order], err_msg=name)


def test_a_bad_instance_changes_no_bit_of_the_others() -> None:
    clean = LockstepHybrid(changeover=1).solve(fragile_set(Fragile(), [0, 0, 0, 0]))
    mixed = LockstepHybrid(changeover=1).solve(fragile_set(Fragile(), [0, 1, 0, 1]))
    assert (mixed.status[[1, 3]] == Status.NON_FINITE).all()
    assert_same_bits(clean, mixed, [0, 2])
    np.testing.assert_allclose(mixed.xi[[0, 2]], 2.0, atol=1e-6)


def test_jacobians_are_counted_and_cost_several_gradients(valleys: ProblemSet, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.zeros(len(valleys), dtype=int)
    evaluate = ProblemSet.normal_equations

    def counted(self, xi, rows=None):
        np.add.at(counts, rows, 1)
        return evaluate(self, xi, rows)

    monkeypatch.setattr(ProblemSet, "normal_equations", counted)
    solution = LockstepHybrid().solve(valleys)
    np.testing.assert_array_equal(solution.jacobians, counts)
    assert jacobian_cost(valleys) == 3
    np.testing.assert_array_equal(in_gradients(solution).evaluations, solution.evaluations + 2 * counts)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ArgumentError, match="changeover: expected"):
        LockstepHybrid(changeover=0)
