"""NLopt's multi-level single linkage with L-BFGS."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from kerasjoint.methods.global_search import GlobalSearch, Search
from kerasjoint.optional import require

FloatArray = NDArray[np.float64]

# NLopt's HUGE_VAL makes its line search end in NaN.
LARGE = 1e300


class MultiLevelSingleLinkage(GlobalSearch):
    """``G_MLSL_LDS`` of NLopt (``pip install kerasjoint[rivals]``), on one instance after the other.

    L-BFGS starts from points of a Sobol sequence, the better ones first, unless a better one is near that led to a
    minimum already (Rinnooy Kan and Timmer, 1987; Kucherenko and Sytsko, 2005). It searches the box of the bounds, or
    of the prior where there are none. Values at the points count as evaluations without gradient. Where NLopt gives up,
    as for rounding errors of a descent, it begins again with random points.

    Parameters
    ----------
    evaluations
        Budget per instance, never exceeded.

    Example
    -------
    >>> MultiLevelSingleLinkage(evaluations=1000).solve(problem_set, seed=0)
    """

    name = "multi-level-single-linkage"
    needs_gradient = True

    def __init__(self, evaluations: int = 1000) -> None:
        super().__init__(evaluations, polish=0)

    def _check_installed(self) -> None:
        require("nlopt", "rivals")

    def _search_once(self, search: Search, i: int) -> None:
        nlopt, size = require("nlopt", "rivals"), search.objective.space.size
        again = search.iterations[i] > 0
        nlopt.srand(int(search.generators[i].integers(1, 2**31)))

        def loss(unit: FloatArray, gradient: FloatArray) -> float:
            z = search.from_unit(i, unit[None])
            if not gradient.size:
                return min(float(search.values_of(i, z)[0]), LARGE)
            value, slope = search.value_and_gradient(i, z[0])
            gradient[:] = search.unit_gradient(i, z[0], slope)
            return min(value, LARGE)

        local = nlopt.opt(nlopt.LD_LBFGS, size)
        local.set_ftol_rel(1e-12)
        local.set_xtol_rel(1e-12)
        search_all = nlopt.opt(nlopt.G_MLSL if again else nlopt.G_MLSL_LDS, size)
        search_all.set_local_optimizer(local)
        search_all.set_lower_bounds(np.zeros(size))
        search_all.set_upper_bounds(np.ones(size))
        search_all.set_min_objective(loss)
        start = search.draw(i, 1) if again else np.zeros((1, size))
        search.iterations[i] += 1
        # A descent that NLopt cannot go on with ends its whole search.
        with suppress(nlopt.runtime_error):
            search_all.optimize(search.to_unit(i, start)[0])
