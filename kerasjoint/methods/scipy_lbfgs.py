"""SciPy's L-BFGS-B with the same interface: the cross-check of the batched one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize

from kerasjoint.methods.base import QuasiNewtonMethod
from kerasjoint.methods.local_run import LocalRun
from kerasjoint.methods.stopping import stalled_status
from kerasjoint.solution import Status

FloatArray = NDArray[np.float64]


class ScipyLBFGS(QuasiNewtonMethod):
    """``scipy.optimize.minimize(method="L-BFGS-B")`` on one instance after the other, in normalised coordinates.

    Bounds are those of the unknowns, through the same tanh as everywhere; SciPy sees none. Its first trial step has
    length 1 always: for another ``first_step`` it gets coordinates in that unit.

    Its parameters are those of ``QuasiNewtonMethod``.

    Example
    -------
    >>> ScipyLBFGS().solve(problem_set)
    """

    name = "scipy-lbfgs"

    def _advance(self, run: LocalRun) -> None:
        for i in run.movable:
            run.end(np.array([i]), self._minimize(run, i))

    def _minimize(self, run: LocalRun, instance: np.intp) -> Status:
        row, unit = np.array([instance]), self.first_step
        start = run.z[instance]
        scale = unit / float(run.norm[instance])
        tolerance = self.tolerance * float(run.largest[instance]) * scale * unit

        def scaled(z: FloatArray) -> tuple[float, FloatArray]:
            loss, gradient = run.objective(z[None] * unit, row)
            return loss[0] * scale, gradient[0] * scale * unit

        def reach(intermediate_result: OptimizeResult) -> None:
            z, loss = intermediate_result.x[None] * unit, np.array([intermediate_result.fun / scale])
            run.reach(row, z, loss)

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
                "gtol": tolerance,
            },
        )
        if result.status == 1:
            return Status.ITERATIONS
        # SciPy calls it convergence, too, when a line search comes back to where it started.
        largest = np.abs(result.jac).max(keepdims=True)
        if largest[0] <= tolerance:
            return Status.CONVERGED
        return Status(stalled_status(largest / (tolerance / self.tolerance))[0])
