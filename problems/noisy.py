"""Observations with white noise, and random streams that never meet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet

FloatArray = NDArray[np.float64]


def truth_generator(seed: int) -> np.random.Generator:
    """Return the generator that draws the true unknowns of ``sample(n, seed)``."""
    return np.random.default_rng(np.random.SeedSequence(seed))


def prior_generator(seed: int) -> np.random.Generator:
    """Return the generator that draws ``prior(n, seed)``: another stream, or starts of that seed would be the truth."""
    return np.random.default_rng(np.random.SeedSequence([seed, 4]))


def observe(problem: InverseProblem, truth: FloatArray, noise: float, seed: int) -> ProblemSet:
    """Simulate true unknowns (n, d) and add white Gaussian noise of this deviation to what is observed.

    Example
    -------
    >>> observe(problem, truth, noise=0.1, seed=0)
    """
    signal = problem.simulate(truth)
    generator = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    return ProblemSet(problem, y=signal + noise * generator.standard_normal(signal.shape), truth=truth)
