from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.methods import LockstepLBFGS
from kerasjoint.problems import Epidemic


@pytest.fixture(scope="module")
def problem_set() -> ProblemSet:
    return Epidemic().sample(8, seed=0)


def expected_counts(xi: np.ndarray) -> np.ndarray:
    """Daily losses of the susceptibles by an adaptive integration, between the knots' kinks one by one."""
    knots, recovery, infected = np.linspace(0, 160, 12), np.exp(xi[12]), np.exp(xi[13]) / 1e6
    state, days = np.array([1 - infected, infected]), np.arange(161.0)
    susceptible = np.full(161, state[0])

    def motion(time: float, state: np.ndarray) -> list[float]:
        new = np.exp(np.interp(time, knots, xi[:12])) * state[0] * state[1]
        return [-new, new - recovery * state[1]]

    for begin, end in pairwise(knots):
        inside = days[(days > begin) & (days <= end)]
        found = solve_ivp(
            motion, (begin, end), state, method="DOP853", t_eval=np.unique([*inside, end]), rtol=1e-11, atol=1e-14
        )
        susceptible[inside.astype(int)] = found.y[0, : len(inside)]
        state = found.y[:, -1]
    return -1e6 * np.diff(susceptible)


def test_the_counts_against_an_independent_integration(problem_set: ProblemSet) -> None:
    got = problem_set.problem.simulate(problem_set.truth[:4])
    for one, counts in zip(problem_set.truth[:4], got, strict=True):
        expected = expected_counts(one)
        np.testing.assert_allclose(counts, expected, rtol=2e-3, atol=2e-3 * expected.max() + 1e-6)
        assert np.mean(np.abs(counts - expected)) < 2e-4 * expected.max()


def test_the_final_size_of_an_epidemic_with_one_contact_rate() -> None:
    """Kermack and McKendrick: log(s / s0) = -R0 (1 - s), once it is over."""
    problem = Epidemic()
    xi = np.concatenate([np.full(12, np.log(0.4)), np.log([0.125, 100.0])])[None]
    ill = problem.simulate(xi).sum() / 1e6
    left = 1 - 1e-4 - ill
    assert np.log(left / (1 - 1e-4)) == pytest.approx(-0.4 / 0.125 * (1 - left), rel=1e-3)


def test_at_first_cases_grow_exponentially() -> None:
    xi = np.concatenate([np.full(12, np.log(0.4)), np.log([0.125, 10.0])])[None]
    counts = Epidemic().simulate(xi)[0]
    np.testing.assert_allclose(np.log(counts[1:10] / counts[:9]), 0.4 - 0.125, rtol=2e-3)
    half = Epidemic(reported=0.5).simulate(xi)[0]
    np.testing.assert_allclose(half, counts / 2, rtol=1e-12)


def test_residuals_of_the_truth_have_unit_variance() -> None:
    problem_set = Epidemic().sample(32, seed=3)
    assert (problem_set.y == np.round(problem_set.y)).all()
    counts = problem_set.problem.simulate(problem_set.truth)
    residuals = 2 * (np.sqrt(counts + 0.375) - np.sqrt(problem_set.y + 0.375))
    assert residuals[counts > 4].std() == pytest.approx(1, rel=0.05)
    np.testing.assert_allclose(problem_set.truth_loss, np.sum(residuals**2, axis=1), rtol=1e-9)


def test_the_prior_is_a_stationary_walk() -> None:
    problem = Epidemic()
    xi = problem.prior(4000, seed=1)
    np.testing.assert_allclose(xi.mean(axis=0), problem.space.guess, atol=0.07)
    np.testing.assert_allclose(xi.std(axis=0), [0.5] * 12 + [0.2, 1.0], rtol=0.06)
    neighbours = [np.corrcoef(xi[:, k], xi[:, k + 1])[0, 1] for k in range(11)]
    np.testing.assert_allclose(neighbours, 0.5, atol=0.06)


def test_contact_rates_that_matter_are_found(problem_set: ProblemSet) -> None:
    problem_set = problem_set[:3]
    truth = problem_set.space.to_z(problem_set.truth, problem_set.guess)
    start = truth + 0.02 * np.random.default_rng(1).standard_normal(truth.shape)
    assert LockstepLBFGS(50).solve(problem_set, start=start).solved.all()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"days": 0}, "days"),
        ({"days": 1.5}, "days"),
        ({"knots": 1}, "knots"),
        ({"knots": 1000}, "knots"),
        ({"reported": 0.0}, "reported"),
        ({"reported": 1.5}, "reported"),
        ({"reported": np.nan}, "reported"),
    ],
)
def test_unusable_arguments_are_refused(arguments: dict[str, object], name: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        Epidemic(**arguments)
    assert caught.value.argument == name
