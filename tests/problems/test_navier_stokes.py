from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import lsqr

from kerasjoint.errors import ArgumentError
from kerasjoint.evaluator import Data
from kerasjoint.problem_set import ProblemSet
from kerasjoint.problems.navier_stokes import Box, NavierStokes
from kerasjoint.problems.navier_stokes.grid import Grid
from kerasjoint.problems.navier_stokes.pressure import Projection, divergence
from kerasjoint.tensor_problem_set import TensorProblemSet

OBSTACLE_SETS = {
    "none": (),
    "one": (Box(30.0, 50.0, 30.0, 50.0),),
    "several, two overlapping": (Box(10, 30, 20, 40), Box(25, 45, 30, 60), Box(60, 80, 50, 75)),
    "touching walls": (Box(0, 25, 40, 60), Box(60, 75, 0, 30), Box(80, 100, 85, 100)),
}


@pytest.fixture(scope="module")
def problem() -> NavierStokes:
    return NavierStokes(cells=16, dt=4.0, end=24.0)


@pytest.fixture(scope="module")
def problem_set(problem: NavierStokes) -> ProblemSet:
    return problem.sample(5, seed=7)


@pytest.mark.parametrize("obstacles", OBSTACLE_SETS.values(), ids=OBSTACLE_SETS.keys())
def test_direct_projection_agrees_with_a_sparse_least_squares_solve(obstacles: tuple[Box, ...]) -> None:
    grid = Grid(16, obstacles)
    field = _noise(grid.cells, instances=2)
    projected = Projection(grid)(field)
    for instance in range(2):
        u, v = (part[instance].numpy() for part in field)
        expected_u, expected_v = _sparse_projection(grid, u, v)
        np.testing.assert_allclose(projected[0][instance], expected_u, atol=1e-9)
        np.testing.assert_allclose(projected[1][instance], expected_v, atol=1e-9)


@pytest.mark.parametrize("obstacles", OBSTACLE_SETS.values(), ids=OBSTACLE_SETS.keys())
@pytest.mark.parametrize(("dtype", "bound"), [(tf.float64, 1e-13), (tf.float32, 1e-5)], ids=["float64", "float32"])
def test_projected_flow_has_no_divergence(obstacles: tuple[Box, ...], dtype: tf.DType, bound: float) -> None:
    grid = Grid(64, obstacles)
    u, v = Projection(grid)(_noise(64, dtype=dtype))
    left = np.abs(divergence(u, v).numpy())
    assert left.max() < bound * np.abs(u).max()


def test_nothing_flows_through_walls_and_obstacles(problem: NavierStokes) -> None:
    field = problem.flow.projection(_noise(16))
    for _ in range(5):
        field, _ = problem.flow.step(field)
    u, v = (part.numpy() for part in field)
    assert problem.grid.solid.any()
    assert not u[:, ~problem.grid.open_u].any()
    assert not v[:, ~problem.grid.open_v].any()
    assert np.abs(divergence(*field)).max() < 1e-12


@pytest.mark.parametrize("viscosity", [0.0, 1.0])
def test_energy_never_grows_without_a_force(viscosity: float) -> None:
    flow = NavierStokes(cells=16, viscosity=viscosity).flow
    field = flow.projection(_noise(16))
    energies = [_energy(field)]
    for _ in range(20):
        field, _ = flow.step(field)
        energies.append(_energy(field))
    assert np.all(np.diff(energies) <= 0)


def test_taylor_green_vortex_decays_at_first_order() -> None:
    errors = [taylor_green_error(cells, dt) for cells, dt in ((16, 4.0), (32, 2.0), (64, 1.0))]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(orders > 0.95)
    assert errors[-1] < 0.006


def test_viscous_decay_is_second_order_in_the_grid() -> None:
    errors = [
        taylor_green_error(cells, dt, speed=1e-9, viscosity=1.0) for cells, dt in ((8, 8.0), (16, 2.0), (32, 0.5))
    ]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    np.testing.assert_allclose(orders, 2, atol=0.15)


def test_gradient_matches_finite_differences(problem_set: ProblemSet) -> None:
    xi = problem_set.truth + np.array([3.0, 0.3, -0.4])
    _, gradient = problem_set.value_and_gradient(xi)
    step = 1e-6
    for component, direction in enumerate(np.eye(3)):
        there, back = (problem_set.objective(xi + sign * step * direction) for sign in (1, -1))
        np.testing.assert_allclose(gradient[:, component], (there - back) / (2 * step), rtol=1e-5, atol=1e-6)


