"""What share of instances methods solve, at what cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError
from kerasjoint.plot.arguments import axes_of, check_frame, check_over, few_ticks, solutions_by_name
from kerasjoint.plot.styles import curve_of, method_styles
from kerasjoint.summary import cost_of, fraction

FloatArray = NDArray[np.float64]

BUDGETS = "kerasjoint budgets (budgets.csv)"
ROWS = "Store(folder).rows(), of one stage and selection"
# Instances are the same where these agree.
KEY = ("problem", "n", "seed", "instance")


def solved(solutions: Any, over: str = "evaluations", *, ax: Axes | None = None) -> Axes:
    """Draw the share of instances solved over cost, with 95 % intervals.

    An evaluation without gradient counts as a third of one with.

    Parameters
    ----------
    solutions
        A ``Solution`` or a dict of them by name: a point for each, and the share solved while the method ran as a line
        (counting all its evaluations as one). Or a table of budgets, as ``kerasjoint budgets`` writes: a point for each
        row, joined by a line for each method.
    over
        ``"evaluations"`` per instance, or ``"seconds"``.
    ax
        Where to draw. Default: a new figure.

    Raises
    ------
    ArgumentError
        Naming the argument that cannot be used, such as solutions of a problem that does not say what is solved.

    Example
    -------
    >>> kerasjoint.plot.solved({"lbfgs": baseline, "multi-start": many})
    """
    label = check_over(over, ("evaluations", "seconds"))
    lines: dict[str, pd.DataFrame] = {}
    if isinstance(solutions, pd.DataFrame):
        column = "cost" if over == "evaluations" else "seconds"
        needed = ("method", column, "solved", "solved_low", "solved_high")
        table = check_frame("solutions", solutions, needed, BUDGETS)
        curves = table["method"].map(curve_of)
        points = {curve: table[curves == curve].sort_values(column) for curve in dict.fromkeys(curves)}
        places = {curve: part[column] for curve, part in points.items()}
    else:
        named = solutions_by_name(solutions)
        for name, one in named.items():
            if one.solved is None:
                raise ArgumentError(f"solutions[{name!r}]", "a problem that says what is solved", "one that does not")
        points = {name: pd.DataFrame([fraction("solved", one.solved)]) for name, one in named.items()}
        places = {
            name: pd.Series([float(one.cost().mean()) if over == "evaluations" else one.seconds])
            for name, one in named.items()
        }
        lines = {name: one.history for name, one in named.items()}
    axes = axes_of(ax)
    for name, style in method_styles(points).items():
        part, colour = points[name], style["color"]
        spread = np.stack([part["solved"] - part["solved_low"], part["solved_high"] - part["solved"]]).clip(0)
        if name in lines:
            axes.plot(lines[name][over], lines[name]["solved"], color=colour, ls=style["linestyle"], lw=1)
        axes.errorbar(
            places[name], part["solved"], yerr=spread, marker=style["marker"], ms=4.5, ls=style["linestyle"],
            lw=1.2, capsize=2, color=colour, label=name,
        )  # fmt: skip
    axes.set(xscale="log", yscale="linear", ylim=(-0.03, 1.03), xlabel=label, ylabel="solved")
    few_ticks(axes)
    axes.legend(frameon=False, fontsize="small")
    return axes


def profile(frame: Any, over: str = "evaluations", *, ax: Axes | None = None) -> Axes:
    """Draw performance profiles: the share of instances that a method solves within a multiple of the lowest cost.

    The lowest cost is that of the best method for each instance. A curve begins with the share of instances on which
    its method is the cheapest, and ends with the share that it solves at all (Dolan and Moré, 2002, Mathematical
    Programming 91, 201-213).

    Parameters
    ----------
    frame
        A dict of solutions by name, or a table of one row per method and instance with the columns ``method``,
        ``instance``, ``solved``, and ``evaluations`` (perhaps ``values``) or ``seconds``: of ``Store(folder).rows()``,
        those of one stage and selection.
    over
        ``"evaluations"``, or ``"seconds"`` of each instance.
    ax
        Where to draw. Default: a new figure.

    Raises
    ------
    ArgumentError
        Naming the argument that cannot be used.

    Example
    -------
    >>> kerasjoint.plot.profile({"lbfgs": baseline, "multi-start": many})
    """
    check_over(over, ("evaluations", "seconds"))
    table = frame if isinstance(frame, pd.DataFrame) else _rows(frame)
    table = check_frame("frame", table, ("method", "instance", "solved", over), ROWS)
    if table["solved"].isna().any():
        raise ArgumentError("frame", "instances that are solved or not", "some of which it is not known")
    key = [name for name in KEY if name in table]
    if table.duplicated(["method", *key]).any():
        raise ArgumentError(
            "frame", "one row per method and instance", f"several of the same method and {', '.join(key)}"
        )
    cost = table[over]
    if over == "evaluations" and "values" in table:
        cost = cost_of(cost, table["values"])
    spent = np.where(table["solved"].to_numpy(dtype=bool), cost.to_numpy(dtype=np.float64), np.inf)
    wide = table.assign(cost=spent).pivot(index=key, columns="method", values="cost").fillna(np.inf)
    least = wide.min(axis=1).to_numpy()[:, None]
    ratios = np.where(np.isfinite(wide), wide / np.where(np.isfinite(least), least, 1.0), np.inf)
    end = 1.1 * max(ratios[np.isfinite(ratios)].max(initial=1.0), 1.1)
    axes = axes_of(ax)
    order = list(dict.fromkeys(table["method"]))
    for name, style in method_styles(order).items():
        reached = np.sort(ratios[:, list(wide.columns).index(name)])
        reached = reached[np.isfinite(reached)]
        shares = np.arange(1, len(reached) + 1) / len(wide)
        places = np.concatenate([[1.0], reached, [end]])
        heights = np.concatenate([[0.0], shares, [len(reached) / len(wide)]])
        # Only where two methods share a colour.
        marker = "" if style["marker"] == "o" else style["marker"]
        axes.step(
            places, heights, where="post", color=style["color"], ls=style["linestyle"], lw=1.4, label=name,
            marker=marker, ms=4, markevery=0.15,
        )  # fmt: skip
    what = "evaluations" if over == "evaluations" else "seconds"
    axes.set(
        xscale="log",
        yscale="linear",
        xlim=(1.0, end),
        ylim=(-0.03, 1.03),
        ylabel="solved",
        xlabel=f"{what} / lowest {what}",
    )
    few_ticks(axes)
    axes.legend(frameon=False, fontsize="small")
    return axes


def _rows(solutions: Any) -> pd.DataFrame:
    """Return one row per method and instance of solutions of one problem set."""
    named = solutions_by_name(solutions)
    first = next(iter(named.values()))
    parts = []
    for name, one in named.items():
        if not one.is_of(first.problem_set):
            raise ArgumentError(
                f"solutions[{name!r}]", "a solution of the same problem set", f"one of {one.problem_set}"
            )
        if one.solved is None:
            raise ArgumentError(f"solutions[{name!r}]", "a problem that says what is solved", "one that does not")
        parts.append(one.to_frame().assign(method=name, values=one.values, seconds=one.seconds / len(one)))
    return pd.concat(parts, ignore_index=True)
