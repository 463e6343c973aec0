"""Methods against a reference: better, equal and worse, beside what is solved."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kerasjoint.plot.arguments import axes_of, check_frame
from kerasjoint.plot.styles import BETTER, EQUAL, NEUTRAL, WORSE, method_styles

COMPARE = "kerasjoint.compare"


def comparison(frame: Any, *, tolerance: bool = True, ax: Axes | None = None) -> Axes:
    """Draw for each method which share of instances is better, equal and worse than the reference, and what is solved.

    Lines are 95 % intervals: of the share better from the left, of the share worse from the right, of the share solved
    below the bar.

    Parameters
    ----------
    frame
        What ``kerasjoint.compare`` returns.
    tolerance
        Whether losses that differ by less than the tolerance of ``compare`` count as equal.
    ax
        Where to draw. Default: a new figure.

    Raises
    ------
    ArgumentError
        Naming the argument that cannot be used.

    Example
    -------
    >>> kerasjoint.plot.comparison(kerasjoint.compare(solutions, reference="lbfgs"))
    """
    suffix = "_tol" if tolerance else ""
    shares = [f"{name}{suffix}" for name in ("better", "equal", "worse")]
    needed = [f"{name}{end}" for name in (shares[0], shares[2], "solved") for end in ("", "_low", "_high")]
    table = check_frame("frame", frame, ["method", shares[1], *needed], COMPARE)
    axes = axes_of(ax)
    places = np.arange(len(table))
    left = np.zeros(len(table))
    for name, colour, label in zip(shares, (BETTER, EQUAL, WORSE), ("better", "equal", "worse"), strict=True):
        width = table[name].to_numpy(dtype=np.float64)
        axes.barh(places - 0.12, width, 0.4, left=left, color=colour, label=label)
        left = left + width
    interval: dict[str, Any] = {"fmt": "none", "ecolor": NEUTRAL, "capsize": 3, "lw": 1}
    better, low, high = (table[f"{shares[0]}{end}"].to_numpy(dtype=np.float64) for end in ("", "_low", "_high"))
    axes.errorbar(better, places - 0.2, xerr=(better - low, high - better), **interval)
    worse, low, high = (table[f"{shares[2]}{end}"].to_numpy(dtype=np.float64) for end in ("", "_low", "_high"))
    axes.errorbar(1 - worse, places - 0.04, xerr=(high - worse, worse - low), **interval)
    for place, (_, row), style in zip(places, table.iterrows(), method_styles(table["method"]).values(), strict=True):
        if not np.isnan(row["solved"]):
            spread = [[row["solved"] - row["solved_low"]], [row["solved_high"] - row["solved"]]]
            axes.errorbar(
                [row["solved"]], [place + 0.26], xerr=spread, marker=style["marker"], ms=6, capsize=3, lw=1.4,
                color=style["color"], label="solved" if place == 0 else None,
            )  # fmt: skip
    reference = table.attrs.get("reference")
    against = "than the reference" if reference is None else f"than {reference}"
    axes.set_yticks(places, list(table["method"]))
    axes.invert_yaxis()
    axes.set(xlim=(-0.02, 1.02), xlabel=f"share of instances: better, equal, worse {against}; solved")
    axes.legend(ncols=4, frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return axes
