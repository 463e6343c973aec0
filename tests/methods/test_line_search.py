from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kerasjoint.methods.line_search import CURVATURE, EVALUATIONS, SUFFICIENT_DECREASE, LineSearch

Function = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def run(function: Function, most: int = 100) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Search until every instance ended; return its best step, whether it decreased, and its evaluations."""
    loss, slope = function(np.zeros(0))
    search, rows = LineSearch(loss, slope), np.arange(len(loss))
    best, decreased, count = np.zeros(len(loss)), np.zeros(len(loss), bool), np.zeros(len(loss), int)
    for _ in range(most):
        step = np.full(len(loss), np.nan)
        step[rows] = search.step
        value, slope = (part[rows] for part in function(step))
        count[rows] += 1
        improved, ended = search.advance(value, slope)
        best[rows[improved]] = step[rows[improved]]
        decreased[rows] = search.decreased
        search.keep(~ended)
        rows = rows[~ended]
        if not rows.size:
            return best, decreased, count
    raise AssertionError("a search never ended")


def ripples(seed: int, n: int) -> Function:
    """Functions with several minima, of scales from 1e-3 to 1e3 along the line, that fall at the start."""
    generator = np.random.default_rng(seed)
    scale = 10.0 ** generator.uniform(-3, 3, n)
    depth, pace, phase = generator.uniform(0, 1, n), generator.uniform(1, 8, n), generator.uniform(0.5, 2.5, n)

    def function(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        s = scale * (step if step.size else np.zeros(n))
        loss = (s - 2) ** 2 + depth * np.cos(pace * s + phase)
        return loss, scale * (2 * (s - 2) - depth * pace * np.sin(pace * s + phase))

    return function


def test_where_it_ends_the_strong_wolfe_conditions_hold() -> None:
    function = ripples(seed=0, n=400)
    loss, slope = function(np.zeros(0))
    assert (slope < 0).mean() > 0.9
    step, decreased, count = run(function)
    new_loss, new_slope = function(step)
    falls = slope < 0
    assert decreased[falls].all()
    assert (new_loss <= loss + SUFFICIENT_DECREASE * step * slope)[falls].all()
    assert (np.abs(new_slope) <= -CURVATURE * slope)[falls].mean() > 0.99
    assert count[falls].mean() < 5


def test_no_instance_notices_the_others() -> None:
    whole = run(ripples(seed=1, n=50))
    order = np.random.default_rng(2).permutation(50)
    function = ripples(seed=1, n=50)

    def shuffled(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        back = np.empty(50)
        back[order] = step if step.size else 0.0
        loss, slope = function(back)
        return loss[order], slope[order]

    for one, other in zip(run(shuffled), whole, strict=True):
        np.testing.assert_array_equal(one, other[order])


@pytest.mark.parametrize("minimum", [1e-3, 0.2, 1.0, 7.0, 500.0])
def test_a_parabola_is_found_from_any_distance(minimum: float) -> None:
    def parabola(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        s = step if step.size else np.zeros(1)
        return (s - minimum) ** 2, 2 * (s - minimum)

    step, decreased, count = run(parabola)
    assert decreased.all()
    assert abs(step[0] - minimum) <= CURVATURE * minimum
    assert count[0] <= 8


def test_it_stays_before_a_wall() -> None:
    def wall(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        s = step if step.size else np.zeros(3)
        beyond = s > np.array([0.3, 1e-3, 0.9])
        return np.where(beyond, np.inf, -s), np.where(beyond, 0.0, -1.0)

    step, decreased, count = run(wall)
    assert decreased.all()
    assert (step < [0.3, 1e-3, 0.9]).all()
    assert (count <= EVALUATIONS).all()


def test_a_loss_without_a_minimum_is_followed_until_the_evaluations_are_used_up() -> None:
    step, decreased, count = run(lambda t: (-(t if t.size else np.zeros(1)), -np.ones(1)))
    assert decreased.all()
    assert step[0] > 1e6
    assert count[0] == EVALUATIONS


def test_a_wrong_slope_leads_nowhere() -> None:
    """The loss rises although the slope says it falls."""
    step, _, count = run(lambda t: ((t if t.size else np.zeros(1)) + 1, -np.ones(1)))
    assert step[0] < 1e-11
    assert count[0] <= EVALUATIONS


def test_slopes_decide_where_losses_differ_by_rounding_alone() -> None:
    def level(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        s = step if step.size else np.zeros(1)
        return 1e6 + 1e-9 * (s - 5) ** 2, 2e-9 * (s - 5)

    step, decreased, count = run(level)
    assert decreased.all()
    assert abs(step[0] - 5) < CURVATURE * 5
    assert count[0] <= 4
