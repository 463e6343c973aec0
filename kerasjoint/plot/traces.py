"""The loss while methods run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError, describe
from kerasjoint.plot.arguments import OVER, axes_of, check_frame, check_over, few_ticks, solutions_by_name
from kerasjoint.plot.styles import Styles, method_styles

FloatArray = NDArray[np.float64]

# Smaller losses are rounding, some thirty decades below others.
LOWEST = 1e-32
STATISTICS = {"median": ("lower_quartile", "median", "upper_quartile"), "mean": ("mean", "mean", "mean")}


def convergence(
    solutions: Any,
    over: str = "evaluations",
    *,
    statistic: str = "median",
    styles: Styles | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss of the current estimates against cost: median and quartiles over the instances.

    Parameters
    ----------
    solutions
        A ``Solution``, a dict of them by name, or a table of traces with a column ``method``, such as
        ``Store(folder).traces()``; with a column ``seed``, curves are means over the seeds. The curve of a refined
        solution is that of the refinement, after the cost of what was refined.
    over
        ``"evaluations"`` per instance, ``"seconds"`` or ``"iteration"``.
    statistic
        ``"median"``, with quartiles; or ``"mean"``, with the range over the seeds.
    styles
        Colour, marker and dashes by name, as of ``kerasjoint.plot.styles.method_styles`` for the methods of several
        panels. Default: those of the methods at hand.
    ax
        Where to draw. Default: a new figure.

    Raises
    ------
    ArgumentError
        Naming the argument that cannot be used.

    Example
    -------
    >>> kerasjoint.plot.convergence({"lbfgs": baseline, "reparameterized": refined}, over="seconds")
    """
    label = check_over(over, tuple(OVER))
    if statistic not in STATISTICS:
        raise ArgumentError("statistic", f"one of {', '.join(STATISTICS)}", describe(statistic))
    columns = STATISTICS[statistic]
    if isinstance(solutions, pd.DataFrame):
        needed = ("method", over, *dict.fromkeys(columns))
        frame = check_frame("solutions", solutions, needed, "Store(folder).traces()")
        runs = {str(method): _runs(part) for method, part in frame.groupby("method", sort=False)}
    else:
        runs = {name: [one.history] for name, one in solutions_by_name(solutions).items()}
    losses = np.concatenate([run[list(columns)].to_numpy(np.float64) for parts in runs.values() for run in parts])
    positive, drawn = bool((losses >= 0).all()), bool(np.isfinite(losses).any())
    axes = axes_of(ax)
    for method, style in (method_styles(runs) if styles is None else styles).items():
        if method not in runs:
            continue
        places, low, centre, high = _curve(runs[method], over, columns, LOWEST if positive else -np.inf)
        colour = style["color"]
        plain = style["marker"] == "o" and len(places) > 1
        axes.plot(
            places, centre, color=colour, ls=style["linestyle"], marker="" if plain else style["marker"], ms=4,
            markevery=0.15 if np.isfinite(centre).any() else None, lw=1.4, label=method,
        )  # fmt: skip
        axes.fill_between(places, low, high, color=colour, alpha=0.15, lw=0)
    axes.set(xlabel=label, ylabel=f"{statistic} loss")
    if drawn:
        axes.set(xscale="log", yscale="log" if positive else "linear")
        few_ticks(axes)
    else:
        axes.set_title("no loss is finite")
    axes.legend(frameon=False, fontsize="small")
    return axes


def _runs(part: pd.DataFrame) -> list[pd.DataFrame]:
    return [run for _, run in part.groupby("seed")] if "seed" in part else [part]


def _curve(
    runs: list[pd.DataFrame], over: str, columns: tuple[str, str, str], lowest: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return places, lower edge, centre and upper edge of the mean of runs, on all their places together."""
    places = [run[over].to_numpy(dtype=np.float64) + (over == "iteration") for run in runs]
    grid = np.unique(np.concatenate(places))
    low, centre, high = (
        np.stack(
            [
                np.interp(grid, place, np.maximum(run[column].to_numpy(dtype=np.float64), lowest))
                for place, run in zip(places, runs, strict=True)
            ]
        )
        for column in columns
    )
    # A logarithmic axis has no place for a time of zero.
    grid = np.maximum(grid, grid[grid > 0].min() if (grid > 0).any() else 1.0)
    mean = centre.mean(axis=0)
    if columns[0] == columns[1]:
        return grid, low.min(axis=0), mean, high.max(axis=0)
    return grid, low.mean(axis=0), mean, high.mean(axis=0)
