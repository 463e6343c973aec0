from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.special import gammaln

from kerasjoint.confirmation import (
    Confirmation,
    Minima,
    Others,
    confirm,
    missed_by,
    noise_tail,
    odds_of,
    several_share,
    too_sure,
)

N = 20
NO_LIMIT = np.full(N, -np.inf)


@pytest.mark.parametrize(("starts", "minima"), [(5, 1), (9, 2), (30, 4), (200, 15)])
def test_the_closed_form_is_the_posterior_of_boender_and_rinnooy_kan(starts: int, minima: int) -> None:
    """With k minima, and a uniform prior of k and of basins, P(k | seen) ~ k! (k-1)! / ((k-w)! (N+k-1)!)."""
    k = np.arange(minima, 2_000_000, dtype=np.float64)
    log = gammaln(k + 1) + gammaln(k) - gammaln(k - minima + 1) - gammaln(starts + k)
    weight = np.exp(log - log.max())
    expected = 1 - minima * (weight / k).sum() / weight.sum()
    found = missed_by(np.array([starts]), np.array([minima]))
    assert found == pytest.approx([expected], rel=1e-5)
    odds, alone = odds_of(found), Others(np.zeros(0), np.array([False]), np.ones(1))
    assert confirm(odds, np.ones(1), np.array([-np.inf]), alone) == pytest.approx([expected], rel=1e-5)


def test_too_few_starts_say_nothing_and_zero_says_all() -> None:
    assert missed_by(np.array([2]), np.array([1])) == [1.0]
    alone, one = Others(np.zeros(0), np.array([False]), np.ones(1)), np.ones(1)
    assert confirm(one / 8, one, 2 * one, alone) == [0.0]
    assert confirm(one / 8, one, np.array([-np.inf]), alone) == pytest.approx([1 / 9])
    assert confirm(one / 8, np.array([np.inf]), np.array([-np.inf]), alone) == [1.0]
    assert confirm(np.array([np.inf]), one, np.array([-np.inf]), alone) == [1.0]


def test_agreement_counts_less_where_half_of_the_descents_agreed_in_what_is_not_the_best() -> None:
    hits = np.array([[5, 1, 0], [2, 3, 1], [6, 0, 0]])
    best = np.array([[False, True, False], [True, False, False], [True, False, False]])
    wrong, expected = 0.0, 0.0
    for row, right in zip(hits, best, strict=True):
        ends = np.repeat(np.arange(3), row)
        halves = [ends[list(chosen)] for chosen in combinations(range(6), 3)]
        agree = [half[0] for half in halves if len(set(half)) == 1]
        wrong += sum(not right[end] for end in agree) / len(halves)
        # Three starts that agree have missed a better minimum with probability 1/2.
        expected += len(agree) / len(halves) / 2
    assert too_sure(hits, best) == pytest.approx((wrong + 0.5) / (expected + 0.5))
    # Nothing is known of those that had three descents.
    assert too_sure(np.array([[3, 0]]), np.array([[False, True]])) == 1
    assert too_sure(np.tile([[8, 0]], (60, 1)), np.tile([[True, False]], (60, 1))) < 0.05
    assert too_sure(np.tile([[7, 1]], (60, 1)), np.tile([[False, True]], (60, 1))) > 1.4


def test_the_share_with_several_minima_is_that_of_the_instances_tried() -> None:
    several, tried = np.arange(20) < 9, np.arange(20) >= 5
    assert several_share(several, tried) == pytest.approx((4 + 1) / (15 + 2))
    assert several_share(several, np.zeros(20, dtype=bool)) == 0.5
    assert several_share(np.ones(7, dtype=bool), np.ones(7, dtype=bool)) == 0.5


def test_the_losses_of_other_instances_change_the_odds() -> None:
    loss, own, tail = np.linspace(0.9, 1.1, N), np.full(N, 0.3), np.full(N, 0.5)
    clear = np.zeros(N, dtype=bool)
    high = confirm(own, loss, NO_LIMIT, Others(np.full(50, 5.0), clear, tail))
    low = confirm(own, loss, NO_LIMIT, Others(np.full(50, 0.5), clear, tail))
    assert (high < 0.05).all()
    assert (low > 0.15).all()
    away = np.where(loss > 1.09, 6.0, loss)
    outlier = confirm(own, away, NO_LIMIT, Others(np.full(50, 5.0), clear, np.where(loss > 1.09, 1e-9, 0.5)))
    assert outlier[-1] > 0.3


def test_what_is_clear_at_a_high_loss_lets_others_be_right_there_unless_wrong_minima_are_there_too() -> None:
    loss = np.where(np.arange(N) < 10, 1.0, 5.0)
    tail, own = np.where(loss > 2, 1e-12, 0.5), np.full(N, 0.1)
    clear = np.arange(N) != N - 1
    far = confirm(own, loss, NO_LIMIT, Others(np.full(50, 50.0), clear, tail))
    here = confirm(own, loss, NO_LIMIT, Others(np.full(50, 4.9), clear, tail))
    nothing_clear = confirm(own, loss, NO_LIMIT, Others(np.full(50, 50.0), np.zeros(N, dtype=bool), tail))
    assert 3 * far[-1] < nothing_clear[-1]
    assert here[-1] > 0.1


def test_the_tail_is_that_of_the_noise() -> None:
    generator = np.random.default_rng(0)
    count, none = np.full(800, 100), np.zeros(800)
    solved = 1e-4 * generator.chisquare(100, size=300)
    tail = noise_tail(np.concatenate([solved, [0.03] * 500]), count, none)
    assert (tail[:300] < 0.01).mean() < 0.05
    assert np.corrcoef(np.argsort(np.argsort(-solved)), tail[:300])[0, 1] > 0.95
    assert (tail[300:] < 1e-12).all()
    # Fewer residuals scatter more.
    fewer = np.where(np.arange(800) == 0, 4, 100)
    level = np.concatenate([[0.03], 1e-2 * generator.chisquare(100, size=799) / 100])
    assert noise_tail(level, fewer, none)[0] > 1e6 * noise_tail(level, count, none)[0]
    assert (noise_tail(np.arange(7.0), count[:7], none[:7]) == 1).all()
    assert (noise_tail(np.arange(1.0, 9.0), np.zeros(8, int), none[:8]) == [1, 0, 0, 0, 0, 0, 0, 0]).all()
    assert (noise_tail(np.zeros(9), count[:9], none[:9]) >= 0).all()
    assert (noise_tail(np.geomspace(1e-30, 1e-12, 9), count[:9], np.full(9, 1e-9)) == 1).all()
    assert (noise_tail(np.zeros(9), count[:9], np.geomspace(1e-9, 1e-3, 9)) == 1).all()


def test_a_minimum_found_once_is_not_confirmed() -> None:
    none = Minima(np.zeros(0, dtype=int), np.zeros((0, 1)), np.zeros(0), np.zeros(0, dtype=int))
    known = Confirmation(np.array([9, 9, 1]), np.array([1, 2, 1]), np.array([0.01, 0.01, 0.0]), none)
    assert known.confirmed.tolist() == [False, True, True]
