"""How kerasjoint's own cost grows, and what joint training costs beside the baselines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasjoint import InverseProblem, ProblemSet, Unknown, integrate
from kerasjoint.experiments.preset import load_preset
from kerasjoint.methods import METHODS
from kerasjoint.problems import PROBLEMS

Run = Callable[[], dict[str, Any]]


class Sources(InverseProblem):
    """Heat on a rod of 64 points, 200 steps, with ``sources`` unknown strengths."""

    def __init__(self, sources: int, mode: str) -> None:
        self.unknowns = (Unknown("strength", shape=(sources,), scale=1.0),)
        self.chunk = 16
        self._mode = mode
        places = np.linspace(0, 1, sources + 2)[1:-1, None]
        self._shapes = np.exp(-((np.linspace(0, 1, 64) - places) ** 2) / 0.005)

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the temperature at the end, from ``x["initial"]``."""
        shapes = tf.constant(self._shapes, xi["strength"].dtype)

        def step(heat: tf.Tensor, parameters: dict[str, tf.Tensor]) -> tf.Tensor:
            around = tf.roll(heat, 1, axis=1) + tf.roll(heat, -1, axis=1) - 2 * heat
            return heat + 0.2 * around + 0.01 * tf.sin(parameters["strength"] @ shapes)

        return integrate(lambda _: x["initial"], step, xi, 200, mode=self._mode)


def value_and_gradient(data: Path, n: int, problem: str) -> Run:
    """Evaluate n instances of a problem at the guess."""
    return _evaluation(PROBLEMS.load(problem)().sample(n, 1))


def by_unknowns(data: Path, n: int, mode: str) -> Run:
    """Evaluate 64 instances with n unknowns each."""
    return _evaluation(_heated(n, mode))


def jacobian_by_unknowns(data: Path, n: int) -> Run:
    """Evaluate 64 instances with n unknowns each, with the normal equations of Levenberg-Marquardt."""
    problem_set = _heated(n, "auto")

    def run() -> dict[str, Any]:
        problem_set.normal_equations(problem_set.guess, np.arange(len(problem_set)))
        return {}

    return run


def _heated(n: int, mode: str) -> ProblemSet:
    initial = np.random.default_rng(0).normal(size=(64, 64))
    return ProblemSet(Sources(n, mode), {"initial": initial}, np.zeros((64, 64)))


def method(data: Path, n: int, problem: str, method: str) -> Run:
    """Solve n instances by a method, as in the preset of the paper; compilation is not counted."""
    problem_set = PROBLEMS.load(problem)().sample(n, 1)
    solver = METHODS.load(method)(**load_preset("paper").method_options(problem, method))

    def run() -> dict[str, Any]:
        return {"seconds": solver.solve(problem_set, seed=0).seconds}

    return run


def _evaluation(problem_set: ProblemSet) -> Run:
    def run() -> dict[str, Any]:
        problem_set.value_and_gradient(problem_set.guess)
        return {}

    return run
