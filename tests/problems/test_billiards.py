from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import central_difference

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.evaluator import Data
from kerasjoint.problems import Billiards
from kerasjoint.tensor_problem_set import TensorProblemSet

HEAD_ON = [0.5, 0.07]
SHOTS = np.array([HEAD_ON, [0.8, 0.0], [0.0, 0.0], [0.1, 0.02], [0.6, 0.5], [1.1, -0.4], [-0.5, -0.07]])
HITS = np.array([True, True, False, False, False, False, False])


def rolled(
    problem: Billiards, v0: np.ndarray, x: dict[str, np.ndarray], dt: float = 2e-4
) -> tuple[np.ndarray, np.ndarray]:
    """Both balls in small steps of time until they rest: where the second ones lie, and how often they collided.

    Axes are instance, ball, coordinate. In the step that makes them overlap, they go back to where they touched.
    """
    position = np.stack([x["cue"], x["ball"]], axis=1)
    velocity = np.stack([v0, np.zeros_like(v0)], axis=1)
    collisions = np.zeros(len(v0), dtype=int)
    while np.any(velocity):
        speed = np.linalg.norm(velocity, axis=2, keepdims=True)
        slower = np.maximum(speed - problem.friction * dt, 0)
        before, velocity = velocity, velocity * np.divide(slower, speed, out=np.zeros_like(speed), where=speed > 0)
        position = position + dt * (before + velocity) / 2
        apart, relative = position[:, 1] - position[:, 0], velocity[:, 1] - velocity[:, 0]
        overlapping = np.linalg.norm(apart, axis=1) < 2 * problem.radius
        for i in np.flatnonzero(overlapping & (np.sum(apart * relative, axis=1) < 0)):
            a, b = relative[i] @ relative[i], apart[i] @ relative[i]
            back = (b + np.sqrt(b**2 - a * (apart[i] @ apart[i] - 4 * problem.radius**2))) / a
            normal = (apart[i] - back * relative[i]) / (2 * problem.radius)
            push = -(1 + problem.elasticity) / 2 * (relative[i] @ normal) * normal
            position[i] += back * np.array([-push, push])
            velocity[i] += [-push, push]
            collisions[i] += 1
    return position[:, 1], collisions


