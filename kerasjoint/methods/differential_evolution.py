"""SciPy's differential evolution, with populations from the prior."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import differential_evolution

from kerasjoint.checks import check_count
from kerasjoint.methods.global_search import GlobalSearch, Search

FloatArray = NDArray[np.float64]

# SciPy's default for each unknown, its smallest population, and how many generations a budget should suffice for.
PER_UNKNOWN, SMALLEST, GENERATIONS = 15, 5, 20


class DifferentialEvolution(GlobalSearch):
    """``scipy.optimize.differential_evolution`` on one instance after the other; a population is one batch.

    The first population is drawn from the prior. When a population has converged, by SciPy's own criterion, another
    one begins. Parameters beside ``population`` are those of ``GlobalSearch``: the final L-BFGS is SciPy's ``polish``,
    with gradients.

    Parameters
    ----------
    population
        Members of a population. Default: 15 for each unknown as in SciPy, but no more than a 20th of the evaluations.

    Example
    -------
    >>> DifferentialEvolution(evaluations=3000).solve(problem_set, seed=0)
    """

    name = "differential-evolution"

    def __init__(self, evaluations: int = 1000, polish: int = 100, population: int | None = None) -> None:
        super().__init__(evaluations, polish)
        expected = f"a whole number of at least {SMALLEST}"
        self.population = None if population is None else max(SMALLEST, check_count("population", population, expected))

    def _search_once(self, search: Search, i: int) -> None:
        size = search.objective.space.size
        members = self.population or max(SMALLEST, min(PER_UNKNOWN * size, self.evaluations // GENERATIONS))

        def losses(unit: FloatArray) -> FloatArray:
            return search.values_of(i, search.from_unit(i, unit.T))

        def generation(*_: object, **__: object) -> None:
            search.iterations[i] += 1

        differential_evolution(
            losses,  # type: ignore[arg-type]
            [(0.0, 1.0)] * size,  # type: ignore[arg-type]
            init=search.to_unit(i, search.draw(i, members)),
            maxiter=self.evaluations,
            vectorized=True,
            updating="deferred",
            polish=False,
            seed=search.generators[i],
            callback=generation,
        )