@pytest.mark.long
def test_gradient_holds_where_paths_end_at_walls() -> None:
    problem = NavierStokes(cells=16, dt=8.0, end=24.0, obstacles=())
    problem_set = problem.sample(2, seed=0)
    xi = np.array([[11.0, -2.9, 7.5], [88.0, 2.9, 0.5]])
    _, gradient = problem_set.value_and_gradient(xi)
    step = 1e-6 * np.eye(3)
    numeric = [(problem_set.objective(xi + d) - problem_set.objective(xi - d)) / 2e-6 for d in step]
    np.testing.assert_allclose(gradient, np.stack(numeric, axis=1), rtol=1e-4, atol=1e-6)


def test_the_loss_is_half_the_squared_error_of_forward(problem: NavierStokes, problem_set: ProblemSet) -> None:
    prediction = problem.simulate(problem_set.truth, problem_set.x)
    assert prediction.shape == problem_set.y.shape == problem_set.x["initial"].shape == (5, 8, 16, 2)
    expected = 0.5 * np.sum((prediction - problem_set.y) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(problem_set.objective(problem_set.truth), expected, rtol=1e-12)
    assert np.all(expected > 1e-3), "the lower half is unknown to forward, so the truth must not fit exactly"


def test_forward_only_lacks_the_lower_half(problem: NavierStokes, problem_set: ProblemSet) -> None:
    silent = np.concatenate([np.zeros_like(problem_set.x["initial"]), problem_set.x["initial"]], axis=1)
    truth = problem.space.unflatten(problem_set.truth)
    expected = problem.simulate(truth, {"initial": silent})
    np.testing.assert_allclose(problem.simulate(truth, problem_set.x), expected, atol=1e-12)


def test_permuting_instances_permutes_results(problem_set: ProblemSet) -> None:
    order = np.array([3, 0, 4, 2, 1])
    value, gradient = problem_set.value_and_gradient(problem_set.guess)
    other_value, other_gradient = problem_set[order].value_and_gradient(problem_set.guess[order])
    np.testing.assert_allclose(other_value, value[order], rtol=1e-12)
    np.testing.assert_allclose(other_gradient, gradient[order], rtol=1e-9)


def test_a_broken_instance_harms_no_other(problem_set: ProblemSet) -> None:
    value, gradient = problem_set.value_and_gradient(problem_set.guess)
    for wrong in (np.nan, np.inf, 1e300):
        xi = problem_set.guess.copy()
        xi[2, 2] = wrong
        broken_value, broken_gradient = problem_set.value_and_gradient(xi)
        others = [0, 1, 3, 4]
        assert np.isinf(broken_value[2])
        assert not broken_gradient[2].any()
        np.testing.assert_array_equal(broken_value[others], value[others])
        np.testing.assert_array_equal(broken_gradient[others], gradient[others])


@pytest.mark.long
def test_float32_follows_float64(problem: NavierStokes, problem_set: ProblemSet) -> None:
    single = TensorProblemSet.of(problem_set)
    xi, data = problem_set.truth.astype(np.float32), Data(single.x, single.y)
    value, gradient = problem_set.evaluator.value_and_gradient(xi, data, np.arange(len(xi)))
    assert value.dtype == gradient.dtype == np.float32
    np.testing.assert_allclose(value, problem_set.objective(problem_set.truth), rtol=1e-4)


def test_same_seed_same_bits(problem: NavierStokes, problem_set: ProblemSet) -> None:
    again, other = problem.sample(5, seed=7), problem.sample(5, seed=8)
    for name in ("y", "truth"):
        np.testing.assert_array_equal(getattr(again, name), getattr(problem_set, name))
        assert np.any(getattr(other, name) != getattr(problem_set, name))
    np.testing.assert_array_equal(again.x["initial"], problem_set.x["initial"])


def test_random_field_has_the_stated_speed_and_no_divergence() -> None:
    problem = NavierStokes(cells=32, obstacles=())
    field = problem._random_field(64, np.random.default_rng(0))
    np.testing.assert_allclose(np.sqrt(np.mean(field**2, axis=(0, 1, 2))), 0.1, rtol=0.1)
    assert np.abs(divergence(tf.constant(field[..., 0]), tf.constant(field[..., 1]))).max() < 1e-13


def test_truth_is_solved_and_the_guess_is_not(problem: NavierStokes, problem_set: ProblemSet) -> None:
    at_truth, at_guess = problem_set.objective(problem_set.truth), problem_set.objective(problem_set.guess)
    assert problem.solved(at_truth, problem_set.truth, problem_set).all()
    assert not problem.solved(at_guess, problem_set.guess, problem_set).all()


def test_light_twin_samples_and_evaluates() -> None:
    problem_set = NavierStokes.light().sample(2, seed=0)
    assert problem_set.y.shape == (2, 16, 32, 2)
    assert np.isfinite(problem_set.objective(problem_set.guess)).all()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"cells": 15}, "even whole number"),
        ({"cells": 64.0}, "even whole number"),
        ({"dt": 0.0}, "positive"),
        ({"dt": float("nan")}, "positive"),
        ({"end": 57.0}, "multiple of dt"),
        ({"end": 1e-12}, "multiple of dt"),
        ({"viscosity": -0.1}, "not below 0"),
        ({"viscosity": 1.0}, "at most 0.6104, where explicit viscosity 1.0 is stable"),
        ({"obstacles": [Box(90, 110, 20, 30)]}, r"obstacles\[0\].*inside the domain"),
        ({"obstacles": [Box(0, 100, 0, 100)]}, "cover it"),
        ({"obstacles": [Box(0, 100, 40, 50)]}, "cut it into 2"),
        ({"obstacles": [Box(0, 50, 0, 50), Box(50, 100, 50, 100)]}, "cut it into 2"),
        ({"obstacles": [Box(50.0, 50.1, 20, 30)]}, "cell centre"),
        ({"obstacles": [(10, 20, 10, 20)]}, "a Box"),
        ({"obstacles": Box(10, 20, 10, 20)}, "sequence of Box"),
    ],
)
def test_bad_arguments_are_refused_with_a_reason(arguments: dict[str, object], reason: str) -> None:
    with pytest.raises(ArgumentError, match=reason):
        NavierStokes(**arguments)


