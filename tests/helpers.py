"""Small problems with known answers, as a user would write them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint import InverseProblem, ProblemSet, Solution, Unknown

FloatArray = NDArray[np.float64]


class Decay(InverseProblem):
    """The user's problem of the design, which knows no prior of its unknown."""

    unknowns = (Unknown("rate", lower=0.0, upper=5.0, guess=1.0),)

    def forward(self, xi, x):
        return tf.exp(-xi["rate"][:, None] * x["time"])


class Rosenbrock(InverseProblem):
    """Rosenbrock's valley with its minimum at (a, a^2), one valley per instance."""

    unknowns = (Unknown("point", shape=(2,), scale=1.0),)

    def forward(self, xi, x):
        first, second = xi["point"][:, 0], xi["point"][:, 1]
        return tf.stack([x["a"] - first, 10 * (second - first**2)], axis=1)


class Traced(Decay):
    """Counts how often its simulator is traced."""

    def __init__(self, chunk: int | None = None) -> None:
        self.chunk = chunk
        self.traces = 0

    def forward(self, xi, x):
        self.traces += 1
        return super().forward(xi, x)


class Fragile(InverseProblem):
    """A parabola around 2 that is NaN for instances whose condition says so."""

    unknowns = (Unknown("u", lower=0.0, upper=5.0, guess=1.0),)

    def forward(self, xi, x):
        factor = tf.where(x["bad"] > 0, np.nan * x["bad"], tf.exp(x["stretch"]))
        return (factor * (xi["u"] - 2))[:, None]


def decay_set(problem: Decay, n: int, seed: int = 0) -> ProblemSet:
    """Observations without noise."""
    rates = np.random.default_rng(seed).uniform(0.5, 4.0, n)
    time = np.tile(np.linspace(0.1, 2.0, 20), (n, 1))
    return ProblemSet(problem, {"time": time}, np.exp(-rates[:, None] * time), {"rate": rates})


def rosenbrock_set(problem: Rosenbrock, n: int) -> ProblemSet:
    """Valleys of different curvature at the minimum, which floating point hits exactly."""
    a = np.resize([-1.25, -0.5, 0.75, 1.5], n)
    return ProblemSet(problem, {"a": a}, np.zeros((n, 2)), np.stack([a, a**2], axis=1))


def fragile_set(problem: Fragile, bad: list[int]) -> ProblemSet:
    """Instances of different steepness; those with ``bad`` = 1 have no finite loss."""
    return ProblemSet(problem, {"bad": bad, "stretch": np.linspace(-1, 1, len(bad))}, np.zeros((len(bad), 1)))


def central_difference(function: Callable[[FloatArray], FloatArray], at: FloatArray, step: float) -> FloatArray:
    """The slope of ``function`` (n, d) -> (n,) along each of the d coordinates, (n, d)."""
    moves = step * np.eye(at.shape[1])
    return np.stack([(function(at + move) - function(at - move)) / (2 * step) for move in moves], axis=1)


def assert_same_bits(first: Solution, second: Solution, rows: object = slice(None)) -> None:
    """Every number of two solutions agrees, at least of the instances ``rows``."""
    for name in ("xi", "z", "loss", "status", "evaluations", "iterations", "non_finite"):
        np.testing.assert_array_equal(getattr(first, name)[rows], getattr(second, name)[rows], err_msg=name)
    np.testing.assert_array_equal(first.last.loss[rows], second.last.loss[rows])
