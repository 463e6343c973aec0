"""SciPy's basin hopping with L-BFGS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import basinhopping

from kerasjoint.checks import check_count, check_positive
from kerasjoint.methods.global_search import GlobalSearch, Search

FloatArray = NDArray[np.float64]


class BasinHopping(GlobalSearch):
    """``scipy.optimize.basinhopping`` on one instance after the other: L-BFGS from random steps away from a minimum.

    It works in the box of the bounds, or of the prior where there are none; steps that would leave it end on its side,
    and descents are bounded by it. Losses are divided by that of the guess. SciPy adapts the length of the steps to the
    share that is accepted. Every descent is a polish, so none is kept back.

    Parameters
    ----------
    evaluations
        Budget per instance, never exceeded.
    step
        Largest first step of each coordinate, as a share of the width of the box.
    temperature
        Of the acceptance of higher minima, in units of the loss of the guess.
    max_iterations
        Of each descent.

    Example
    -------
    >>> BasinHopping(evaluations=1000).solve(problem_set, seed=0)
    """

    name = "basin-hopping"
    needs_gradient = True

    def __init__(
        self, evaluations: int = 1000, step: float = 0.1, temperature: float = 0.01, max_iterations: int = 200
    ) -> None:
        super().__init__(evaluations, polish=0)
        check_positive(step=step, temperature=temperature)
        self.step, self.temperature = step, temperature
        self.max_iterations = check_count("max_iterations", max_iterations)

    def _search_once(self, search: Search, i: int) -> None:
        # Begun again, only where SciPy's loop ends by itself, it starts from the prior.
        size = search.objective.space.size
        start = search.draw(i, 1) if search.iterations[i] else np.zeros((1, size))
        first = search.objective.best_loss[i]
        height = first if np.isfinite(first) and first > 0 else 1.0

        def scaled(unit: FloatArray) -> tuple[float, FloatArray]:
            z = search.from_unit(i, unit[None])[0]
            loss, gradient = search.value_and_gradient(i, z)
            return loss / height, search.unit_gradient(i, z, gradient) / height

        def hop(*_: object) -> None:
            search.iterations[i] += 1

        basinhopping(
            scaled,  # type: ignore[arg-type]
            search.to_unit(i, start)[0],
            niter=search.left(i),
            T=self.temperature,
            take_step=_Step(self.step, search.generators[i]),  # type: ignore[arg-type]
            minimizer_kwargs={  # type: ignore[arg-type]
                "method": "L-BFGS-B",
                "jac": True,
                "bounds": [(0.0, 1.0)] * size,
                "options": {"maxiter": self.max_iterations, "ftol": 1e-15, "gtol": 1e-12},
            },
            callback=hop,
            seed=search.generators[i],
        )


class _Step:
    """A uniform step within the unit cube, whose length SciPy adapts."""

    def __init__(self, stepsize: float, generator: np.random.Generator) -> None:
        self.stepsize = stepsize
        self._generator = generator

    def __call__(self, unit: FloatArray) -> FloatArray:
        """Return where a step from ``unit`` (d,) leads."""
        return np.clip(unit + self._generator.uniform(-self.stepsize, self.stepsize, len(unit)), 0.0, 1.0)
