"""The problems of Ren, Padilla and Malof (2020), each against a simulation by other means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from kerasjoint import ArgumentError
from kerasjoint.methods import LockstepLBFGS
from kerasjoint.problems import Ballistics, RoboticArm, SineWave

PROBLEMS = (SineWave, Ballistics, RoboticArm)


def test_the_wave_at_places_known_by_hand() -> None:
    point = np.array([[1 / 6, 0.0], [0.0, 1 / 3], [-1 / 6, 1 / 6], [1 / 3, 2 / 3]])
    np.testing.assert_allclose(SineWave().simulate(point)[:, 0], [2, -1, -1, 1], atol=1e-14)


def thrown(place: float, height: float, angle: float, speed: float) -> float:
    """Where a ball lands whose equation of motion is integrated until it meets the ground."""

    def motion(_: float, state: np.ndarray) -> list[float]:
        _, _, along, up = state
        return [along, up, -0.25 / 0.2 * along, -9.81 - 0.25 / 0.2 * up]

    def ground(_: float, state: np.ndarray) -> float:
        return state[1]

    ground.terminal, ground.direction = True, -1
    start = [place, height, speed * np.cos(angle), speed * np.sin(angle)]
    return solve_ivp(motion, (0, 100), start, method="DOP853", events=ground, rtol=1e-11, atol=1e-11).y[0, -1]


def test_the_ball_lands_where_an_integration_of_its_motion_says() -> None:
    problem = Ballistics()
    throws = problem.prior(40, seed=3)
    # The slowest, flattest and steepest throws are hardest for Newton's method.
    throws = np.vstack(
        [throws, [[0, 1.5, 0.16, 1.0], [0, 0.01, 0.16, 3.0], [0, 0.01, 1.25, 40.0], [0, 3.0, 1.25, 0.1]]]
    )
    expected = [thrown(*throw) for throw in throws]
    np.testing.assert_allclose(problem.simulate(throws)[:, 0], expected, atol=1e-8)


def test_the_arm_by_rotations() -> None:
    """Complex numbers turn: the angles are relative as the paper has them."""
    problem = RoboticArm()
    xi = problem.prior(20, seed=3)
    height, a, b, c = xi.T
    tip = 1j * height + 0.5 * np.exp(1j * a) + 0.5 * np.exp(1j * (b - a)) + np.exp(1j * (c - b - a))
    np.testing.assert_allclose(problem.simulate(xi), np.stack([tip.real, tip.imag], axis=1), atol=1e-14)
    np.testing.assert_allclose(problem.simulate(np.zeros((1, 4))), [[2, 0]], atol=1e-15)


@pytest.mark.parametrize("kind", PROBLEMS)
def test_other_unknowns_than_the_true_ones_reach_the_target(kind: type) -> None:
    problem_set = kind().sample(16, seed=0)
    solution = LockstepLBFGS().solve(problem_set)
    again = problem_set.problem.simulate(solution.xi)
    off = np.linalg.norm(again - problem_set.y, axis=1)
    np.testing.assert_array_equal(solution.solved, off <= 1e-3)
    assert solution.solved.mean() > 0.8
    assert (np.abs(solution.xi - problem_set.truth).max(axis=1) > 0.05).mean() > 0.8


def test_the_priors_are_those_of_the_benchmark() -> None:
    throws, poses = Ballistics().prior(4000, seed=1), RoboticArm().prior(4000, seed=1)
    np.testing.assert_allclose(throws.mean(axis=0), [0, 1.5, np.radians(40.5), 15], atol=0.2)
    np.testing.assert_allclose(throws.std(axis=0), [0.25, 0.25, np.radians(63) / 12**0.5, 15**0.5], rtol=0.05)
    np.testing.assert_array_equal(throws[:, 3], np.round(throws[:, 3]))
    np.testing.assert_allclose(poses.std(axis=0), [0.25, 0.5, 0.5, 0.5], rtol=0.05)


@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.nan, "small"])
def test_unusable_tolerances_are_refused(kind: type, tolerance: object) -> None:
    with pytest.raises(ArgumentError, match="tolerance: expected a positive number"):
        kind(tolerance=tolerance)


def test_pictures_end_where_the_observation_is() -> None:
    throws, arms = Ballistics().sample(5, seed=0), RoboticArm().sample(5, seed=0)
    for throw, landing, arm, tip in zip(throws.truth, throws.y, arms.truth, arms.y, strict=True):
        path, joints = Ballistics().picture(throw)["path"], RoboticArm().picture(arm)["joints"]
        np.testing.assert_allclose(path[0], throw[:2])
        step = np.linalg.norm(path[-1] - path[-2])
        assert np.linalg.norm(path[-1] - [landing[0], 0]) <= step
        np.testing.assert_allclose(joints[-1], tip)
        np.testing.assert_allclose(np.linalg.norm(np.diff(joints, axis=0), axis=1), [0.5, 0.5, 1])
    surface = SineWave().picture(np.zeros(2))["surface"]
    assert surface.shape == (121, 121)
    point = np.array([[np.linspace(-1, 1, 121)[100], np.linspace(-1, 1, 121)[20]]])
    np.testing.assert_allclose(surface[20, 100], SineWave().simulate(point)[0, 0])
