"""The better of two points, instance by instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def keep_better(
    best: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]], rows: NDArray[np.intp] | None = None
) -> NDArray[np.bool_]:
    """Overwrite, in ``best``, the instances for which ``found`` has a lower loss; return which of ``found`` those are.

    Parameters
    ----------
    best
        Arrays (n, ...) by name, among them ``loss``; changed in place.
    found
        Arrays (m, ...) of the same names. A loss that is NaN is never better.
    rows
        The instance of each of the m; several may be of one, of which the best counts. Default: all n in their order.

    Example
    -------
    >>> keep_better({"loss": loss, "z": z}, {"loss": new_loss, "z": new_z})
    """
    rows = np.arange(len(best["loss"])) if rows is None else rows
    better = found["loss"] < best["loss"][rows]
    chosen = np.flatnonzero(better)
    # The last assignment to an index stays: so the points are gone through from the worst to the best.
    chosen = chosen[np.argsort(-found["loss"][chosen], kind="stable")]
    for name, array in best.items():
        array[rows[chosen]] = found[name][chosen]
    return better
