from __future__ import annotations

import numpy as np
import pytest

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.methods import LockstepLBFGS
from kerasjoint.problems import CarbonDioxide
from kerasjoint.problems.carbon_dioxide.problem import record


@pytest.fixture(scope="module")
def problem_set() -> ProblemSet:
    return CarbonDioxide().sample(8, seed=0)


def fitted(problem_set: ProblemSet, frequencies: tuple[float, float, float]) -> np.ndarray:
    """All other unknowns by linear least squares, (n, 12)."""
    rows = []
    for time, y in zip(problem_set.x["time"], problem_set.y, strict=True):
        angle = 2 * np.pi * np.multiply.outer(time, frequencies)
        design = np.hstack([np.cos(angle), np.sin(angle), np.stack([time**0, time, time**2], axis=1)])
        rows.append([*frequencies, *np.linalg.lstsq(design, y, rcond=None)[0]])
    return np.array(rows)


def test_the_record_is_what_was_measured() -> None:
    time, values = record()
    assert len(time) == len(values) == 2225
    assert (np.diff(time) > 0.018).all()
    # March 1958 and the end of 2001, in years since 1958.
    assert time[[0, -1]] == pytest.approx([0.24, 44.0], abs=0.01)
    assert values[[0, -1]].tolist() == [316.1, 371.5]


def test_windows_are_of_the_record_and_hide_a_quarter_of_it(problem_set: ProblemSet) -> None:
    time, values = record()
    assert problem_set.truth is None
    for first, at, y in zip(problem_set.x["first"].astype(int), problem_set.x["time"], problem_set.y, strict=True):
        weeks = time[first : first + 300]
        absolute = at + (weeks[0] + weeks[-1]) / 2
        place = np.searchsorted(time, absolute - 1e-6)
        assert len(np.unique(place)) == 225
        assert place.min() >= first
        assert place.max() < first + 300
        np.testing.assert_allclose(y, values[place] - values[place].mean(), atol=1e-9)
    assert 5.6 < np.ptp(problem_set.x["time"], axis=1).min() < 7


def test_the_simulation_of_numbers_known_by_hand() -> None:
    xi = np.array([[0.5, 1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.25, 1.5, 0.1]])
    got = CarbonDioxide().simulate(xi, {"time": [[0.0, 0.5, 1.0]], "first": [0.0]})
    # Cosines and sines at quarter turns.
    expected = [1 + 2 + 3 + 0.25, 4 - 2 + 3 + 0.25 + 0.75 + 0.025, -1 + 2 + 3 + 0.25 + 1.5 + 0.1]
    np.testing.assert_allclose(got[0], expected, atol=1e-12)


def test_solved_is_a_prediction_of_the_weeks_held_out(problem_set: ProblemSet) -> None:
    problem, (time, values) = problem_set.problem, record()
    xi = fitted(problem_set, (0.3, 1.0, 2.0))
    errors = problem.prediction_error(xi, problem_set)
    first, seen = int(problem_set.x["first"][0]), problem_set.x["time"][0]
    window = np.arange(first, first + 300)
    since = time[window] - (time[window[0]] + time[window[-1]]) / 2
    held = np.array([np.abs(seen - one).min() > 1e-6 for one in since])
    assert held.sum() == 75
    predicted = problem.simulate(xi[:1], {"time": since[None, held], "first": [0.0]})[0] + values[window[~held]].mean()
    assert errors[0] == pytest.approx(np.sqrt(np.mean((predicted - values[window[held]]) ** 2)), rel=1e-9)
    loss = problem_set.objective(xi)
    np.testing.assert_array_equal(problem_set.solved(loss, xi), errors <= 0.55)
    assert not problem_set.solved(np.full(8, np.inf), xi).any()


def test_it_takes_the_first_and_the_second_harmonic_of_the_season() -> None:
    problem_set = CarbonDioxide().sample(40, seed=1)
    both, one = (fitted(problem_set, frequencies) for frequencies in ((0.3, 1.0, 2.0), (0.3, 1.0, 0.6)))
    loss = np.zeros(40)
    assert problem_set.solved(loss, both).mean() > 0.85
    assert problem_set.solved(loss, one).mean() < 0.1


def test_training_examples_are_simulated_with_noise() -> None:
    problem = CarbonDioxide()
    examples = problem.sample_training(64, seed=2)
    assert examples.truth is not None
    noise = examples.y - problem.simulate(examples.truth, examples.x)
    assert noise.std() == pytest.approx(0.4, rel=0.03)
    assert {name: array.shape[1:] for name, array in examples.x.items()} == {"time": (225,), "first": ()}


def test_descents_from_the_right_frequencies_succeed_where_those_from_the_guess_fail(problem_set: ProblemSet) -> None:
    near = fitted(problem_set, (0.35, 1.05, 1.95))
    start = problem_set.space.to_z(near, problem_set.guess)
    right = fitted(problem_set, (0.3, 1.0, 2.0))
    reachable = problem_set.problem.prediction_error(right, problem_set) < 0.5
    assert reachable.mean() > 0.5
    near, far = LockstepLBFGS().solve(problem_set, start=start), LockstepLBFGS().solve(problem_set)
    assert near.solved[reachable].all()
    assert far.solved.mean() <= 0.5


@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.nan, None])
def test_unusable_tolerances_are_refused(tolerance: object) -> None:
    with pytest.raises(ArgumentError, match="tolerance: expected a positive number"):
        CarbonDioxide(tolerance=tolerance)
