"""Pictures that need tables alone: what they draw, and that they need no TensorFlow."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from kerasjoint import ArgumentError, plot
from kerasjoint.methods import METHODS
from kerasjoint.plot.styles import COLOURS, method_styles


@pytest.fixture
def traces() -> pd.DataFrame:
    """Two methods, one with two seeds that have other checkpoints."""
    parts = []
    for method, seed, evaluations, median in (
        ("lbfgs", 0, [1, 3, 5], [8.0, 4.0, 2.0]),
        ("lbfgs", 1, [1, 5], [4.0, 2.0]),
        ("mine", 0, [1, 9], [8.0, 0.0]),
    ):
        frame = pd.DataFrame({"evaluations": evaluations, "median": median, "iteration": range(len(median))})
        frame = frame.assign(method=method, seed=seed, seconds=0.1 * frame["iteration"], mean=2 * frame["median"])
        parts.append(frame.assign(lower_quartile=0.5 * frame["median"], upper_quartile=2 * frame["median"]))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def rows() -> pd.DataFrame:
    """Costs on four instances; the second method does not solve the third, neither the fourth."""
    costs = {"lbfgs": [10, 40, 30, 5], "multi-start": [20, 20, 99, 5]}
    done = {"lbfgs": [True, True, True, False], "multi-start": [True, True, False, False]}
    parts = [
        pd.DataFrame({"method": name, "instance": range(4), "evaluations": cost, "solved": done[name]})
        for name, cost in costs.items()
    ]
    return pd.concat(parts, ignore_index=True)


def compared(better: float, worse: float, **more: float) -> dict[str, object]:
    row = {"equal_tol": 1 - better - worse, "equal": 1 - better - worse}
    for name, share in (("better", better), ("worse", worse), ("better_tol", better), ("worse_tol", worse)):
        row |= {name: share, f"{name}_low": share - 0.05, f"{name}_high": share + 0.1}
    return row | {"solved": 0.75, "solved_low": 0.5, "solved_high": 0.875} | more


def test_traces_are_means_over_seeds_on_all_their_places(traces: pd.DataFrame) -> None:
    axes = plot.convergence(traces)
    line, mine = axes.get_lines()
    np.testing.assert_allclose(line.get_xydata(), [[1, 6.0], [3, 3.5], [5, 2.0]])
    assert mine.get_ydata()[-1] == 1e-32  # a loss of zero has no place on a logarithmic axis
    band = axes.collections[0].get_datalim(axes.transData)
    assert (band.x0, band.x1, band.y1) == pytest.approx((1.0, 5.0, 12.0))
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["lbfgs", "mine"]


def test_the_mean_has_the_range_over_seeds_as_its_band(traces: pd.DataFrame) -> None:
    axes = plot.convergence(traces[traces["method"] == "lbfgs"], "iteration", statistic="mean")
    np.testing.assert_allclose(axes.get_lines()[0].get_xydata(), [[1, 12.0], [2, 6.0], [3, 4.0]])
    band = axes.collections[0].get_datalim(axes.transData)
    assert (band.y0, band.y1) == pytest.approx((4.0, 16.0))


def test_a_time_of_zero_stands_at_the_first_time_above(traces: pd.DataFrame) -> None:
    axes = plot.convergence(traces[traces["seed"] == 1], "seconds")
    np.testing.assert_allclose(axes.get_lines()[0].get_xdata(), [0.1, 0.1])


def test_losses_below_zero_are_linear(traces: pd.DataFrame) -> None:
    shifted = traces.assign(**{name: traces[name] - 5 for name in ("median", "lower_quartile", "upper_quartile")})
    axes = plot.convergence(shifted)
    assert axes.get_yscale() == "linear"
    assert axes.get_lines()[1].get_ydata()[-1] == -5


def test_profiles_count_the_cheapest_and_all_solved(rows: pd.DataFrame) -> None:
    axes = plot.profile(rows)
    first, second = (line.get_xydata() for line in axes.get_lines())
    # lbfgs is cheapest on two of four instances, and solves a third at twice the cost; the other, one and one.
    np.testing.assert_allclose(first[:-1], [[1, 0], [1, 0.25], [1, 0.5], [2, 0.75]])
    np.testing.assert_allclose(second[:-1], [[1, 0], [1, 0.25], [2, 0.5]])
    assert first[-1, 1] == 0.75
    assert second[-1, 1] == 0.5


def test_values_without_gradient_count_a_third(rows: pd.DataFrame) -> None:
    axes = plot.profile(rows.assign(values=[0] * 4 + [15] * 4))
    np.testing.assert_allclose(axes.get_lines()[0].get_xdata()[1:4], [1, 1, 4])


def test_budgets_are_points_of_one_line_a_method() -> None:
    table = pd.DataFrame({"method": ["multi-start@50", "lbfgs", "multi-start@150"], "cost": [50.0, 20.0, 150.0]})
    table = table.assign(seconds=table["cost"] / 10, solved=[0.5, 0.1, 0.8], solved_low=0.1, solved_high=[0.9, 0.2, 1])
    axes = plot.solved(table, "seconds")
    lines = {container.get_label(): container.lines[0].get_xydata() for container in axes.containers}
    np.testing.assert_allclose(lines["multi-start"], [[5, 0.5], [15, 0.8]])
    np.testing.assert_allclose(lines["lbfgs"], [[2, 0.1]])
    spread = axes.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose(spread[0][:, 1], [0.1, 0.9])


def test_variants_that_are_no_budgets_have_lines_of_their_own() -> None:
    names = ["multi-start@50", "multi-start@50-hybrid", "multi-start@150-hybrid"]
    table = pd.DataFrame({"method": names, "cost": [50.0, 60.0, 160.0], "solved": 0.5})
    axes = plot.solved(table.assign(seconds=1.0, solved_low=0.1, solved_high=0.9))
    lines = {container.get_label(): container.lines[0] for container in axes.containers}
    assert {name: line.get_xdata().tolist() for name, line in lines.items()} == {
        "multi-start": [50],
        "multi-start@hybrid": [60, 160],
    }
    assert len({line.get_linestyle() for line in lines.values()}) == 2


def test_a_comparison_is_drawn_as_it_is() -> None:
    frame = pd.DataFrame([{"method": "lbfgs"} | compared(0.0, 0.0), {"method": "mine"} | compared(0.625, 0.125)])
    frame.attrs["reference"] = "lbfgs"
    axes = plot.comparison(frame)
    better, equal, worse = (bars for bars in axes.containers if hasattr(bars, "patches"))
    assert [bars[1].get_width() for bars in (better, equal, worse)] == [0.625, 0.25, 0.125]
    assert worse[1].get_x() + worse[1].get_width() == 1
    assert "than lbfgs" in axes.get_xlabel()
    points = [one.lines[0].get_xdata()[0] for one in axes.containers if not hasattr(one, "patches") and one.lines[0]]
    assert points == [0.75, 0.75]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["lbfgs", "mine"]
    unknown = frame.assign(solved=np.nan, solved_low=np.nan, solved_high=np.nan)
    axes = plot.comparison(unknown, tolerance=False)
    assert not [one for one in axes.containers if not hasattr(one, "patches") and one.lines[0]]


def test_every_method_has_a_look_of_its_own_everywhere() -> None:
    styles = method_styles(METHODS)
    looks = [(style["color"], style["marker"]) for style in styles.values()]
    assert len(set(looks)) == len(looks)
    some = method_styles(["mine", "reparameterized@short", "reparameterized", "reparameterized + refine"])
    assert {style["color"] for name, style in some.items() if name != "mine"} == {styles["reparameterized"]["color"]}
    assert len({style["linestyle"] for name, style in some.items() if name != "mine"}) == 3
    assert some["mine"]["color"] in set(COLOURS) - {styles["reparameterized"]["color"]}
    # A file's folder may hold an @.
    assert method_styles(["a@b/mine.py:Mine@x"])["a@b/mine.py:Mine@x"]["linestyle"] == "-"


def test_tables_are_drawn_without_tensorflow() -> None:
    code = (
        "import sys, matplotlib; matplotlib.use('Agg')\n"
        "import pandas as pd\n"
        "from kerasjoint import plot\n"
        "t = pd.DataFrame({'method': ['a'], 'evaluations': [1.0], 'median': [1.0], 'lower_quartile': [1.0],\n"
        "                  'upper_quartile': [2.0], 'instance': [0], 'solved': [True], 'cost': [1.0],\n"
        "                  'solved_low': [0.5], 'solved_high': [1.0]})\n"
        "plot.convergence(t), plot.solved(t), plot.profile(t)\n"
        "sys.exit(str({'tensorflow', 'keras', 'tensorflow_probability'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.stderr.strip().splitlines()[-1] == "set()"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t, r: plot.convergence(t, over="hours"), "over: expected one of evaluations, seconds, iteration"),
        (lambda t, r: plot.convergence(t, statistic="mode"), "statistic: expected one of median, mean, got 'mode'"),
        (lambda t, r: plot.convergence(t.drop(columns="median")), "solutions: expected .*, got one without median"),
        (lambda t, r: plot.convergence(t.iloc[:0]), "solutions: expected .*, got no rows"),
        (lambda t, r: plot.convergence({"a": 3}), r"solutions\['a'\]: expected a Solution, got 3"),
        (lambda t, r: plot.convergence({}), "solutions: expected a Solution, a dict of them by name, or a table"),
        (lambda t, r: plot.convergence(t, ax=3), "ax: expected a matplotlib Axes, got 3"),
        (lambda t, r: plot.profile(r, over="iteration"), "over: expected one of evaluations, seconds"),
        (lambda t, r: plot.profile(pd.concat([r, r])), "frame: expected one row per method and instance"),
        (lambda t, r: plot.profile(r.assign(solved=None)), "frame: expected instances that are solved or not"),
        (lambda t, r: plot.comparison("x"), "frame: expected a table as of kerasjoint.compare, got 'x'"),
        (lambda t, r: plot.solved(r), "solutions: expected .* got one without cost, solved_low, solved_high"),
    ],
)
def test_bad_arguments_are_refused_by_name(traces, rows, call, message) -> None:
    with pytest.raises(ArgumentError, match=message):
        call(traces, rows)
