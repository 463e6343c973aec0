"""What descents share: going on where L-BFGS ended short of the minimum."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasjoint import InverseProblem, ProblemSet, Status, Unknown
from kerasjoint.methods import LockstepHybrid, LockstepLBFGS
from kerasjoint.methods.base import LocalMethod
from kerasjoint.methods.search import Plan, Search

SIZE, RESIDUALS, N = 12, 200, 8


class Valley(InverseProblem):
    """Linear, with singular values from 1 to 1e-3: its minimum is that of ``numpy.linalg.lstsq``."""

    unknowns = (Unknown("c", shape=(SIZE,), scale=1.0),)

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        left, _ = np.linalg.qr(generator.standard_normal((RESIDUALS, SIZE)))
        right, _ = np.linalg.qr(generator.standard_normal((SIZE, SIZE)))
        self.matrix = (left * np.logspace(0, -3, SIZE)) @ right.T

    def forward(self, xi, x):
        return tf.matmul(xi["c"], tf.constant(self.matrix.T, xi["c"].dtype))


class Cliff(Valley):
    """The same, but its misfit is no sum over residuals to Levenberg-Marquardt."""

    def misfit(self, prediction, y, x):
        return tf.reduce_sum(tf.square(prediction - y), axis=1)


def search(problem: Valley, from_start: LocalMethod | None = None) -> tuple[Search, np.ndarray]:
    generator = np.random.default_rng(1)
    truth = 10 * generator.standard_normal((N, SIZE))
    y = truth @ problem.matrix.T + 1e-2 * generator.standard_normal((N, RESIDUALS))
    # The last ones are solved; they say what noise explains.
    guess = truth.copy()
    guess[:5] = 0
    problem_set = ProblemSet(problem, {}, y, truth=truth, guess=guess)
    short = LockstepLBFGS(max_iterations=40)
    least = [np.linalg.lstsq(problem.matrix, one)[1][0] for one in y]
    return Search(problem_set, short, from_start or short, evaluations=1000, value_cost=0.3), np.array(least)


def test_what_ends_short_of_a_minimum_goes_on_to_it() -> None:
    found, least = search(Valley())
    before = found.best
    short = np.intersect1d(found.unsolved, np.flatnonzero(before.loss < 3 * before.loss.min()))
    assert (before.status[short] == Status.ITERATIONS).all()
    assert short.size >= 1
    assert (before.loss[short] > 1.1 * least[short]).sum() >= 2
    found.polish()
    np.testing.assert_allclose(found.best.loss[short], least[short], rtol=1e-6)
    assert (found.best.loss <= before.loss).all()
    # A Jacobian of twelve unknowns counts as three evaluations.
    spent, jacobians = found.best.evaluations - before.evaluations, found.best.jacobians
    assert (jacobians[short] >= 1).all()
    assert (spent[short] > 3 * jacobians[short]).all()
    again = found.best
    found.polish()
    assert found.best is again


def test_without_residuals_it_goes_on_by_the_same_method_while_that_gains_and_is_cheap() -> None:
    found, least = search(Cliff())
    before = found.best
    short = np.flatnonzero(before.status == Status.ITERATIONS)
    left = found.left
    found.polish()
    gained = before.loss - found.best.loss
    assert (gained[short] >= 0).all()
    assert gained.max() > 0.1 * least.min()
    np.testing.assert_allclose(found.best.loss, least, rtol=0.01)
    assert found.left > 0.5 * left
    again = found.best
    found.polish()
    assert found.best is again


@pytest.mark.parametrize("shorts", [0, 3])
def test_descents_that_change_over_end_in_the_minimum_and_pay_for_their_jacobians(shorts: int) -> None:
    found, least = search(Valley(), LockstepHybrid(first_step=0.1))
    before, left, rows = found.best, found.left, np.arange(N)
    starts = before.z[:, None] + np.random.default_rng(2).standard_normal((N, 3, SIZE))
    found.descend(rows, starts, Plan(3, shorts, 1), source=0)
    jacobians = found.best.jacobians
    # What looks unsolved, and came no lower by short descents, does not go on.
    goes_on = jacobians > 0
    assert goes_on[:5].all()
    assert shorts or goes_on.all()
    np.testing.assert_allclose(found.best.loss[goes_on], least[goes_on], rtol=1e-6)
    spent = found.best.evaluations - before.evaluations
    # Three candidates, of which a value is counted apart; of each short descent at least twenty evaluations.
    assert left - found.left == pytest.approx(spent.sum() + (0 if shorts else 0.3 * 3 * N))
    assert (spent > 2 * jacobians + 20 * max(shorts, 1)).all()
