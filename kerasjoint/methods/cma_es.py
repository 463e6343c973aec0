"""CMA-ES of the package ``cma``, all instances in lockstep, with restarts of growing populations."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasjoint.checks import check_positive
from kerasjoint.methods.global_search import GlobalSearch, Search
from kerasjoint.optional import require

FloatArray = NDArray[np.float64]


class CMAES(GlobalSearch):
    """Covariance matrix adaptation (Hansen's package ``cma``, ``pip install kerasjoint[rivals]``), without gradients.

    Every instance has an evolution strategy of its own, and each generation of all of them is evaluated in one batch.
    It works in normalised coordinates, with the deviations of the prior as their scale. The first run starts at the
    guess; when a run ends, by the package's own criteria, the next starts from the prior with twice the population
    (IPOP; Auger and Hansen, 2005). Parameters beside ``step`` are those of ``GlobalSearch``.

    Parameters
    ----------
    step
        Deviation of the first generation, in those of the prior.

    Example
    -------
    >>> CMAES(evaluations=3000).solve(problem_set, seed=0)
    """

    name = "cma-es"

    def __init__(self, evaluations: int = 1000, polish: int = 100, step: float = 1.0) -> None:
        super().__init__(evaluations, polish)
        check_positive(step=step)
        self.step = step

    def _check_installed(self) -> None:
        require("cma", "rivals")

    def _search(self, search: Search, done: Callable[[int], None]) -> None:
        n, size = len(search.limit), search.objective.space.size
        strategies = [self._strategy(search, i, np.zeros(size), None) for i in range(n)]
        active = [i for i in range(n) if search.left(i)]
        while active:
            asked = {i: np.array(strategies[i].ask())[: search.left(i)] for i in active}
            points = np.concatenate([asked[i] * search.deviation[i] for i in active])
            rows = np.repeat(active, [len(asked[i]) for i in active])
            loss = search.values(points, rows)
            for i in active:
                search.iterations[i] += 1
                if search.left(i):
                    strategies[i] = self._told(search, i, strategies[i], asked[i], loss[rows == i])
            active = [i for i in active if search.left(i)]
            done(n - len(active))

    def _told(self, search: Search, i: int, strategy: Any, points: FloatArray, loss: FloatArray) -> Any:
        """Return the strategy after it learned of its generation, or the next one if it ends."""
        finite = np.isfinite(loss)
        if finite.any():
            # The worst of all, in a number that means and differences can be taken of.
            worst = loss[finite].max() + np.ptp(loss[finite]) + 1.0
            strategy.tell(list(points), np.where(finite, loss, worst).tolist())
            if not strategy.stop():
                return strategy
        start = search.draw(i, 1)[0] / search.deviation[i]
        return self._strategy(search, i, start, 2 * strategy.popsize)

    def _strategy(self, search: Search, i: int, start: FloatArray, population: int | None) -> Any:
        cma, generator = require("cma", "rivals"), search.generators[i]
        options = {
            "verbose": -9,
            "verb_log": 0,
            "seed": np.nan,
            "randn": lambda *shape: generator.standard_normal(shape),
        }
        if population is not None:
            options["popsize"] = min(population, self.evaluations)
        with warnings.catch_warnings():
            # Of a single unknown it says that it is meant for more.
            warnings.simplefilter("ignore")
            return cma.CMAEvolutionStrategy(start, self.step, options)
