"""Solutions of several methods, instance by instance, against a reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest

from kerasjoint.errors import ArgumentError
from kerasjoint.solution import Solution

FloatArray = NDArray[np.float64]
RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-12
CONFIDENCE = 0.95


def compare(
    solutions: Mapping[str, Solution],
    reference: str,
    *,
    relative_tolerance: float = RELATIVE_TOLERANCE,
    absolute_tolerance: float = ABSOLUTE_TOLERANCE,
) -> pd.DataFrame:
    """Tabulate how methods do against a reference on the same instances.

    Parameters
    ----------
    solutions
        One solution per name, all of the same problem set.
    reference
        The name of the one that the others are compared with.
    relative_tolerance, absolute_tolerance
        Two losses a, b count as equal, beside the strict comparison, when
        |a - b| <= relative_tolerance * max(|a|, |b|) + absolute_tolerance.

    Returns
    -------
    pandas.DataFrame
        One row per name, with

        - ``better``, ``equal``, ``worse``: fractions of instances, strict; the same with the tolerance as
          ``better_tol`` and so on (the tolerance itself in ``attrs``),
        - ``solved``: the fraction the problem counts as solved (NaN where it cannot tell),
        - ``<fraction>_low`` and ``_high``: 95 % Wilson intervals,
        - ``mean_loss``, ``median_loss``, ``worst_loss``, ``median_error`` (of the unknowns, relative to their scale;
          NaN without truth), ``evaluations`` (mean per instance), ``seconds`` and ``compile_seconds``.

    Example
    -------
    >>> compare({"lbfgs": baseline, "reparameterized": refined}, reference="lbfgs").to_csv("comparison.csv")
    """
    if reference not in solutions:
        raise ArgumentError("reference", f"one of {list(solutions)}", repr(reference))
    for name, solution in solutions.items():
        if not isinstance(solution, Solution):
            raise ArgumentError(f"solutions[{name!r}]", "a Solution", type(solution).__name__)
    base = solutions[reference]
    for name, solution in solutions.items():
        if not solution.is_of(base.problem_set):
            expected = f"a solution of the problem set of {reference!r}"
            raise ArgumentError(f"solutions[{name!r}]", expected, f"one of {solution.problem_set}")
    rows = {
        name: summarise(
            solution.loss,
            base.loss,
            solution.solved,
            error_of_unknowns(solution),
            solution.evaluations,
            relative_tolerance=relative_tolerance,
            absolute_tolerance=absolute_tolerance,
        )
        | {"seconds": solution.seconds, "compile_seconds": solution.compile_seconds}
        for name, solution in solutions.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method").reset_index()
    table.attrs = {
        "reference": reference,
        "relative_tolerance": relative_tolerance,
        "absolute_tolerance": absolute_tolerance,
    }
    return table


def summarise(
    loss: FloatArray,
    reference_loss: FloatArray,
    solved: NDArray[np.bool_] | None,
    error: FloatArray | None,
    evaluations: NDArray[np.int64] | FloatArray,
    *,
    relative_tolerance: float = RELATIVE_TOLERANCE,
    absolute_tolerance: float = ABSOLUTE_TOLERANCE,
) -> dict[str, float]:
    """Summarise instances, all arrays (n,), as one row of ``compare``; a loss that is NaN counts as infinite."""
    n = len(loss)
    row: dict[str, float] = {"n": n}
    loss, reference_loss = (np.where(np.isnan(array), np.inf, array) for array in (loss, reference_loss))
    # Two infinite losses are equal; their difference would be NaN.
    equal = loss == reference_loss
    with np.errstate(invalid="ignore"):
        largest = np.maximum(np.abs(loss), np.abs(reference_loss))
        near = np.abs(loss - reference_loss) <= relative_tolerance * largest + absolute_tolerance
        near = equal | (near & np.isfinite(loss) & np.isfinite(reference_loss))
    for suffix, same in (("", equal), ("_tol", near)):
        row |= fraction(f"better{suffix}", (loss < reference_loss) & ~same)
        row |= fraction(f"equal{suffix}", same)
        row |= fraction(f"worse{suffix}", (loss > reference_loss) & ~same)
    row |= fraction("solved", solved)
    row["mean_loss"] = float(np.mean(loss))
    row["median_loss"] = float(np.quantile(loss, 0.5, method="inverted_cdf"))
    row["worst_loss"] = float(np.max(loss))
    row["median_error"] = float("nan") if error is None else float(np.median(error))
    row["evaluations"] = float(np.mean(evaluations))
    return row


def fraction(name: str, hits: NDArray[np.bool_] | None) -> dict[str, float]:
    """Return a fraction with its 95 % Wilson interval under three names; NaN for what is not known."""
    return fraction_of(name, float("nan") if hits is None else float(np.mean(hits)), 0 if hits is None else len(hits))


def fraction_of(name: str, share: float, count: float) -> dict[str, float]:
    """Return a share of ``count`` instances (rounded to whole ones) with its 95 % Wilson interval under three names."""
    if np.isnan(share):
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
    whole = max(round(count), 1)
    interval = binomtest(round(share * whole), whole).proportion_ci(CONFIDENCE, method="wilson")
    return {name: share, f"{name}_low": float(interval.low), f"{name}_high": float(interval.high)}


def error_of_unknowns(solution: Solution) -> FloatArray | None:
    """Return the root mean square error of each instance's unknowns, relative to their scale, if the truth is known."""
    truth = solution.problem_set.truth
    if truth is None:
        return None
    return np.sqrt(np.mean(((solution.xi - truth) / solution.problem_set.space.scale) ** 2, axis=1))
