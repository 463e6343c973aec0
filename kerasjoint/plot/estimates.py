"""Estimates of the unknowns with their standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasjoint.errors import ArgumentError, describe
from kerasjoint.plot.arguments import Panels, check_solution, check_unknowns, panels_of
from kerasjoint.plot.styles import NEUTRAL, OBSERVED, RED, TRUE

# So many unknowns are shown unless others are asked for.
SHOWN = 9


def unknowns(
    solution: Any, uncertainty: Any = None, unknowns: str | Sequence[str] | None = None, *, ax: Any = None
) -> Panels:
    """Draw the estimates of all instances with their standard errors: against the truth, or one after the other.

    Parameters
    ----------
    solution
        A ``Solution``.
    uncertainty
        What ``solution.uncertainty()`` returned. Default: evaluated here where the misfit is a sum over residuals; no
        error bars otherwise. Infinite errors are not drawn; such estimates are hollow.
    unknowns
        Labels of unknowns. Default: the first nine.
    ax
        An axes for each unknown. Default: a new figure.

    Returns
    -------
    numpy.ndarray
        The axes, one for each unknown.

    Raises
    ------
    ArgumentError
        Naming the argument that cannot be used.

    Example
    -------
    >>> kerasjoint.plot.unknowns(solution, solution.uncertainty(absolute_sigma=True), unknowns=["rate"])
    """
    problem_set = check_solution(solution).problem_set
    labels = problem_set.space.labels
    columns = check_unknowns(unknowns, labels, labels[:SHOWN])
    errors = standard_errors(solution, uncertainty)
    axes = panels_of(ax, len(columns), columns=3)
    for panel, column in zip(axes, columns, strict=True):
        estimate, label = solution.xi[:, column], labels[column]
        truth = None if problem_set.truth is None else problem_set.truth[:, column]
        places = np.arange(len(estimate)) if truth is None else truth
        error = None if errors is None else errors[:, column]
        sure = np.ones(len(estimate), dtype=bool) if error is None else np.isfinite(error)
        if error is not None:
            panel.errorbar(places[sure], estimate[sure], error[sure], fmt="none", ecolor=NEUTRAL, lw=0.8, capsize=2)
        missed = np.zeros(len(estimate), dtype=bool) if solution.solved is None else ~solution.solved
        for where, colour, name in ((~missed, OBSERVED, "estimate"), (missed, RED, "not solved")):
            if where.any():
                panel.plot(places[where & sure], estimate[where & sure], "o", ms=4, color=colour, label=name)
                panel.plot(places[where & ~sure], estimate[where & ~sure], "o", ms=4, mfc="none", color=colour)
        if truth is None:
            panel.set(xlabel="instance", ylabel=label)
        else:
            ends = [truth.min(), truth.max()]
            panel.plot(ends, ends, color=TRUE, lw=1, label="truth", zorder=0)
            panel.set(xlabel=f"true {label}", ylabel=f"estimated {label}")
    axes[0].legend(frameon=False, fontsize="small")
    if len(columns) < len(labels) and unknowns is None:
        axes[0].set_title(f"{len(columns)} of {len(labels)} unknowns", fontsize="medium")
    return axes


def standard_errors(solution: Any, uncertainty: Any) -> np.ndarray | None:
    """Return the standard errors (n, d): those given, or evaluated now where the misfit is a sum over residuals."""
    from kerasjoint.uncertainty import Uncertainty

    if uncertainty is None:
        problem_set = solution.problem_set
        return solution.uncertainty().standard_errors if problem_set.evaluator.has_jacobian else None
    if not isinstance(uncertainty, Uncertainty) or uncertainty.standard_errors.shape != solution.xi.shape:
        raise ArgumentError("uncertainty", "what solution.uncertainty() returned", describe(uncertainty))
    return uncertainty.standard_errors
