"""Checks of what the plotting functions take, and the axes they draw into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from kerasjoint.checks import check_count
from kerasjoint.errors import ArgumentError, describe

if TYPE_CHECKING:
    from kerasjoint.problem_set import ProblemSet
    from kerasjoint.solution import Solution

# One axes for each panel.
Panels = NDArray[np.object_]

OVER = {
    "evaluations": "evaluations per instance",
    "seconds": "seconds for all instances / s",
    "iteration": "iteration + 1",
}


def axes_of(ax: Any) -> Axes:
    """Return the axes to draw one panel into: those given, or those of a new figure."""
    if ax is None:
        return plt.subplots(layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise ArgumentError("ax", "a matplotlib Axes", describe(ax))
    return ax


def few_ticks(axes: Axes) -> None:
    """Label a logarithmic x axis at powers of ten and, where it is short, at 2 and 5 times these."""
    low, high = axes.get_xlim()
    short = high < 300 * low
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if short else (1,)))
    if short:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def panels_of(ax: Any, count: int, columns: int, size: tuple[float, float] = (3.2, 2.6)) -> Panels:
    """Return ``count`` axes (count,): those given, or those of a new figure of so many columns."""
    if ax is not None:
        given = np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
        if len(given) != count or not all(isinstance(one, Axes) for one in given):
            raise ArgumentError("ax", f"{count} matplotlib Axes, one for each panel", describe(ax))
        return given
    columns = min(columns, count)
    rows = -(-count // columns)
    figsize = (size[0] * columns, size[1] * rows)
    grid = plt.subplots(rows, columns, figsize=figsize, squeeze=False, layout="constrained")[1].ravel()
    for unused in grid[count:]:
        unused.remove()
    return grid[:count]


def check_solution(solution: Any) -> Solution:
    """Return the solution if it is one."""
    from kerasjoint.solution import Solution

    if not isinstance(solution, Solution):
        raise ArgumentError("solution", "a Solution", describe(solution))
    return solution


def check_problem_set(problem_set: Any) -> ProblemSet:
    """Return the problem set if it is one."""
    from kerasjoint.problem_set import ProblemSet

    if not isinstance(problem_set, ProblemSet):
        raise ArgumentError("problem_set", "a ProblemSet", describe(problem_set))
    return problem_set


def solutions_by_name(solutions: Any) -> dict[str, Solution]:
    """Return solutions by name: of a dict as they are, a lone one under the name of its method."""
    from kerasjoint.solution import Solution

    if isinstance(solutions, Solution):
        return {solutions.method: solutions}
    if not isinstance(solutions, Mapping) or not solutions or not all(isinstance(name, str) for name in solutions):
        raise ArgumentError("solutions", "a Solution, a dict of them by name, or a table", describe(solutions))
    for name, one in solutions.items():
        if not isinstance(one, Solution):
            raise ArgumentError(f"solutions[{name!r}]", "a Solution", describe(one))
    return dict(solutions)


def check_frame(argument: str, frame: Any, columns: Sequence[str], source: str) -> pd.DataFrame:
    """Return the table if it has rows and the columns; ``source`` says what makes such a table."""
    if not isinstance(frame, pd.DataFrame):
        raise ArgumentError(argument, f"a table as of {source}", describe(frame))
    missing = [column for column in columns if column not in frame]
    if missing or frame.empty:
        got = "no rows" if not missing else f"one without {', '.join(missing)}"
        raise ArgumentError(argument, f"a table as of {source}, with {', '.join(columns)}", got)
    return frame


def check_instance(instance: Any, n: int) -> int:
    """Return the index of one of ``n`` instances; negative ones count from the end."""
    whole = isinstance(instance, (int, np.integer)) and not isinstance(instance, bool)
    if not whole or not -n <= instance < n:
        raise ArgumentError("instance", f"the index of one of {n} instances", describe(instance))
    return int(instance) % n


def check_unknowns(unknowns: str | Sequence[str] | None, labels: Sequence[str], default: Sequence[str]) -> list[int]:
    """Return the columns of the unknowns named, each once."""
    names = list(default) if unknowns is None else [unknowns] if isinstance(unknowns, str) else unknowns
    if not isinstance(names, (list, tuple)) or not names:
        raise ArgumentError("unknowns", f"names among {labels}", describe(unknowns))
    for name in names:
        if name not in labels or names.count(name) > 1:
            raise ArgumentError("unknowns", f"different names among {labels}", describe(name))
    return [labels.index(name) for name in names]


def check_over(over: str, among: Sequence[str]) -> str:
    """Return the label of the horizontal axis that ``over`` names."""
    if over not in among:
        raise ArgumentError("over", f"one of {', '.join(among)}", describe(over))
    return OVER[over]


def check_points(points: int) -> int:
    """Return how many points a line has."""
    if check_count("points", points, most=10**6) < 2:
        raise ArgumentError("points", "at least 2", points)
    return int(points)
