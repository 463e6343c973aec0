"""Figures from stored rows, traces and figure data: (a) example, (b) landscape, (c) optimisation, (d) loss over n."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from kerasjoint.experiments.examples import draw_example
from kerasjoint.experiments.labels import Label, in_order
from kerasjoint.experiments.store import Store
from kerasjoint.experiments.tables import in_refined_comparison
from kerasjoint.files import atomic_path, make_folder
from kerasjoint.methods import METHODS

# One colour per method throughout, told apart in print and by the colour-blind; its variants differ in their dashes.
COLOURS = (
    "#000000",
    "#7f7f7f",
    "#cc79a7",
    "#e69f00",
    "#d55e00",
    "#0072b2",
    "#009e73",
    "#56b4e9",
    "#7a5195",
    "#b8860b",
    "#8c564b",
    "#17becf",
    "#bcbd22",
)
DASHES = ((None, None), (1, 1), (2, 1), (6, 1), (None, None), (4, 2), (4, 1, 1, 1))
LOWEST = 1e-32
RANGE_SHOWN = 1e-6

Styles = dict[str, dict[str, Any]]


def write_figures(store: Store, folder: Path) -> list[Path]:
    """Draw one PNG of four panels per problem; return the paths.

    Example
    -------
    >>> write_figures(Store("results/quick"), Path("figures"))
    """
    make_folder(folder)
    rows, traces = store.rows(), store.traces()
    written = []
    with sns.axes_style("ticks"), sns.plotting_context("paper", font_scale=1.05):
        for problem in dict.fromkeys(rows["problem"]):
            figure, ((example, landscape), (course, sizes)) = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
            data = store.figure_data(problem)
            if data is not None:
                draw_example(example, problem, data)
                draw_landscape(landscape, data)
            here = rows[rows["problem"] == problem]
            styles = _styles(here["method"])
            draw_traces(course, traces[traces["problem"] == problem], styles)
            draw_loss_over_n(sizes, here, styles)
            handles = [
                Line2D([], [], marker="o", ms=4, label=Label(method).title, **style) for method, style in styles.items()
            ]
            figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, handlelength=3)
            for letter, axes in zip("abcd", (example, landscape, course, sizes), strict=True):
                title = axes.get_title()
                axes.set_title("")
                axes.set_title(f"({letter}) {title}", loc="left", fontsize="medium")
            label = Label(problem)
            figure.suptitle(label.title)
            written.append(folder / f"{label.slug}.png")
            with atomic_path(written[-1]) as path:
                figure.savefig(path, dpi=160)
            plt.close(figure)
    return written


def draw_landscape(axes: Any, data: dict[str, NDArray[Any]]) -> None:
    """Draw the loss, and its gradient if there is one, along one unknown, the others true or at their guess."""
    values, label, truth = data["landscape_values"], str(data["landscape_label"]), data.get("landscape_truth")
    axes.plot(values, data["landscape_loss"], color="#333333", lw=1)
    if truth is not None:
        axes.axvline(float(truth), color="#cc79a7", lw=1, ls="--")
        label += " (dashed: true value)"
    axes.set(xlabel=label, ylabel="loss")
    gradient = data.get("landscape_gradient")
    what = "loss" if gradient is None else "loss and gradient"
    axes.set_title(f"{what}, other unknowns {'at their guess' if truth is None else 'true'}")
    if gradient is not None:
        twin = axes.twinx()
        twin.plot(values, gradient, color="#56b4e9", lw=0.8)
        twin.set_ylabel("gradient", color="#1f78a4")


def draw_traces(axes: Any, traces: pd.DataFrame, styles: Styles) -> None:
    """Draw the mean true objective over iterations, unrefined, at the largest n; mean and range over seeds."""
    n = traces["n"].max()
    traces = traces[traces["n"] == n]
    positive = (traces["mean"] >= 0).all()
    lowest = LOWEST if positive else -np.inf
    courses = dict(list(traces.groupby("method")))
    for method in (method for method in styles if method in courses):
        here = courses[method]
        grid = np.unique(here["iteration"])
        runs = np.stack(
            [np.interp(grid, run["iteration"], run["mean"].clip(lower=lowest)) for _, run in here.groupby("seed")]
        )
        axes.plot(grid + 1, runs.mean(axis=0), **styles[method])
        colour = styles[method]["color"]
        axes.fill_between(grid + 1, runs.min(axis=0), runs.max(axis=0), color=colour, alpha=0.12, lw=0)
    axes.set(xscale="log", yscale="log" if positive else "linear")
    axes.set(xlabel="iteration + 1", ylabel="mean loss of current estimates")
    axes.set_title(f"optimisation, not refined, n = {n}")


def draw_loss_over_n(axes: Any, rows: pd.DataFrame, styles: Styles) -> None:
    """Draw the mean refined loss over n: mean and standard deviation over seeds.

    Where all instances are solved the loss is rounding, some thirty decades below others: triangles stand for that.
    Losses below zero are shown on a linear axis.
    """
    shown = rows[in_refined_comparison(rows) & (rows["selection"] == "best")]
    means = shown.groupby(["method", "n", "seed"])["loss"].mean().groupby(["method", "n"]).agg(["mean", "std"])
    positive = means["mean"].min() >= 0
    lowest = max(LOWEST, RANGE_SHOWN * means["mean"].max()) if positive else -np.inf
    sizes = sorted(shown["n"].unique())
    present = set(shown["method"])
    for offset, method in enumerate(method for method in styles if method in present):
        line = means.loc[method]
        # Methods are set slightly apart, since their error bars would cover each other.
        place = line.index.to_numpy() * 1.03 ** (offset - 2)
        spread = line["std"].fillna(0.0)
        mean = line["mean"].clip(lower=lowest)
        low = np.minimum(spread, 0.9 * mean) if positive else spread
        axes.errorbar(place, mean, yerr=(low, spread), marker="o", ms=4, lw=1.2, capsize=2, **styles[method])
        below = (line["mean"] < lowest).to_numpy()
        axes.plot(place[below], mean[below], "v", ms=7, mfc="white", color=styles[method]["color"], zorder=3)
    axes.set_xscale("log", base=2)
    axes.set(yscale="log" if positive else "linear", xlabel="number of instances n", ylabel="mean loss")
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.xaxis.minorticks_off()
    cut = f" (triangles: below {lowest:.0e})" if means["mean"].min() < lowest else ""
    axes.set_title(f"after refinement{cut}")


def _styles(methods: Iterable[str]) -> Styles:
    """Return colour and dashes of each method, in the order of the registry; a user's own come after it."""
    labels = in_order(METHODS, methods)
    bases = dict.fromkeys([*METHODS, *(Label(text).base for text in labels)])
    places = {name: k for k, name in enumerate(bases)}
    styles: Styles = {}
    for text in labels:
        name = Label(text).base
        variants = sum(Label(other).base == name for other in styles)
        dashes = DASHES[(places[name] + variants) % len(DASHES)]
        styles[text] = {"color": COLOURS[places[name] % len(COLOURS)], "dashes": dashes}
    return styles