def shots(problem: Billiards, n: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Some that hit in many ways, beside some that do not."""
    problem_set = problem.sample(n, seed=7)
    return problem_set.truth * np.linspace(0.3, 1.1, n)[:, None], problem_set.x


@pytest.mark.parametrize(
    "constants", [{}, {"elasticity": 1.0, "friction": 0.3}, {"elasticity": 0.5, "radius": 0.05}], ids=str
)
def test_against_a_simulation_in_small_steps(constants: dict[str, float]) -> None:
    problem = Billiards(**constants)
    v0, x = shots(problem, 12)
    rest = problem.simulate(v0, x)
    expected, collisions = rolled(problem, v0, x)
    np.testing.assert_allclose(rest, expected, atol=1e-4)
    np.testing.assert_array_equal(collisions, np.any(rest != x["ball"], axis=1))
    assert 6 <= collisions.sum() < 12


def test_the_simulation_in_small_steps_converges_to_the_closed_form() -> None:
    problem = Billiards()
    v0, x = shots(problem, 8)
    rest = problem.simulate(v0, x)
    errors = [np.abs(rolled(problem, v0, x, dt)[0] - rest).max() for dt in (1e-2, 1e-3)]
    assert errors[1] < 0.2 * errors[0] < 1e-3


def test_misses_leave_the_ball_and_have_no_gradient() -> None:
    problem, n = Billiards(), len(SHOTS)
    x = {"cue": np.tile([0.1, 0.5], (n, 1)), "ball": np.tile([0.45, 0.55], (n, 1))}
    problem_set = ProblemSet(problem, x, np.tile([0.9, 0.75], (n, 1)))
    np.testing.assert_array_equal(rolled(problem, SHOTS, x, dt=1e-3)[1], HITS)
    value, gradient = problem_set.value_and_gradient(SHOTS)
    np.testing.assert_array_equal(gradient.any(axis=1), HITS)
    np.testing.assert_array_equal(problem.simulate(SHOTS, x)[~HITS], x["ball"][~HITS])
    np.testing.assert_allclose(value[~HITS], 0.45**2 + 0.2**2, rtol=1e-14)


def test_gradients_of_hits_agree_with_finite_differences() -> None:
    problem_set = Billiards().sample(16, seed=2)
    xi = problem_set.truth * 1.05 + 0.002
    value, gradient = problem_set.value_and_gradient(xi)
    assert gradient.any(axis=1).all()
    np.testing.assert_allclose(value, problem_set.objective(xi), rtol=1e-12)
    np.testing.assert_allclose(gradient, central_difference(problem_set.objective, xi, 1e-6), rtol=2e-5, atol=1e-7)


def test_gradients_stay_finite_at_the_edge_of_a_hit() -> None:
    """From far inside to just past grazing, in single precision too."""
    problem = Billiards()
    angles = np.linspace(0, 0.3, 400)
    v0 = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    x = {"cue": np.zeros((400, 2)), "ball": np.tile([0.3, 0.0], (400, 1))}
    problem_set = ProblemSet(problem, x, np.tile([0.9, 0.0], (400, 1)))
    grazing = np.sin(angles) * 0.3 < 2 * problem.radius
    for dtype in (tf.float64, tf.float32):
        tensors = TensorProblemSet.of(problem_set, dtype)
        velocity, data = v0.astype(dtype.as_numpy_dtype), Data(tensors.x, tensors.y)
        value, gradient = problem_set.evaluator.value_and_gradient(velocity, data, np.arange(400))
        assert value.dtype == gradient.dtype == dtype.as_numpy_dtype
        assert np.isfinite(value).all()
        np.testing.assert_array_equal(np.any(gradient, axis=1), grazing)


def test_an_exactly_grazing_shot_has_no_gradient() -> None:
    problem = Billiards()
    x = {"cue": np.zeros((1, 2)), "ball": np.array([[0.3, 2 * problem.radius]])}
    value, gradient = ProblemSet(problem, x, np.zeros((1, 2))).value_and_gradient([[1.0, 0.0]])
    assert value[0] == pytest.approx(0.09 + 4 * problem.radius**2)
    assert not gradient.any()


def test_the_truth_sinks_the_ball_on_the_target() -> None:
    problem_set = Billiards().sample(256, seed=0)
    loss = problem_set.objective(problem_set.truth)
    assert loss.max() < 1e-20
    assert problem_set.problem.solved(loss, problem_set.truth, problem_set).all()
    problem_set.problem.space.check_inside(problem_set.truth, "truth")
    np.testing.assert_array_equal(problem_set.y, np.tile([0.9, 0.75], (256, 1)))
    distance = np.array([0.9e-3, 1.1e-3])
    assert problem_set.problem.solved(distance**2, problem_set.truth[:2], problem_set[:2]).tolist() == [True, False]


def test_the_guess_hits_about_half_of_the_balls() -> None:
    problem_set = Billiards().sample(256, seed=0)
    gradient = problem_set.value_and_gradient(problem_set.guess)[1]
    assert gradient.any(axis=1).mean() == pytest.approx(0.48, abs=0.005)


def test_training_shots_reproduce_their_observation(billiards: ProblemSet) -> None:
    examples = billiards.problem.sample_training(256, seed=1)
    assert examples.objective(examples.truth).max() < 1e-25
    low, high = examples.truth.min(axis=0), examples.truth.max(axis=0)
    np.testing.assert_allclose([low, high], [[0, -1], [1.2, 1]], atol=0.05)
    hit = np.any(examples.y != examples.x["ball"], axis=1)
    assert 0.02 < hit.mean() < 0.5


def test_training_shots_can_be_hits_alone() -> None:
    problem = Billiards(hits_only=True)
    examples = problem.sample_training(64, seed=1)
    assert np.any(examples.y != examples.x["ball"], axis=1).all()
    assert examples.objective(examples.truth).max() < 1e-25
    np.testing.assert_array_equal(examples.truth, problem.sample_training(64, seed=1).truth)
    other = Billiards().sample_training(64, seed=1)
    np.testing.assert_array_equal(examples.x["ball"], other.x["ball"])


@pytest.mark.parametrize("draw", ["sample", "sample_training"])
def test_a_seed_fixes_every_bit(draw: str) -> None:
    first, again, other = (getattr(Billiards(), draw)(4, seed) for seed in (0, 0, 1))
    for name in ("cue", "ball"):
        np.testing.assert_array_equal(first.x[name], again.x[name])
        assert not np.isin(first.x[name], other.x[name]).any()
    np.testing.assert_array_equal(first.truth, again.truth)
    np.testing.assert_array_equal(first.y, again.y)


def test_single_precision_agrees(billiards: ProblemSet) -> None:
    got = billiards.problem.simulate(billiards.truth, billiards.x, dtype="float32")
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, billiards.y, atol=1e-4)


def test_shots_that_never_arrive_are_not_drawn_for_ever() -> None:
    with pytest.raises(ArgumentError, match="friction: expected one at which shots arrive"):
        Billiards(friction=10.0, hits_only=True).sample_training(4, seed=0)


@pytest.mark.parametrize(
    "arguments",
    [{"radius": 0.0}, {"radius": 0.06}, {"friction": -0.1}, {"elasticity": 0.0}, {"elasticity": 1.1}],
    ids=str,
)
def test_unusable_arguments_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ArgumentError) as caught:
        Billiards(**arguments)
    assert caught.value.argument == next(iter(arguments))
