"""Refinement of other problems from near their solutions, until nothing is gained any more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kerasjoint import methods
from kerasjoint.problems import PROBLEMS

SEED = 1
# In normalised coordinates.
NOISE = 0.05
# L-BFGS gains something for that long on some.
ITERATIONS = 1500


def refinement(data: Path, n: int, problem: str, method: str) -> Callable[[], dict[str, Any]]:
    """Solve n instances of a problem by a local method, from the true unknowns plus noise."""
    problem_set = PROBLEMS.load(problem)().sample(n, SEED)
    truth = problem_set.space.to_z(problem_set.truth, problem_set.guess)
    near = truth + NOISE * np.random.default_rng(SEED).normal(size=truth.shape)

    def run() -> dict[str, Any]:
        solution = getattr(methods, method)(ITERATIONS, first_step=0.01).solve(problem_set, start=near)
        return {
            "solved": solution.solved.mean(),
            "evaluations": solution.evaluations.mean(),
            "median loss": np.median(solution.loss),
        }

    return run
