from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammaln

from kerasjoint.confirmation import Confirmation, Minima, confirm, noise_tail

ALONE = {"several": np.array([False]), "wrong": np.zeros(0), "loss": np.array([1.0]), "tail": np.ones(1)}


@pytest.mark.parametrize(("starts", "minima"), [(5, 1), (9, 2), (30, 4), (200, 15)])
def test_the_closed_form_is_the_posterior_of_boender_and_rinnooy_kan(starts: int, minima: int) -> None:
    """With k minima, and a uniform prior of k and of basins, P(k | seen) ~ k! (k-1)! / ((k-w)! (N+k-1)!)."""
    k = np.arange(minima, 2_000_000, dtype=np.float64)
    log = gammaln(k + 1) + gammaln(k) - gammaln(k - minima + 1) - gammaln(starts + k)
    weight = np.exp(log - log.max())
    expected = 1 - minima * (weight / k).sum() / weight.sum()
    found = confirm(np.array([starts]), np.array([minima]), zero=-np.inf, **ALONE)
    assert found == pytest.approx([expected], rel=1e-5)


def test_too_few_starts_say_nothing_and_zero_says_all() -> None:
    few = confirm(np.array([2]), np.array([1]), zero=-np.inf, **ALONE)
    assert few == [1.0]
    assert confirm(np.array([1]), np.array([1]), zero=2.0, **ALONE) == [0.0]
    assert confirm(np.array([9]), np.array([1]), zero=-np.inf, **(ALONE | {"loss": np.array([np.inf])})) == [1.0]


def test_other_instances_change_the_odds() -> None:
    n, starts = 20, np.full(20, 6)
    loss, one, tail = np.linspace(0.9, 1.1, n), np.ones(n, dtype=int), np.full(n, 0.5)
    never = confirm(starts, one, np.zeros(n, dtype=bool), np.zeros(0), loss, tail, -np.inf)
    often = confirm(starts, one, np.arange(n) < 10, np.zeros(0), loss, tail, -np.inf)
    assert (never < 0.05).all()
    assert (often > 3 * never).all()
    high = confirm(starts, one, np.ones(n, dtype=bool), np.full(50, 5.0), loss, tail, -np.inf)
    low = confirm(starts, one, np.ones(n, dtype=bool), np.full(50, 0.5), loss, tail, -np.inf)
    assert (high < 0.05).all()
    assert (low > 0.15).all()
    outlier = confirm(
        starts, one, np.ones(n, dtype=bool), np.full(50, 5.0), np.where(loss > 1.09, 6, loss), tail, -np.inf
    )
    assert outlier[-1] > 0.3


def test_the_tail_is_that_of_the_noise() -> None:
    generator = np.random.default_rng(0)
    solved = 0.01 * generator.chisquare(100, size=300)
    tail = noise_tail(np.concatenate([solved, [3.0] * 500]), residuals=100, at_guess=5.0)
    assert (tail[:300] < 0.01).mean() < 0.05
    assert np.corrcoef(np.argsort(np.argsort(-solved)), tail[:300])[0, 1] > 0.95
    assert (tail[300:] < 1e-12).all()
    assert (noise_tail(np.arange(7.0), 100, 5.0) == 1).all()
    assert (noise_tail(np.arange(1.0, 9.0), 0, 5.0) == [1, 0, 0, 0, 0, 0, 0, 0]).all()
    assert (noise_tail(np.zeros(9), 100, 0.0) >= 0).all()


def test_a_minimum_found_once_is_not_confirmed() -> None:
    none = Minima(np.zeros(0, dtype=int), np.zeros((0, 1)), np.zeros(0), np.zeros(0, dtype=int))
    known = Confirmation(np.array([9, 9, 1]), np.array([1, 2, 1]), np.array([0.01, 0.01, 0.0]), none)
    assert known.confirmed.tolist() == [False, True, True]
