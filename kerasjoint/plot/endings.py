"""How the instances of a solution ended."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from kerasjoint.plot.arguments import axes_of, check_solution
from kerasjoint.plot.styles import EQUAL, GREEN

MOST_NAMED = 6
# So that a single bar does not fill the axes.
FEWEST_ROWS = 4


def statuses(solution: Any, *, ax: Axes | None = None) -> Axes:
    """Draw how many instances ended how, which of them are confirmed, and which to look at.

    Each bar is a ``Status``, in the order of its code. Its left part counts the instances that are confirmed; if the
    method confirms nothing, those that the problem counts as solved. The numbers beside it are instances of the rest,
    the highest losses first: those to look at.

    Parameters
    ----------
    solution
        A ``Solution``.
    ax
        Where to draw. Default: a new figure.

    Raises
    ------
    ArgumentError
        Naming the argument that cannot be used.

    Example
    -------
    >>> kerasjoint.plot.statuses(solution)
    """
    from kerasjoint.solution import Status

    check_solution(solution)
    known = {"confirmed": solution.confirmed, "solved": solution.solved}
    word, good = next(((word, mask) for word, mask in known.items() if mask is not None), (None, None))
    codes = [int(code) for code in np.unique(solution.status)]
    axes = axes_of(ax)
    places = np.arange(len(codes))
    counts = np.array([np.count_nonzero(solution.status == code) for code in codes])
    sure = np.zeros(len(codes), dtype=int)
    if good is not None:
        sure = np.array([np.count_nonzero(good[solution.status == code]) for code in codes])
        axes.barh(places, sure, 0.6, color=GREEN, label=word)
    axes.barh(places, counts - sure, 0.6, left=sure, color=EQUAL, label="ended" if word is None else f"not {word}")
    for place, code in zip(places, codes, strict=True):
        rest = np.flatnonzero((solution.status == code) & (True if good is None else ~good))
        rest = rest[np.argsort(-solution.loss[rest], kind="stable")]
        if good is not None and rest.size:
            more = f", +{len(rest) - MOST_NAMED}" if len(rest) > MOST_NAMED else ""
            text = f" {counts[place]}; look at {', '.join(map(str, rest[:MOST_NAMED]))}{more}"
        else:
            text = f" {counts[place]}"
        axes.annotate(text, (counts[place], place), (3, 0), textcoords="offset points", va="center", fontsize="small")
    axes.set_yticks(places, [Status(code).name for code in codes])
    axes.set(xlabel="instances", xlim=(0, 2 * counts.max()), ylim=(max(len(codes), FEWEST_ROWS) - 0.5, -0.5))
    # The room to the right is for words.
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= counts.max() and tick == int(tick)])
    axes.legend(frameon=False, fontsize="small", ncols=2, loc="lower left", bbox_to_anchor=(0, 1.0))
    return axes
