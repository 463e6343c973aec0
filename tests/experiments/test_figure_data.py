from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers import Decay, decay_set

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.experiments.examples import DRAWERS, draw_example
from kerasjoint.experiments.figure_data import figure_data
from kerasjoint.experiments.figures import draw_loss_over_n, draw_traces, landscape_of
from kerasjoint.npz import read_npz
from kerasjoint.plot.landscapes import draw_landscape
from kerasjoint.plot.styles import method_styles
from kerasjoint.problems import PROBLEMS, Billiards

STORED = sorted((Path(__file__).parents[2] / "reports").glob("**/figure-data/*.npz"))


class Sampled(Decay):
    """Decay with a sample; what it predicts is another structure if one is given."""

    def __init__(self, truth: bool = True, structure: object = None) -> None:
        self.truth = truth
        self.structure = structure

    def sample(self, n, seed):
        whole = decay_set(self, n, seed)
        return whole if self.truth else ProblemSet(self, whole.x, whole.y)

    def simulate(self, xi, x=None, **options):
        return self.structure or super().simulate(xi, x, **options)


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_the_landscape_is_that_of_the_shown_unknown():
    problem = Billiards()
    data, instance = figure_data(problem), problem.sample(1, seed=0)
    assert str(data["landscape_label"]) == "v0[1]"
    assert data["landscape_values"][[0, -1]].tolist() == [-1.0, 1.0]
    xi = np.array([[instance.truth[0, 0], data["landscape_values"][100]]])
    np.testing.assert_allclose(data["landscape_loss"][100], instance.objective(xi)[0], rtol=1e-9)
    np.testing.assert_array_equal(data["prediction"], problem.simulate(instance.truth, instance.x)[0])


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_every_problem_shows_an_unknown_of_its_own(name):
    problem = PROBLEMS.load(name)()
    assert problem.shown_unknown in (None, *problem.space.labels)


def test_without_truth_the_guess_takes_its_place(axes):
    data = figure_data(Sampled(truth=False))
    assert not {"truth", "landscape_truth"} & set(data)
    draw_landscape(axes, landscape_of(data))
    assert axes.get_title() == "loss and gradient, other unknowns at their guess"
    assert axes.get_xlabel() == "rate"
    draw_example(axes, "damped.py:Damped", data)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["observation"]


@pytest.mark.parametrize("structure", [{"signal": np.ones((1, 20))}, (np.ones((1, 20)), np.ones(1))])
def test_a_prediction_of_several_arrays_is_left_out(axes, structure):
    data = figure_data(Sampled(structure=structure))
    assert "prediction" not in data
    draw_example(axes, "damped.py:Damped", data)
    assert len(axes.lines) == 1


def test_a_simulator_without_gradient_shows_its_loss(axes, monkeypatch):
    def refused(*_):
        raise ArgumentError("forward", "a gradient", "none")

    monkeypatch.setattr(ProblemSet, "value_and_gradient", refused)
    data = figure_data(Sampled())
    assert "landscape_gradient" not in data
    draw_landscape(axes, landscape_of(data))
    assert axes.get_title() == "loss, other unknowns true"
    assert len(axes.figure.axes) == 1


@pytest.mark.parametrize(
    ("shape", "lines", "images", "arrows"),
    [
        ((), 2, 0, 0),
        ((1,), 2, 0, 0),
        ((50,), 2, 0, 0),
        ((50, 2), 4, 0, 0),
        ((2, 2), 0, 1, 0),
        ((30, 40), 0, 1, 0),
        ((30, 40, 1), 0, 1, 0),
        ((30, 40, 2), 0, 1, 1),
        ((30, 40, 3), 0, 1, 0),
        ((7, 30, 40), 0, 1, 0),
        ((7, 30, 40, 2), 0, 1, 1),
        ((5, 7, 30, 40, 3), 0, 1, 0),
    ],
)
def test_an_observation_of_any_shape_is_drawn(axes, shape, lines, images, arrows):
    y = np.random.default_rng(0).normal(size=shape)
    draw_example(axes, "damped.py:Damped", {"y": y, "prediction": y + 1, "truth": np.ones(1)})
    assert len(axes.lines) == lines
    assert len(axes.images) == images
    assert sum(type(one).__name__ == "Quiver" for one in axes.collections) == arrows
    assert axes.get_title()
    axes.figure.canvas.draw()
    if lines:
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [
            "observation",
            "prediction, true unknowns",
        ]


def test_a_prediction_of_another_shape_is_not_drawn(axes):
    draw_example(axes, "damped.py:Damped", {"y": np.ones(3), "prediction": np.ones(4), "truth": np.ones(1)})
    assert len(axes.lines) == 1


@pytest.mark.parametrize("path", STORED, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_stored_figure_data_give_the_problems_own_picture(axes, path):
    data = read_npz(path)
    _, *needed = DRAWERS.get(path.stem.split("@")[0].removesuffix("-light"), (None,))
    assert {*needed} <= data.keys()
    draw_example(axes, path.stem, data)
    assert axes.get_title()


def test_data_without_what_a_picture_needs_show_the_observation(axes):
    draw_example(axes, "ballistics", {"y": np.ones(1), "prediction": np.ones(1), "truth": np.ones(4)})
    assert axes.get_title() == "an instance"


def test_losses_below_zero_are_drawn_on_a_linear_axis(axes):
    mean = np.array([3.0, -1.0, -2.0])
    traces = pd.DataFrame({"method": "lbfgs", "n": 4, "seed": 0, "iteration": [0, 1, 2], "mean": mean})
    draw_traces(axes, traces, method_styles(["lbfgs"]))
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), mean)
    rows = pd.DataFrame({"method": "lbfgs", "role": "baseline", "stage": "unrefined", "selection": "best"}, [0, 1])
    rows = rows.assign(n=4, seed=[0, 1], loss=[-2.0, -3.0])
    draw_loss_over_n(axes, rows, method_styles(["lbfgs"]))
    assert axes.get_yscale() == "linear"
    assert axes.lines[1].get_ydata() == [-2.5]
