"""One row of a comparison: fractions with their intervals, from arrays alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-12
CONFIDENCE = 0.95
# What an evaluation without gradient counts as, beside one with, unless gradients are finite differences.
VALUE_COST = 1 / 3


def cost_of(evaluations: Any, values: Any, value_cost: float = VALUE_COST) -> Any:
    """Return evaluations of which ``values`` had no gradient, each of these counted as ``value_cost`` of one."""
    return evaluations - (1 - value_cost) * values


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
    from scipy.stats import binomtest  # Most of a second, and only tables need it.

    interval = binomtest(round(share * whole), whole).proportion_ci(CONFIDENCE, method="wilson")
    return {name: share, f"{name}_low": float(interval.low), f"{name}_high": float(interval.high)}
