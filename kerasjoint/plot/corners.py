"""Pairs of unknowns of one instance: the covariance of its estimate, and the minima found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError, describe
from kerasjoint.plot.arguments import Panels, check_instance, check_solution, check_unknowns, panels_of
from kerasjoint.plot.styles import GREY, NEUTRAL, OBSERVED, TRUE

FloatArray = NDArray[np.float64]

SHOWN = 5
SIGMAS = (1, 2)


def corner(
    solution: Any,
    instance: int = 0,
    uncertainty: Any = None,
    unknowns: str | Sequence[str] | None = None,
    *,
    ax: Any = None,
) -> Panels:
    """Draw each pair of unknowns of an instance: ellipses of its covariance, the distinct minima found, the truth.

    Ellipses are one and two standard deviations of the linearised estimate: they hold 39 % and 86 % of a normal
    distribution. On the diagonal is its density; without a finite covariance, the loss of each minimum.

    Parameters
    ----------
    solution
        A ``Solution``; one with ``minima`` shows them all, larger where more descents ended.
    instance
        Which instance.
    uncertainty
        What ``solution.uncertainty()`` returned. Default: evaluated here for this instance where the misfit is a sum
        over residuals; no ellipses otherwise.
    unknowns
        Labels of unknowns. Default: the first five.
    ax
        An array of k x k axes for k unknowns; those above the diagonal are left empty. Default: a new figure.

    Returns
    -------
    numpy.ndarray
        The axes, (k, k); the first unknown is in the first column, the second in the second row.

    Raises
    ------
    ArgumentError
        Naming the argument that cannot be used.

    Example
    -------
    >>> kerasjoint.plot.corner(solution, instance=3)
    """
    problem_set = check_solution(solution).problem_set
    instance = check_instance(instance, len(solution))
    labels = problem_set.space.labels
    columns = check_unknowns(unknowns, labels, labels[:SHOWN])
    centre = solution.xi[instance, columns]
    covariance = _covariance(solution, instance, uncertainty)
    shown = None if covariance is None else covariance[np.ix_(columns, columns)]
    minima = _minima(solution, instance)
    truth = None if problem_set.truth is None else problem_set.truth[instance, columns]
    k = len(columns)
    axes = panels_of(ax, k * k, columns=k, size=(2.2, 2.1)).reshape(k, k)
    for row, column in np.ndindex(k, k):
        panel: Any = axes[row, column]
        if column > row:
            panel.set_axis_off()
        elif column == row:
            _diagonal(panel, centre[row], shown, row, minima, columns[row], truth)
        else:
            _pair(panel, centre, shown, (column, row), minima, columns, truth)
        if row == k - 1:
            panel.set_xlabel(labels[columns[column]])
        if column == 0 and row > 0:
            panel.set_ylabel(labels[columns[row]])
    axes[-1, 0].figure.suptitle(f"instance {instance}", fontsize="medium")
    return axes


def _pair(
    axes: Axes,
    centre: FloatArray,
    covariance: FloatArray | None,
    pair: tuple[int, int],
    minima: tuple[FloatArray, FloatArray, FloatArray],
    columns: list[int],
    truth: FloatArray | None,
) -> None:
    x, y = pair
    xi, _, hits = minima
    sizes = 20 + 80 * hits / hits.max()
    axes.scatter(xi[:, columns[x]], xi[:, columns[y]], sizes, color=GREY, marker="v", label="minimum found")
    if covariance is not None and np.isfinite(covariance[np.ix_(pair, pair)]).all():
        variances, directions = np.linalg.eigh(covariance[np.ix_(pair, pair)])
        width, height = 2 * np.sqrt(np.maximum(variances, 0.0))
        angle = float(np.degrees(np.arctan2(directions[1, 0], directions[0, 0])))
        for sigma in SIGMAS:
            axes.add_patch(
                Ellipse(
                    (centre[x], centre[y]), sigma * width, sigma * height, angle=angle, fill=False, color=OBSERVED,
                    lw=1.4 / sigma,
                )
            )  # fmt: skip
    axes.plot(centre[x], centre[y], "o", ms=4, color=OBSERVED, label="estimate")
    if truth is not None:
        axes.plot(truth[x], truth[y], "x", ms=7, mew=1.6, color=TRUE, label="truth")
    axes.margins(0.15)
    axes.autoscale_view()


def _diagonal(
    axes: Axes,
    centre: float,
    covariance: FloatArray | None,
    place: int,
    minima: tuple[FloatArray, FloatArray, FloatArray],
    column: int,
    truth: FloatArray | None,
) -> None:
    xi, loss, _ = minima
    variance = np.nan if covariance is None else covariance[place, place]
    if np.isfinite(variance) and variance > 0:
        deviation = np.sqrt(variance)
        values = centre + deviation * np.linspace(-3.5, 3.5, 141)
        density = np.exp(-0.5 * ((values - centre) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
        axes.plot(values, density, color=OBSERVED, lw=1.2)
        axes.set_title(f"{centre:.4g} ± {deviation:.2g}", fontsize="small")
        axes.set_ylabel("density")
    else:
        axes.plot(xi[:, column], loss, "v", color=GREY)
        axes.set_title(f"{centre:.4g}", fontsize="small")
        axes.set_ylabel("loss")
    axes.axvline(centre, color=NEUTRAL, lw=0.8)
    if truth is not None:
        axes.axvline(truth[place], color=TRUE, lw=1.2, ls="--")


def _minima(solution: Any, instance: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return unknowns (k, d), losses and hits (k,) of the minima found; the solution alone if it has no others."""
    table = solution.minima
    here = None if table is None else table[table["instance"] == instance]
    if here is None or here.empty:
        return solution.xi[[instance]], solution.loss[[instance]], np.ones(1)
    labels = solution.problem_set.space.labels
    return here[labels].to_numpy(), here["loss"].to_numpy(), here["hits"].to_numpy(dtype=np.float64)


def _covariance(solution: Any, instance: int, uncertainty: Any) -> FloatArray | None:
    from kerasjoint.uncertainty import Uncertainty, uncertainty_at

    problem_set = solution.problem_set
    if uncertainty is None:
        if not problem_set.evaluator.has_jacobian:
            return None
        return uncertainty_at(problem_set[instance], solution.xi[[instance]], False).covariance[0]
    if not isinstance(uncertainty, Uncertainty) or uncertainty.covariance.shape[:2] != solution.xi.shape:
        raise ArgumentError("uncertainty", "what solution.uncertainty() returned", describe(uncertainty))
    return uncertainty.covariance[instance]
