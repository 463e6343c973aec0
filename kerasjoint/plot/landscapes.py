"""The loss of an instance along one of its unknowns, or over two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from numpy.typing import ArrayLike, NDArray

from kerasjoint.errors import ArgumentError, KerasjointError, describe
from kerasjoint.plot.arguments import (
    axes_of,
    check_instance,
    check_points,
    check_problem_set,
    check_solution,
    check_unknowns,
)
from kerasjoint.plot.styles import BLUE, GREY, NEUTRAL, ORANGE, RED, TRUE

FloatArray = NDArray[np.float64]

POINTS = {1: 512, 2: 96}
# An unknown without bounds is shown so many scales around the guess.
REACH = 3
# Losses further below the largest are not told apart by colour.
DECADES = 12


@dataclass(frozen=True, eq=False)
class Landscape:
    """The loss along one unknown or over two, the others fixed.

    Attributes
    ----------
    labels
        The unknowns that change.
    values
        The values of each, (points,).
    loss
        (points,) along one unknown; (points, points) over two, the first along the columns.
    gradient
        The derivative along one unknown, (points,), if there is one.
    truth
        The true values of these unknowns, if they are known.
    at_truth
        Whether the others are true, or else at the guess.
    """

    labels: list[str]
    values: list[FloatArray]
    loss: FloatArray
    gradient: FloatArray | None
    truth: FloatArray | None
    at_truth: bool


def evaluate_landscape(
    problem_set: Any, instance: int = 0, unknowns: str | Sequence[str] | None = None, points: int | None = None
) -> Landscape:
    """Evaluate what ``landscape`` draws: for storing it, or for drawing it in another way.

    Example
    -------
    >>> evaluate_landscape(problem_set, unknowns="rate").loss.shape
    (512,)
    """
    space = check_problem_set(problem_set).space
    instance = check_instance(instance, len(problem_set))
    shown = problem_set.problem.shown_unknown or space.labels[0]
    columns = check_unknowns(unknowns, space.labels, [shown])
    if len(columns) > 2:
        raise ArgumentError("unknowns", "one or two", describe(unknowns))
    count = check_points(POINTS[len(columns)] if points is None else points)
    known = problem_set.truth is not None
    centre = (problem_set.truth if known else problem_set.guess)[instance]
    values = []
    for column in columns:
        reach = REACH * space.scale[column]
        low, high = space.lower[column], space.upper[column]
        low = low if np.isfinite(low) else centre[column] - reach
        values.append(np.linspace(low, high if np.isfinite(high) else centre[column] + reach, count))
    grid = np.meshgrid(*values)
    xi = np.tile(centre, (grid[0].size, 1))
    for column, coordinates in zip(columns, grid, strict=True):
        xi[:, column] = coordinates.ravel()
    rows = np.full(len(xi), instance)
    gradient = None
    if len(columns) == 2:
        loss = problem_set.objective(xi, rows)
    else:
        try:
            loss, slopes = problem_set.value_and_gradient(xi, rows)
            gradient = slopes[:, columns[0]]
        except KerasjointError:
            loss = problem_set.objective(xi, rows)
    truth = problem_set.truth[instance, columns] if known else None
    return Landscape([space.labels[c] for c in columns], values, loss.reshape(grid[0].shape), gradient, truth, known)


def landscape(
    problem_set: Any,
    instance: int = 0,
    unknowns: str | Sequence[str] | None = None,
    *,
    solution: Any = None,
    starts: ArrayLike | None = None,
    path: ArrayLike | None = None,
    points: int | None = None,
    gradient: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw the loss of an instance along one unknown or over two, the others true, or at their guess.

    The guess, the truth, bounds, and what is given of starts, path and minima are drawn over it. These lie on the shown
    line or plane only as far as the other unknowns agree.

    Parameters
    ----------
    problem_set
        A ``ProblemSet``.
    instance
        Which instance.
    unknowns
        One or two labels of unknowns, such as ``"rate"`` or ``("v0[0]", "v0[1]")``. Default: what the problem's
        ``shown_unknown`` names, else the first.
    solution
        A ``Solution`` of the problem set, whose minima are shown: all that were found if it has ``minima``.
    starts, path
        Further points, and the points of a descent in order, flat (k, d).
    points
        How many values each unknown takes. Default: 512 along one, 96 over two.
    gradient
        Whether to draw the derivative along one unknown too, on an axis at the right.
    ax
        Where to draw. Default: a new figure.

    Raises
    ------
    ArgumentError
        Naming the argument that cannot be used.

    Example
    -------
    >>> kerasjoint.plot.landscape(problem_set, instance=0, unknowns="rate", solution=solution)
    """
    found = evaluate_landscape(problem_set, instance, unknowns, points)
    instance, space = check_instance(instance, len(problem_set)), problem_set.space
    columns = [space.labels.index(label) for label in found.labels]
    marks = {"start": np.concatenate([problem_set.guess[[instance]], _points("starts", starts, space.size)])}
    minima = np.zeros((0, space.size))
    if solution is not None:
        if not check_solution(solution).is_of(problem_set):
            raise ArgumentError("solution", "a solution of the problem set", f"one of {solution.problem_set}")
        table = solution.minima
        known = None if table is None else table.loc[table["instance"] == instance, space.labels].to_numpy()
        minima = solution.xi[[instance]] if known is None or not len(known) else known
    marks["minimum found"] = minima
    way = _points("path", path, space.size)
    axes = axes_of(ax)
    if len(columns) == 1:
        draw_landscape(axes, found, gradient=gradient)
    else:
        _draw_plane(axes, found)
    bounds = [(k, bound) for k, c in enumerate(columns) for bound in (space.lower[c], space.upper[c])]
    for k, (axis, bound) in enumerate((axis, bound) for axis, bound in bounds if np.isfinite(bound)):
        line = axes.axhline if axis else axes.axvline
        line(bound, color=NEUTRAL, lw=1.2, ls="-.", label=None if k else "bound")
    looks = {"start": ("o", GREY, "white"), "minimum found": ("v", RED, RED)}
    for name, where in marks.items():
        marker, colour, face = looks[name]
        if len(where):
            heights = _height(problem_set, instance, where, columns)
            axes.plot(
                where[:, columns[0]], heights, marker, color=colour, mfc=face, ms=7, label=name, zorder=4, clip_on=False
            )
    if len(way):
        axes.plot(
            way[:, columns[0]], _height(problem_set, instance, way, columns), ".-", color=ORANGE, lw=1, label="path"
        )
    axes.legend(fontsize="small")
    return axes


