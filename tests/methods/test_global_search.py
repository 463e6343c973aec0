"""The global searches: budgets kept exactly, several minima overcome, instances apart."""

from __future__ import annotations

import sys
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from helpers import Fragile, assert_same_bits, fragile_set

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, Solution, Status, Unknown
from kerasjoint.methods import METHODS, DifferentialEvolution, LockstepLBFGS
from kerasjoint.methods.global_search import GlobalSearch, Search
from kerasjoint.optional import MissingPackageError

NAMES = [name for name in METHODS if issubclass(METHODS.load(name), GlobalSearch)]
BUDGET = 400


class Ripples(InverseProblem):
    """Rastrigin's function in two unknowns about a place of each instance: minima at whole distances, the best is 0."""

    unknowns = (Unknown("place", (2,), lower=-5.0, upper=5.0, guess=(3.1, -3.9)),)

    def forward(self, xi, x):
        away = xi["place"] - x["centre"]
        return tf.concat([away, tf.sqrt(10.0 * (1 - tf.cos(2 * np.pi * away)) + 1e-12)], axis=1)


@pytest.fixture(scope="module")
def ripples() -> ProblemSet:
    centre = np.array([[0.3, 0.7], [-1.2, 1.6], [2.1, -0.4]])
    return ProblemSet(Ripples(), {"centre": centre}, np.zeros((3, 4)), centre)


@pytest.fixture(scope="module")
def solved(ripples: ProblemSet) -> object:
    return cache(lambda name, evaluations: METHODS.load(name)(evaluations=evaluations).solve(ripples, seed=0))


@pytest.mark.parametrize("name", NAMES)
def test_one_of_the_lowest_of_many_minima_is_found(solved, ripples: ProblemSet, name: str) -> None:
    solution: Solution = solved(name, 3 * BUDGET if name == "cma-es" else BUDGET)
    # All end in one of the lowest few of a hundred.
    assert (solution.loss < 2.5).all()
    assert name == "cma-es" or solution.solved.any()
    np.testing.assert_allclose(solution.xi[solution.solved], ripples.truth[solution.solved], atol=1e-4)
    assert (solution.status == Status.SEARCHED).all()
    # A descent from the guess ends in the minimum that is nearest.
    assert (LockstepLBFGS().solve(ripples).loss > 5).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", [1, 2, 37, BUDGET])
