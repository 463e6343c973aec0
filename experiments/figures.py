"""Figures from the stored rows, curves and illustrations: (a) example, (b) landscape, (c) curves, (d) loss over n."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
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
from kerasjoint.experiments.store import Store
from kerasjoint.experiments.tables import in_refined_comparison
from kerasjoint.experiments.variants import base_name, in_order
from kerasjoint.methods import METHODS

# One colour per method throughout, told apart in print and by the colour-blind; its variants differ in their dashes.
COLOURS = dict(zip(METHODS, cycle(("#000000", "#7f7f7f", "#cc79a7", "#e69f00", "#d55e00", "#0072b2", "#009e73"))))
DASHES = ((None, None), (1, 1), (2, 1), (6, 1), (None, None), (4, 2), (4, 1, 1, 1))
LOWEST = 1e-32
RANGE_SHOWN = 1e-6

Styles = dict[str, dict[str, Any]]


def write_figures(store: Store, folder: Path) -> list[Path]:
    """Draw one PNG of four panels per problem; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, curves = store.rows(), store.curves()
    written = []
    with sns.axes_style("ticks"), sns.plotting_context("paper", font_scale=1.05):
        for problem in dict.fromkeys(rows["problem"]):
            figure, ((example, landscape), (course, sizes)) = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
            picture = store.illustration(problem)
            if picture is not None:
                draw_example(example, problem, picture)
                draw_landscape(landscape, picture)
            here = rows[rows["problem"] == problem]
            styles = _styles(here["method"])
            draw_curves(course, curves[curves["problem"] == problem], styles)
            draw_loss_over_n(sizes, here, styles)
            handles = [Line2D([], [], marker="o", ms=4, label=method, **style) for method, style in styles.items()]
            figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, handlelength=3)
            for letter, axes in zip("abcd", (example, landscape, course, sizes), strict=True):
                title = axes.get_title()
                axes.set_title("")
                axes.set_title(f"({letter}) {title}", loc="left", fontsize="medium")
            figure.suptitle(problem)
            path = folder / f"{problem}.png"
            figure.savefig(path, dpi=160)
            plt.close(figure)
            written.append(path)
    return written


def draw_landscape(axes: Any, picture: dict[str, NDArray[Any]]) -> None:
    """Draw loss and gradient along one unknown, the others at their true values."""
    values = picture["landscape_values"]
    axes.plot(values, picture["landscape_loss"], color="#333333", lw=1)
    axes.axvline(float(picture["landscape_truth"]), color="#cc79a7", lw=1, ls="--")
    axes.set(xlabel=f"{picture['landscape_label']} (dashed: true value)", ylabel="loss")
    axes.set_title("loss and gradient, other unknowns true")
    twin = axes.twinx()
    twin.plot(values, picture["landscape_gradient"], color="#56b4e9", lw=0.8)
    twin.set_ylabel("gradient", color="#1f78a4")


def draw_curves(axes: Any, curves: pd.DataFrame, styles: Styles) -> None:
    """Draw the mean true objective over iterations, unrefined, at the largest n; mean and range over seeds."""
    n = curves["n"].max()
    curves = curves[curves["n"] == n]
    courses = dict(list(curves.groupby("method")))
    for method in (method for method in styles if method in courses):
        here = courses[method]
        grid = np.unique(here["iteration"])
        runs = np.stack(
            [np.interp(grid, run["iteration"], run["mean"].clip(lower=LOWEST)) for _, run in here.groupby("seed")]
        )
        axes.plot(grid + 1, runs.mean(axis=0), **styles[method])
        colour = styles[method]["color"]
        axes.fill_between(grid + 1, runs.min(axis=0), runs.max(axis=0), color=colour, alpha=0.12, lw=0)
    axes.set(xscale="log", yscale="log", xlabel="iteration + 1", ylabel="mean loss of current estimates")
    axes.set_title(f"optimisation, not refined, n = {n}")


def draw_loss_over_n(axes: Any, rows: pd.DataFrame, styles: Styles) -> None:
    """Draw the mean refined loss over n: mean and standard deviation over seeds.

    Where all instances are solved the loss is rounding, some thirty decades below others: triangles stand for that.
    """
    shown = rows[in_refined_comparison(rows) & (rows["selection"] == "best")]
    means = shown.groupby(["method", "n", "seed"])["loss"].mean().groupby(["method", "n"]).agg(["mean", "std"])
    lowest = max(LOWEST, RANGE_SHOWN * means["mean"].max())
    sizes = sorted(shown["n"].unique())
    present = set(shown["method"])
    for offset, method in enumerate(method for method in styles if method in present):
        line = means.loc[method]
        # Methods are set slightly apart, since their error bars would cover each other.
        place = line.index.to_numpy() * 1.03 ** (offset - 2)
        spread = line["std"].fillna(0.0)
        mean = line["mean"].clip(lower=lowest)
        low = np.minimum(spread, 0.9 * mean)
        axes.errorbar(place, mean, yerr=(low, spread), marker="o", ms=4, lw=1.2, capsize=2, **styles[method])
        below = (line["mean"] < lowest).to_numpy()
        axes.plot(place[below], mean[below], "v", ms=7, mfc="white", color=styles[method]["color"], zorder=3)
    axes.set_xscale("log", base=2)
    axes.set(yscale="log", xlabel="number of instances n", ylabel="mean loss")
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.xaxis.minorticks_off()
    cut = f" (triangles: below {lowest:.0e})" if means["mean"].min() < lowest else ""
    axes.set_title(f"after refinement{cut}")


def _styles(methods: Iterable[str]) -> Styles:
    """Return colour and dashes of each method, in the order of the registry."""
    places = {name: k for k, name in enumerate(METHODS)}
    styles: Styles = {}
    for label in in_order(METHODS, methods):
        name = base_name(label)
        variants = sum(base_name(other) == name for other in styles)
        styles[label] = {"color": COLOURS[name], "dashes": DASHES[(places[name] + variants) % len(DASHES)]}
    return styles