@pytest.mark.parametrize("edges", [(20, 10, 0, 10), (0, 10, 5, 5), (0, float("nan"), 0, 10)])
def test_an_empty_box_is_refused(edges: tuple[float, ...]) -> None:
    with pytest.raises(ArgumentError, match="Box"):
        Box(*edges)


def test_wrong_resolution_is_refused(problem: NavierStokes, problem_set: ProblemSet) -> None:
    xi = {name: tf.constant(value) for name, value in problem.space.unflatten(problem_set.guess).items()}
    initial = tf.constant(problem_set.x["initial"])
    with pytest.raises(ArgumentError, match=r"x\['initial'\].*\(8, 16, 2\).*\(4, 8, 2\)"):
        problem.forward(xi, {"initial": initial[:, ::2, ::2]})
    with pytest.raises(ArgumentError, match="'initial'"):
        problem.forward(xi, {"start": initial})
    for x, y in (({"initial": initial[:, ::2]}, problem_set.y), (problem_set.x, problem_set.y[:, ::2])):
        with pytest.raises(Exception, match=r"expected (shape|the observation's shape)"):
            ProblemSet(problem, x, y).objective(problem_set.guess)


def taylor_green_error(cells: int, dt: float, speed: float = 0.5, viscosity: float = 0.1) -> float:
    """Largest error at t = 16 of the decaying vortex that fills the box, relative to its first speed."""
    end = 16.0
    flow = NavierStokes(cells=cells, dt=dt, end=end, viscosity=viscosity, obstacles=()).flow
    wave = np.pi / 100.0
    x_u, y_u, x_v, y_v = flow.grid.positions()
    u = speed * np.sin(wave * x_u) * np.cos(wave * y_u)
    v = -speed * np.cos(wave * x_v) * np.sin(wave * y_v)
    field = flow.run(lambda _: (tf.constant(u[None]), tf.constant(v[None])), {})
    decay = np.exp(-2 * viscosity * wave**2 * end)
    return max(np.abs(part[0] - decay * exact).max() for part, exact in zip(field, (u, v), strict=True)) / speed


def _noise(cells: int, instances: int = 1, dtype: tf.DType = tf.float64) -> tuple[tf.Tensor, tf.Tensor]:
    both = np.random.default_rng(0).standard_normal((2, instances, cells, cells))
    return tf.constant(both[0], dtype), tf.constant(both[1], dtype)


def _energy(field: tuple[tf.Tensor, tf.Tensor]) -> float:
    return float(sum(np.sum(part.numpy() ** 2) for part in field))


def _sparse_projection(grid: Grid, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Subtract the closest gradient over open faces, found by sparse least squares face by face."""
    number = np.arange(grid.cells**2).reshape(grid.cells, grid.cells)
    after = np.concatenate([number[grid.open_u], number[grid.open_v]])
    before = np.concatenate([number[grid.open_u] - 1, number[grid.open_v] - grid.cells])
    faces = np.arange(len(after))
    ones = np.ones(len(after))
    gradient = coo_matrix(
        (np.concatenate([ones, -ones]), (np.tile(faces, 2), np.concatenate([after, before]))),
        shape=(len(after), grid.cells**2),
    ).tocsr()
    flow = np.concatenate([u[grid.open_u], v[grid.open_v]])
    flow = flow - gradient @ lsqr(gradient, flow, atol=1e-14, btol=1e-14, iter_lim=20_000)[0]
    result = np.zeros_like(u), np.zeros_like(v)
    result[0][grid.open_u], result[1][grid.open_v] = np.split(flow, [int(grid.open_u.sum())])
    return result
