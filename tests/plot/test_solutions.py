"""Pictures of solutions: the numbers drawn are those of the solution, and of independent formulas."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, Rosenbrock, rosenbrock_set

from kerasjoint import ArgumentError, InverseProblem, ProblemSet, Solution, Status, Unknown, plot
from kerasjoint.methods import LockstepLBFGS
from kerasjoint.uncertainty import Uncertainty

SCHEMES = ("convergence", "solved", "profile")


class Field(InverseProblem):
    """A field of any shape, as far above zero as the unknown says; with two outputs, also its mean."""

    unknowns = (Unknown("level", scale=1.0),)

    def __init__(self, shape: tuple[int, ...], outputs: bool = False) -> None:
        self.shape = shape
        self.outputs = outputs

    def forward(self, xi, x):
        field = tf.reshape(xi["level"], (-1, *(1 for _ in self.shape))) * tf.ones((1, *self.shape), xi["level"].dtype)
        return {"field": field, "mean": xi["level"]} if self.outputs else field

    def residuals(self, prediction, y, x):
        if not self.outputs:
            return super().residuals(prediction, y, x)
        return {"field": prediction["field"] - y, "mean": prediction["mean"] - 1.0}


def solution_at(problem_set: ProblemSet, level: float) -> Solution:
    """What one step of L-BFGS returns, moved to where it is wanted."""
    found = LockstepLBFGS(max_iterations=1).solve(problem_set)
    return replace(found, xi=np.full_like(found.xi, level))


def test_a_curve_its_prediction_and_the_residuals(noisy: ProblemSet, descended: Solution) -> None:
    both, rest = plot.residuals(descended, 2)
    observed, predicted = both.get_lines()
    time, expected = noisy.x["time"][2], np.exp(-descended.xi[2, 0] * noisy.x["time"][2])
    np.testing.assert_array_equal(observed.get_xydata(), np.stack([time, noisy.y[2]], axis=1))
    np.testing.assert_allclose(predicted.get_ydata(), expected)
    np.testing.assert_allclose(rest.get_lines()[1].get_ydata(), expected - noisy.y[2], atol=1e-14)
    assert (both.get_xlabel(), rest.get_xlabel(), rest.get_ylabel()) == ("time", "time", "residual")


class Weighted(Decay):
    """Decays with missing values, of weight zero."""

    def residuals(self, prediction, y, x):
        return (prediction - y) * x["weight"]


def test_missing_values_are_left_out(noisy: ProblemSet) -> None:
    weight = np.where(np.arange(20) % 5 == 0, 0.0, 2.0) * np.ones((4, 1))
    problem_set = ProblemSet(Weighted(), noisy.x | {"weight": weight}, np.where(weight == 0, 99.0, noisy.y))
    both, rest = plot.residuals(LockstepLBFGS().solve(problem_set), 1)
    np.testing.assert_array_equal(both.get_lines()[0].get_ydata(), np.where(weight[1] == 0, np.nan, noisy.y[1]))
    assert np.isnan(rest.get_lines()[1].get_ydata()).sum() == 4
    assert both.get_ylim()[1] < 2


@pytest.mark.parametrize(
    ("shape", "panels", "images", "arrows"),
    [((), 2, 0, 0), ((30, 2), 2, 0, 0), ((8, 9), 3, 3, 0), ((8, 9, 1), 3, 3, 0), ((3, 8, 9, 2), 3, 3, 3)],
)
def test_observations_of_any_shape(shape, panels, images, arrows) -> None:
    problem_set = ProblemSet(Field(shape), y=np.ones((1, *shape)))
    axes = plot.residuals(solution_at(problem_set, 2.0))
    assert len(axes) == panels
    assert sum(len(panel.images) for panel in axes) == images
    assert sum(type(one).__name__ == "Quiver" for panel in axes for one in panel.collections) == arrows
    if images:
        np.testing.assert_allclose(axes[2].images[0].get_array(), 2**0.5 if arrows else 1.0)
    axes[0].figure.canvas.draw()


def test_parts_of_the_residuals_have_a_panel_each() -> None:
    problem_set = ProblemSet(Field((12,), outputs=True), y=np.ones((1, 12)))
    y, field, mean = plot.residuals(solution_at(problem_set, 3.0))
    assert (y.get_ylabel(), field.get_ylabel(), mean.get_ylabel()) == ("observation", "residual field", "residual mean")
    np.testing.assert_allclose(field.get_lines()[1].get_ydata(), 2.0)
    np.testing.assert_allclose(mean.get_lines()[1].get_ydata(), 2.0)


def test_the_landscape_is_the_loss_along_the_unknown(noisy: ProblemSet, many: Solution) -> None:
    axes = plot.landscape(noisy, 1, solution=many, starts=[[3.0]], points=21, gradient=True)
    loss = axes.get_lines()[0].get_xydata()
    np.testing.assert_allclose(loss[[0, -1], 0], [0.0, 5.0])
    residuals = np.exp(-loss[:, :1] * noisy.x["time"][1]) - noisy.y[1]
    np.testing.assert_allclose(loss[:, 1], (residuals**2).sum(axis=1), rtol=1e-9)
    (gradient,) = axes.figure.axes[1].get_lines()
    np.testing.assert_allclose(
        gradient.get_ydata(), (2 * residuals * -noisy.x["time"][1] * (residuals + noisy.y[1])).sum(axis=1), rtol=1e-9
    )
    marks = {line.get_label(): line.get_xydata() for line in axes.get_lines()}
    np.testing.assert_allclose(marks["start"][:, 0], [1.0, 3.0])
    np.testing.assert_allclose(marks["minimum found"], [[many.xi[1, 0], many.loss[1]]], rtol=1e-6)
    assert marks["true value"][0, 0] == noisy.truth[1, 0]
    assert marks["bound"][0, 0] == 0.0


def test_the_landscape_over_two_unknowns_with_a_path() -> None:
    problem_set = rosenbrock_set(Rosenbrock(), 2)
    path = np.array([[0.0, 0.0], [-0.5, 0.25]])
    axes = plot.landscape(problem_set, 1, ("point[1]", "point[0]"), points=11, path=path)
    mesh = axes.collections[0]
    first, second = np.meshgrid(*(np.linspace(-3, 3, 11) + centre for centre in problem_set.truth[1, ::-1]))
    xi = np.stack([second.ravel(), first.ravel()], axis=1)
    expected = problem_set.objective(xi, np.ones(121, dtype=int))
    np.testing.assert_allclose(mesh.get_array().ravel(), np.maximum(expected, expected.max() * 1e-12))
    lines = {line.get_label(): line.get_xydata() for line in axes.get_lines()}
    np.testing.assert_array_equal(lines["path"], path[:, ::-1])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("point[1]", "point[0]")


def test_solutions_converge_and_are_solved_as_their_histories_say(descended: Solution, many: Solution) -> None:
    axes = plot.convergence({"lockstep-lbfgs": descended, "multi-start": many})
    line = axes.get_lines()[0]
    np.testing.assert_allclose(line.get_ydata(), descended.history["median"])
    axes = plot.solved(many)
    (point,) = axes.containers
    np.testing.assert_allclose(point.lines[0].get_xydata(), [[many.cost().mean(), many.solved.mean()]])
    axes = plot.profile({"lockstep-lbfgs": descended, "multi-start": many}, "seconds")
    assert [line.get_ydata()[-1] for line in axes.get_lines()] == [descended.solved.mean(), many.solved.mean()]


def test_estimates_and_their_standard_errors_against_the_truth(noisy: ProblemSet, descended: Solution) -> None:
    (axes,) = plot.unknowns(descended)
    points = next(line for line in axes.get_lines() if line.get_label() == "estimate")
    np.testing.assert_array_equal(points.get_xydata(), np.stack([noisy.truth[:, 0], descended.xi[:, 0]], axis=1))
    bars = axes.containers[0].lines[2][0].get_segments()
    slope = -noisy.x["time"] * np.exp(-descended.xi * noisy.x["time"])
    error = np.sqrt(descended.loss / 19 / (slope**2).sum(axis=1))
    np.testing.assert_allclose([np.ptp(bar[:, 1]) / 2 for bar in bars], error, rtol=1e-6)
    blind = ProblemSet(noisy.problem, noisy.x, noisy.y)
    (axes,) = plot.unknowns(replace(descended, problem_set=blind), descended.uncertainty())
    assert axes.get_xlabel() == "instance"


def test_ellipses_hold_the_covariance(many: Solution) -> None:
    problem_set = rosenbrock_set(Rosenbrock(), 2)
    solution = LockstepLBFGS().solve(problem_set)
    covariance = np.array([[4.0, 1.0], [1.0, 2.0]])
    uncertainty = Uncertainty(np.stack([covariance] * 2), np.ones(2), (), problem_set.space.labels)
    axes = plot.corner(solution, 1, uncertainty)
    assert axes.shape == (2, 2)
    for ellipse, sigma in zip(axes[1, 0].patches, (1, 2), strict=True):
        edge = ellipse.get_transform().transform_path(ellipse.get_path()).vertices
        edge = axes[1, 0].transData.inverted().transform(edge) - solution.xi[1]
        # All points of the curve itself (control points lie outside) have the same Mahalanobis distance.
        distance = np.sqrt(np.einsum("ni,ij,nj->n", edge[::3], np.linalg.inv(covariance), edge[::3]))
        np.testing.assert_allclose(distance[:-1], sigma, rtol=1e-3)
    density = axes[0, 0].get_lines()[0].get_xydata()
    assert np.trapezoid(density[:, 1], density[:, 0]) == pytest.approx(1.0, abs=1e-3)
    (alone,) = plot.corner(many, 2).ravel()
    assert alone.get_title().startswith(f"{many.xi[2, 0]:.4g} ± ")


def test_statuses_name_the_instances_to_look_at(descended: Solution, many: Solution) -> None:
    codes = np.array([Status.CONVERGED, Status.FAILED, Status.FAILED, Status.CONVERGED], dtype=np.int8)
    marked = replace(descended, status=codes, loss=np.array([0.0, 5.0, 9.0, 0.0]))
    axes = plot.statuses(marked)
    solved, rest = axes.containers
    assert [bar.get_width() for bar in solved] == [2, 0]
    assert [bar.get_width() for bar in rest] == [0, 2]
    assert [text.get_text() for text in axes.texts] == [" 2", " 2; look at 2, 1"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["CONVERGED", "FAILED"]
    assert plot.statuses(many).containers[0].get_label() == "confirmed"
    unknown = ProblemSet(descended.problem_set.problem, descended.problem_set.x, descended.problem_set.y)
    (bars,) = plot.statuses(replace(descended, problem_set=unknown)).containers
    assert bars.get_label() == "ended"


def test_given_axes_are_drawn_into(noisy: ProblemSet, descended: Solution) -> None:
    figure, grid = plt.subplots(1, 2)
    assert list(plot.residuals(descended, ax=grid)) == list(grid)
    for name in (*SCHEMES, "statuses"):
        grid[0].clear()
        argument = {"d": descended} if name in SCHEMES else descended
        assert getattr(plot, name)(argument, ax=grid[0]) is grid[0]
    assert plot.landscape(noisy, points=5, ax=grid[1]) is grid[1]
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, s: plot.residuals(p), "solution: expected a Solution"),
        (lambda p, s: plot.residuals(s, 4), "instance: expected the index of one of 4 instances, got 4"),
        (lambda p, s: plot.residuals(s, True), "instance: expected the index of one of 4 instances, got True"),
        (lambda p, s: plot.residuals(s, against="rate"), "against: expected a condition .*: time, got 'rate'"),
        (lambda p, s: plot.residuals(s, ax=plt.figure().gca()), "ax: expected 2 matplotlib Axes"),
        (lambda p, s: plot.landscape(s), "problem_set: expected a ProblemSet"),
        (lambda p, s: plot.landscape(p, unknowns="speed"), r"unknowns: expected different names among \['rate'\]"),
        (lambda p, s: plot.landscape(p, unknowns=[]), "unknowns: expected names among"),
        (lambda p, s: plot.landscape(p, points=1), "points: expected at least 2, got 1"),
        (lambda p, s: plot.landscape(p, path=[1.0]), r"path: expected shape \(k, 1\), got \(1,\)"),
        (lambda p, s: plot.landscape(p[:2], solution=s), "solution: expected a solution of the problem set"),
        (lambda p, s: plot.unknowns(s, 3), r"uncertainty: expected what solution.uncertainty\(\) returned, got 3"),
        (lambda p, s: plot.corner(s, unknowns=["rate", "rate"]), "unknowns: expected different names"),
        (lambda p, s: plot.statuses([s]), "solution: expected a Solution"),
    ],
)
def test_bad_arguments_are_refused_by_name(noisy, descended, call, message) -> None:
    with pytest.raises(ArgumentError, match=message):
        call(noisy, descended)


def test_a_solution_of_an_unjudged_problem_is_refused_where_solved_is_drawn(descended: Solution) -> None:
    blind = ProblemSet(Decay(), descended.problem_set.x, descended.problem_set.y)
    unjudged = replace(descended, problem_set=blind)
    for call in (plot.solved, plot.profile):
        with pytest.raises(ArgumentError, match=r"solutions\['a'\]: expected a problem that says what is solved"):
            call({"a": unjudged})


def test_what_never_was_finite_is_said_and_drawn() -> None:
    class Broken(Decay):
        def forward(self, xi, x):
            return tf.math.log(-xi["rate"][:, None] * x["time"])

    time = np.tile(np.linspace(0.1, 2, 5), (3, 1))
    broken = LockstepLBFGS().solve(ProblemSet(Broken(), {"time": time}, time))
    axes = plot.convergence(broken)
    axes.figure.canvas.draw()
    assert axes.get_title() == "no loss is finite"
    assert axes.get_yscale() == "linear"