def test_a_budget_is_spent_to_the_last_evaluation(solved, name: str, budget: int) -> None:
    """But for the final descent, which may converge before."""
    solution: Solution = solved(name, budget)
    assert (solution.evaluations <= budget).all()
    kept = min(getattr(METHODS.load(name)(), "polish", 0), budget // 2)
    assert (solution.evaluations >= budget - kept).all()
    assert (solution.values <= solution.evaluations).all()
    if not METHODS.load(name).needs_gradient:
        assert (solution.values == budget - kept).all()


@pytest.mark.parametrize("name", NAMES)
def test_evaluations_are_counted_as_the_problem_sees_them(ripples: ProblemSet, name: str) -> None:
    evaluator = ripples.evaluator
    before = evaluator.values, evaluator.gradients
    _ = ripples.truth_loss
    solution = METHODS.load(name)(evaluations=40).solve(ripples, seed=1)
    seen = evaluator.values - before[0] + evaluator.gradients - before[1]
    # Compilation runs each function once for a few sizes.
    assert solution.evaluations.sum() <= seen


@pytest.mark.parametrize("name", NAMES)
def test_an_instance_does_not_depend_on_its_neighbours_values(name: str) -> None:
    """A seed fixes every bit, and one that is NaN everywhere touches no other."""
    method = METHODS.load(name)(evaluations=60)
    bad, good = (method.solve(fragile_set(Fragile(), flags), seed=0) for flags in ([0, 1, 0], [0, 0, 0]))
    assert_same_bits(bad, good, [0, 2])
    assert bad.status.tolist() == [Status.SEARCHED, Status.NON_FINITE, Status.SEARCHED]
    assert bad.non_finite[1] == bad.evaluations[1] > 0
    assert np.isposinf(bad.loss).tolist() == [False, True, False]
    np.testing.assert_allclose(good.xi, 2.0, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_an_instance_does_not_depend_on_its_neighbours_guess(ripples: ProblemSet, name: str) -> None:
    guess = ripples.guess.copy()
    guess[0] = 4.999
    other = ProblemSet(ripples.problem, ripples.x, ripples.y, guess=guess)
    one, two = (METHODS.load(name)(evaluations=60).solve(of, seed=0) for of in (ripples, other))
    np.testing.assert_array_equal(one.xi[1:], two.xi[1:])


@pytest.mark.parametrize("name", NAMES)
def test_numpys_global_generator_is_left_alone(ripples: ProblemSet, name: str) -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    METHODS.load(name)(evaluations=40).solve(ripples[:1], seed=0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("name", NAMES)
def test_the_history_falls_from_the_guess_to_the_best(solved, ripples: ProblemSet, name: str) -> None:
    history = solved(name, BUDGET).history
    assert history["mean"].iloc[0] == pytest.approx(ripples.objective(ripples.guess).mean())
    assert history["mean"].is_monotonic_decreasing
    assert history["evaluations"].is_monotonic_increasing
    assert history["mean"].iloc[-1] < 0.1 * history["mean"].iloc[0]


def test_the_box_holds_bounds_and_prior_and_its_gradient_is_that_of_the_objective(ripples: ProblemSet) -> None:
    search = Search(ripples, 100, seed=0)
    z = search.draw(1, 20)
    unit = search.to_unit(1, z)
    assert (unit > 0).all()
    assert (unit < 1).all()
    np.testing.assert_allclose(search.from_unit(1, unit), z, rtol=1e-6, atol=1e-9)
    slope = search.unit_gradient(1, z[0], search.value_and_gradient(1, z[0])[1])
    moves = 1e-6 * np.eye(2)
    losses = [search.values_of(1, search.from_unit(1, unit[:1] + move))[0] for move in (*moves, *-moves)]
    np.testing.assert_allclose(slope, (np.array(losses[:2]) - losses[2:]) / 2e-6, rtol=1e-4)


@pytest.mark.parametrize(("name", "package"), [("cma-es", "cma"), ("multi-level-single-linkage", "nlopt")])
def test_a_missing_package_names_the_extra(monkeypatch, ripples: ProblemSet, name: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=rf"{package} is not installed: pip install kerasjoint\[rivals\]"):
        METHODS.load(name)().solve(ripples)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("differential-evolution", {"evaluations": 0}),
        ("differential-evolution", {"polish": -1}),
        ("differential-evolution", {"polish": True}),
        ("differential-evolution", {"population": 0}),
        ("cma-es", {"step": 0.0}),
        ("basin-hopping", {"temperature": np.nan}),
        ("basin-hopping", {"step": -1.0}),
        ("basin-hopping", {"max_iterations": 0}),
        ("multi-level-single-linkage", {"evaluations": 2.5}),
    ],
)
def test_bad_settings_are_refused(name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(arguments))):
        METHODS.load(name)(**arguments)


def test_without_a_gradient_there_is_no_final_descent() -> None:
    problem_set = ProblemSet(Rounded(), y=np.zeros((2, 1)))
    solution = DifferentialEvolution(evaluations=80).solve(problem_set, seed=0)
    assert (solution.values == solution.evaluations).all()
    assert (solution.evaluations == 80).all()
    np.testing.assert_allclose(solution.xi, 1.0, atol=0.05)


class Rounded(InverseProblem):
    """What the result depends on has no derivative."""

    unknowns = (Unknown("u", lower=-3.0, upper=3.0, guess=-1.0),)

    def forward(self, xi, x):
        return tf.stop_gradient(xi["u"] - 1.0)[:, None]
