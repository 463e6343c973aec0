"""Figures from stored rows, traces and figure data: (a) example, (b) landscape, (c) optimisation, (d) loss over n."""

from __future__ import annotations

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
from kerasjoint.plot import convergence
from kerasjoint.plot.landscapes import Landscape, draw_landscape
from kerasjoint.plot.styles import Styles, method_styles
from kerasjoint.plot.traces import LOWEST

RANGE_SHOWN = 1e-6
# Of longer names, fewer stand beside each other in a legend.
LONG_NAME = 16


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
                draw_landscape(landscape, landscape_of(data))
                if landscape.get_legend_handles_labels()[0]:
                    landscape.legend(frameon=False, fontsize="small")
            here = rows[rows["problem"] == problem]
            styles = method_styles(in_order(METHODS, here["method"]))
            draw_traces(course, traces[traces["problem"] == problem], styles)
            draw_loss_over_n(sizes, here, styles)
            handles = [Line2D([], [], ms=4, label=Label(method).title, **style) for method, style in styles.items()]
            columns = 4 if max(len(Label(method).title) for method in styles) <= LONG_NAME else 3
            figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, handlelength=3)
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


def landscape_of(data: dict[str, NDArray[Any]]) -> Landscape:
    """Return the landscape that figure data hold."""
    truth, gradient = data.get("landscape_truth"), data.get("landscape_gradient")
    return Landscape(
        labels=[str(data["landscape_label"])],
        values=[data["landscape_values"]],
        loss=data["landscape_loss"],
        gradient=gradient,
        truth=None if truth is None else np.atleast_1d(truth),
        at_truth=truth is not None,
    )


def draw_traces(axes: Any, traces: pd.DataFrame, styles: Styles) -> None:
    """Draw the mean true objective over iterations, unrefined, at the largest n; mean and range over seeds."""
    n = traces["n"].max()
    convergence(traces[traces["n"] == n], "iteration", statistic="mean", styles=styles, ax=axes)
    axes.get_legend().remove()
    axes.set(ylabel="mean loss of current estimates")
    axes.set_title(f"optimisation, not refined, n = {n}")


def draw_loss_over_n(axes: Any, rows: pd.DataFrame, styles: Styles) -> None:
    """Draw the mean refined loss over n: mean and standard deviation over seeds.

    Where all instances are solved the loss is rounding, some thirty decades below others: triangles stand for that.
    Losses below zero are shown on a linear axis.
    """
    shown = rows[in_refined_comparison(rows) & (rows["selection"] == "best")]
    means = shown.groupby(["method", "n", "seed"])["loss"].mean().groupby(["method", "n"]).agg(["mean", "std"])
    finite = means["mean"][np.isfinite(means["mean"])]
    positive = finite.size > 0 and finite.min() >= 0
    lowest = max(LOWEST, RANGE_SHOWN * finite.max()) if positive else -np.inf
    sizes = sorted(shown["n"].unique())
    present = set(shown["method"])
    for offset, method in enumerate(method for method in styles if method in present):
        line = means.loc[method]
        # Methods are set slightly apart, since their error bars would cover each other.
        place = line.index.to_numpy() * 1.03 ** (offset - 2)
        spread = line["std"].fillna(0.0)
        mean = line["mean"].clip(lower=lowest)
        low = np.minimum(spread, 0.9 * mean) if positive else spread
        axes.errorbar(place, mean, yerr=(low, spread), ms=4, lw=1.2, capsize=2, **styles[method])
        below = (line["mean"] < lowest).to_numpy()
        axes.plot(place[below], mean[below], "v", ms=7, mfc="white", color=styles[method]["color"], zorder=3)
    if finite.size:
        axes.set_xscale("log", base=2)
    axes.set(yscale="log" if positive else "linear", xlabel="number of instances n", ylabel="mean loss")
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.xaxis.minorticks_off()
    cut = f" (triangles: below {lowest:.0e})" if means["mean"].min() < lowest else ""
    axes.set_title(f"after refinement{cut}")
