"""SciPy's L-BFGS-B with the same interface: the cross-check of the batched one."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from kerasjoint.methods.base import LocalMethod, check_positive, check_start
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Solution, Status
from kerasjoint.tracking import History, TrackedObjective, stationary_status

FloatArray = NDArray[np.float64]


class ScipyLBFGS(LocalMethod):
    """``scipy.optimize.minimize(method="L-BFGS-B")`` on one instance after the other, in normalised coordinates.

    Bounds are those of the unknowns, through the same tanh as everywhere; SciPy sees none. The objective is scaled as
    in ``LBFGS``, which makes its first trial step comparable.

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
        z = check_start(problem_set, start).copy()
        first_step = self.first_step if first_step is None else first_step
        check_positive(first_step=first_step)
        began = time.perf_counter()
        objective = TrackedObjective(problem_set)
        n = len(problem_set)
        loss, gradient = objective(z, np.arange(n))
        status = stationary_status(loss, gradient)
        iterations = np.zeros(n, dtype=np.int64)
        paths = [[(point.copy(), value)] for point, value in zip(z, loss, strict=True)]
        for i in np.flatnonzero(status == Status.ITERATIONS):
            scale = first_step / float(np.linalg.norm(gradient[i]))
            status[i], iterations[i] = self._minimize(objective, int(i), scale, 1e-4 * first_step, paths[i])
        last_z, last_loss = _at_iteration(paths, max(map(len, paths)))
        history = History(problem_set)
        seconds = time.perf_counter() - began
        for iteration in range(max(map(len, paths))):
            share = (iteration + 1) / max(map(len, paths))
            evaluations = float(objective.evaluations.mean())
            history.record(iteration, evaluations * share, seconds * share, *_at_iteration(paths, iteration))
        return objective.solution(
            self.name, type(self).__name__, (last_z, last_loss), status, iterations, seconds, history.frame
        )

    def _minimize(
        self,
        objective: TrackedObjective,
        instance: int,
        scale: float,
        small_gradient: float,
        path: list[tuple[FloatArray, float]],
    ) -> tuple[Status, int]:
        row = np.array([instance])

        def scaled(z: FloatArray) -> tuple[float, FloatArray]:
            loss, gradient = objective(z[None], row)
            return loss[0] * scale, gradient[0] * scale

        result = minimize(
            scaled,
            path[0][0],
            jac=True,
            method="L-BFGS-B",
            callback=lambda intermediate_result: path.append(
                (intermediate_result.x.copy(), float(intermediate_result.fun) / scale)
            ),
            options={
                "maxiter": self.max_iterations,
                "maxfun": 20 * self.max_iterations,
                "maxcor": self.history_size,
                "ftol": 0.0,
                "gtol": self.tolerance,
            },
        )
        if result.status == 1:
            return Status.ITERATIONS, result.nit
        # SciPy calls it convergence, too, when a line search comes back to where it started.
        largest = np.abs(result.jac).max()
        if largest <= self.tolerance:
            return Status.CONVERGED, result.nit
        return (Status.PRECISION if largest <= small_gradient else Status.FAILED), result.nit


def _at_iteration(paths: list[list[tuple[FloatArray, float]]], iteration: int) -> tuple[FloatArray, FloatArray]:
    """The iterates (n, d) and losses (n,) after so many iterations; finished instances stay where they ended."""
    points = [path[min(iteration, len(path) - 1)] for path in paths]
    return np.stack([point for point, _ in points]), np.array([loss for _, loss in points])
