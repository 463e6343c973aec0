"""SciPy's L-BFGS-B with the same interface: the cross-check of the batched one."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize

from kerasjoint.methods.base import LocalMethod, check_positive, check_start
from kerasjoint.methods.stopping import stalled_status
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Solution, Status
from kerasjoint.tracking import Path, TrackedObjective, stationary_status

FloatArray = NDArray[np.float64]


class ScipyLBFGS(LocalMethod):
    """``scipy.optimize.minimize(method="L-BFGS-B")`` on one instance after the other, in normalised coordinates.

    Bounds are those of the unknowns, through the same tanh as everywhere; SciPy sees none. Its first trial step has
    length 1 always: for another ``first_step`` it gets coordinates in that unit.

    Its parameters are those of ``LocalMethod``.

    Example
    -------
    >>> ScipyLBFGS().solve(problem_set)
    """

    name = "scipy-lbfgs"

    def solve(
        self,
        problem_set: ProblemSet,
        seed: int = 0,
        *,
        start: FloatArray | None = None,
        first_step: float | None = None,
    ) -> Solution:
        """Solve all instances; see ``LocalMethod.solve``."""
        z = check_start(problem_set, start)
        first_step = self.first_step if first_step is None else first_step
        check_positive(first_step=first_step)
        began = time.perf_counter()
        objective = TrackedObjective(problem_set)
        loss, gradient = objective(z, np.arange(len(z)))
        status = stationary_status(loss, gradient)
        path = Path(z, loss, self.max_iterations)
        for i in np.flatnonzero(status == Status.ITERATIONS):
            status[i] = self._minimize(objective, i, z[i], gradient[i], first_step, path)
        seconds = time.perf_counter() - began
        last, history = (path.z, path.loss), path.history(problem_set, seconds - objective.compile_seconds)
        return objective.solution(self.name, type(self).__name__, last, status, path.iterations, seconds, history)

    def _minimize(
        self,
        objective: TrackedObjective,
        instance: np.intp,
        start: FloatArray,
        gradient: FloatArray,
        unit: float,
        path: Path,
    ) -> np.int8:
        row = np.array([instance])
        scale = unit / float(np.linalg.norm(gradient))

        def scaled(z: FloatArray) -> tuple[float, FloatArray]:
            loss, gradient = objective(z[None] * unit, row)
            return loss[0] * scale, gradient[0] * scale * unit

        def reach(intermediate_result: OptimizeResult) -> None:
            z, loss = intermediate_result.x[None] * unit, np.array([intermediate_result.fun / scale])
            path.reach(row, path.iterations[row] + 1, z, loss, objective.evaluations[row])

        result = minimize(
            scaled,
            start / unit,
            jac=True,
            method="L-BFGS-B",
            callback=reach,
            options={
                "maxiter": self.max_iterations,
                "maxfun": 20 * self.max_iterations,
                "maxcor": self.history_size,
                "ftol": 0.0,
                "gtol": self.tolerance * unit,
            },
        )
        if result.status == 1:
            return np.int8(Status.ITERATIONS)
        # SciPy calls it convergence, too, when a line search comes back to where it started.
        largest = np.abs(result.jac).max(keepdims=True) / unit
        return np.int8(Status.CONVERGED) if largest[0] <= self.tolerance else stalled_status(largest, unit)[0]
