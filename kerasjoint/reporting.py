"""A page about solutions, to send around."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kerasjoint.comparison import compare
from kerasjoint.environment import commit, machine, versions
from kerasjoint.errors import ArgumentError, describe
from kerasjoint.page import Page, check_html_path
from kerasjoint.solution import Solution

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Columns of ``compare`` that a page shows: the intervals are in the figure.
COMPARED = ("method", "better_tol", "equal_tol", "worse_tol", "solved", "mean_loss", "median_loss", "worst_loss",
            "median_error", "evaluations", "seconds", "compile_seconds")  # fmt: skip


def report(
    solutions: Solution | Mapping[str, Solution],
    path: str | os.PathLike[str],
    *,
    reference: str | None = None,
    title: str | None = None,
) -> Path:
    """Write one HTML page about solutions of a problem set: tables that sort, figures, settings and versions.

    Its tables have the standard errors of the unknowns where the misfit is a sum over residuals. The page holds
    everything in one file, loads nothing and can be sent as it is.

    Parameters
    ----------
    solutions
        A ``Solution``, or a dict of them by name, all of the same problem set.
    path
        The file to write, ending in ``.html``; whole or not at all.
    reference
        The name of the solution that the others are compared with. Default: the first.
    title
        The heading. Default: the name of the problem.

    Returns
    -------
    pathlib.Path
        The path.

    Raises
    ------
    ArgumentError
        Naming the argument that cannot be used.

    Example
    -------
    >>> kerasjoint.report({"lbfgs": baseline, "reparameterized": refined}, "decays.html")
    """
    target = check_html_path(path)
    named = {solutions.method: solutions} if isinstance(solutions, Solution) else solutions
    if not isinstance(named, Mapping) or not named:
        raise ArgumentError("solutions", "a Solution, or a dict of them by name", describe(solutions))
    if title is not None and not isinstance(title, str):
        raise ArgumentError("title", "a text", describe(title))
    first = next(iter(named))
    table = compare(named, first if reference is None else reference)
    problem_set = named[first].problem_set
    page = Page(title or type(problem_set.problem).__name__)
    page.text((type(problem_set.problem).__doc__ or "").strip().split("\n\n")[0])
    page.text(f"{len(problem_set)} instances; {', '.join(named)}.")
    page.heading("Unknowns")
    page.table(_unknowns(problem_set))
    page.heading("Comparison")
    page.text(
        f"Shares of instances whose loss is lower than, equal to and higher than that of {table.attrs['reference']}: "
        f"equal if they differ by at most {table.attrs['relative_tolerance']:g} of the larger loss "
        f"+ {table.attrs['absolute_tolerance']:g}. Evaluations are means per instance, seconds those of all instances."
    )
    page.table(table[list(COMPARED)].rename(columns=lambda name: name.removesuffix("_tol").replace("_", " ")))
    _figures_of_all(page, named, table)
    for name, solution in named.items():
        page.heading(name)
        page.text(repr(solution))
        _figures_of_one(page, name, solution)
        known = solution.problem_set.evaluator.has_jacobian
        page.table(solution.to_frame(solution.uncertainty() if known else None))
    page.heading("Made with")
    page.pairs({**versions(), "machine": machine(), "commit": commit()})
    call = ", ".join(f"{name!r}: ..." for name in named)
    page.code(f"kerasjoint.report({{{call}}}, {str(target)!r})")
    return page.write(target)


def png_of(figure: Figure) -> bytes:
    """Return a figure as a PNG, and close it."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    return buffer.getvalue()


def _figures_of_all(page: Page, named: Mapping[str, Solution], table: pd.DataFrame) -> None:
    from kerasjoint import plot

    known = all(solution.solved is not None for solution in named.values())
    if len(named) > 1:
        page.figure(
            png_of(_figure_of(plot.comparison(table))), "Better, equal and worse, and solved, with 95 % intervals"
        )
    page.figure(png_of(_figure_of(plot.convergence(named))), "Median loss and quartiles over evaluations")
    if known:
        page.figure(png_of(_figure_of(plot.solved(named))), "Share of instances solved over evaluations")
    if known and len(named) > 1:
        caption = "Share of instances solved within a multiple of the lowest cost"
        page.figure(png_of(_figure_of(plot.profile(dict(named)))), caption)


def _figures_of_one(page: Page, name: str, solution: Solution) -> None:
    from kerasjoint import plot

    page.figure(png_of(_figure_of(plot.statuses(solution))), f"How the instances ended: {name}")
    page.figure(png_of(_figure_of(plot.unknowns(solution))), f"Estimates of the unknowns: {name}")


def _figure_of(axes: Any) -> Figure:
    return np.atleast_1d(np.asarray(axes, dtype=object)).ravel()[0].figure


def _unknowns(problem_set: Any) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"unknown": unknown.name, "shape": str(unknown.shape)}
            | {
                name: f"{values.min():.4g}" + (f" to {values.max():.4g}" if values.min() < values.max() else "")
                for name, values in zip(("lower", "upper", "guess", "scale"), unknown.arrays, strict=True)
            }
            for unknown in problem_set.space.unknowns
        ]
    )
