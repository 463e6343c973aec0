"""Refinement of other problems from near their solutions, until nothing is gained any more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.optimize import least_squares

from kerasjoint import ProblemSet, methods
from kerasjoint.problems import PROBLEMS

SEED = 1
# In normalised coordinates.
NOISE = 0.05
# L-BFGS gains something for that long on some.
ITERATIONS = 1500


def refinement(data: Path, n: int, problem: str, method: str) -> Callable[[], dict[str, Any]]:
    """Solve n instances of a problem by a local method, from the true unknowns plus noise."""
    problem_set, near = _near(problem, n)

    def run() -> dict[str, Any]:
        solution = getattr(methods, method)(ITERATIONS, first_step=0.01).solve(problem_set, start=near)
        return {
            "solved": solution.solved.mean(),
            "evaluations": solution.evaluations.mean(),
            "median loss": np.median(solution.loss),
        }

    return run


def scipy_least_squares(data: Path, n: int, problem: str) -> Callable[[], dict[str, Any]]:
    """Solve n instances one after the other by SciPy, with the same simulator and Jacobians."""
    problem_set, near = _near(problem, n)

    def run() -> dict[str, Any]:
        xi, evaluations = one_by_one(problem_set, near)
        loss = problem_set.objective(xi)
        solved = problem_set.problem.solved(loss, xi, problem_set).mean()
        return {"solved": solved, "evaluations": evaluations, "median loss": np.median(loss)}

    return run


def one_by_one(problem_set: ProblemSet, near: np.ndarray) -> tuple[np.ndarray, float]:
    """Return unknowns (n, d) by SciPy's ``least_squares`` from ``near`` (n, d), and the evaluations of an instance."""
    space, evaluator = problem_set.space, problem_set.evaluator

    def solve(i: int) -> tuple[np.ndarray, int]:
        row, one = np.array([i]), problem_set[i]
        y, x = tf.constant(one.y), {name: tf.constant(array) for name, array in one.x.items()}

        def residuals(z: np.ndarray) -> np.ndarray:
            prediction = evaluator.predict(space.to_xi(z[None], one.guess), one.x)
            return np.asarray(one.problem.residuals(tf.constant(prediction), y, x)).reshape(-1)

        def jacobian(z: np.ndarray) -> np.ndarray:
            xi, slope = space.to_xi_and_slope(z[None], one.guess)
            return evaluator.weighted_jacobian(xi, problem_set.data, row)[1][0] * slope

        found = least_squares(residuals, near[i], jacobian, method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15)
        return space.to_xi(found.x[None], one.guess)[0], found.nfev + found.njev

    found = [solve(i) for i in range(len(near))]
    return np.stack([point for point, _ in found]), float(np.mean([count for _, count in found]))


def _near(problem: str, n: int) -> tuple[ProblemSet, np.ndarray]:
    """Return n instances, and starts (n, d) close to their true unknowns."""
    problem_set = PROBLEMS.load(problem)().sample(n, SEED)
    truth = problem_set.space.to_z(problem_set.truth, problem_set.guess)
    return problem_set, truth + NOISE * np.random.default_rng(SEED).normal(size=truth.shape)