def draw_landscape(axes: Axes, found: Landscape, *, gradient: bool = True) -> None:
    """Draw the loss, and its gradient if there is one, along one unknown."""
    (values,), (label,) = found.values, found.labels
    axes.plot(values, found.loss, color=NEUTRAL, lw=1)
    if found.truth is not None:
        axes.axvline(float(found.truth[0]), color=TRUE, lw=1.2, ls="--", label="true value")
    axes.set(xlabel=label, ylabel="loss")
    shown = found.gradient if gradient else None
    axes.set_title(_title("loss" if shown is None else "loss and gradient", found), fontsize="medium")
    if shown is not None:
        twin = axes.twinx()
        twin.plot(values, shown, color=BLUE, lw=0.8)
        twin.set_ylabel("gradient", color=BLUE)


def _draw_plane(axes: Axes, found: Landscape) -> None:
    loss, (first, second) = found.loss, found.values
    finite = loss[np.isfinite(loss)]
    norm = None
    if finite.size and finite.min() >= 0 and finite.max() > 0:
        lowest = max(finite.min(), finite.max() * 10.0**-DECADES)
        norm = LogNorm(lowest, finite.max())
        loss = np.maximum(loss, lowest)
    image = axes.pcolormesh(first, second, np.ma.masked_invalid(loss), norm=norm, cmap="viridis", shading="nearest")
    axes.figure.colorbar(image, ax=axes, label="loss")
    if found.truth is not None:
        axes.plot(*found.truth, "x", color="white", ms=9, mew=2.5, ls="none", zorder=5)
        axes.plot(*found.truth, "x", color=TRUE, ms=8, mew=1.2, ls="none", zorder=5, label="true values")
    axes.set(xlabel=found.labels[0], ylabel=found.labels[1])
    axes.set_title(_title("loss", found), fontsize="medium")


def _title(what: str, found: Landscape) -> str:
    return f"{what}, other unknowns {'true' if found.at_truth else 'at their guess'}"


def _height(problem_set: Any, instance: int, xi: FloatArray, columns: list[int]) -> FloatArray:
    """Return where points (k, d) lie on the vertical axis: their second unknown shown, or their loss."""
    if len(columns) == 2:
        return xi[:, columns[1]]
    return problem_set.objective(xi, np.full(len(xi), instance))


def _points(argument: str, points: ArrayLike | None, size: int) -> FloatArray:
    from kerasjoint.unknown import as_float_array

    if points is None:
        return np.zeros((0, size))
    array = as_float_array(argument, points)
    if array.ndim != 2 or array.shape[1] != size:
        raise ArgumentError(argument, f"shape (k, {size})", array.shape)
    return array
