"""Sines with an offset, whose simulator may be TensorFlow or run on the host."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kerasjoint import InverseProblem, ProblemSet, Unknown

TIMES = np.linspace(0.1, 3, 30)
LOWER, UPPER = 0.5, 12.0


def wave(library, size, rate, offset):
    return size[:, None] * library.sin(rate[:, None] * TIMES) + offset[:, None]


class Waves(InverseProblem):
    """A sine with an offset: an unknown with two bounds, one with one, and one with none; a Gaussian prior on one."""

    unknowns = (
        Unknown("size", lower=0.0, scale=1.0),
        Unknown("rate", lower=LOWER, upper=UPPER, guess=2.0),
        Unknown("offset", scale=100.0),
    )

    def __init__(self, simulator=None) -> None:
        self.simulator = simulator

    def forward(self, xi, x):
        if self.simulator is None:
            return wave(tf, xi["size"], xi["rate"], xi["offset"])
        return self.simulator(xi["size"], xi["rate"], xi["offset"])

    def regularizer(self, xi, x):
        return tf.square((xi["offset"] - x["mean"]) / 3000.0)


class RobustWaves(Waves):
    robust_loss, robust_scale = "soft_l1", 0.1


class OwnMisfit(Waves):
    def misfit(self, prediction, y, x):
        return tf.reduce_sum(tf.math.log1p(tf.square(prediction - y)), axis=1)


def on_host(size, rate, offset):
    return wave(np, size, rate, offset)


def waves(problem: InverseProblem, n: int = 6) -> ProblemSet:
    generator = np.random.default_rng(n)
    truth = np.c_[generator.uniform(0.5, 2, n), generator.uniform(1, 10, n), generator.normal(0, 100, n)]
    y = on_host(*truth.T) + 0.01 * generator.standard_normal((n, len(TIMES)))
    return ProblemSet(problem, {"mean": generator.normal(0, 10, n)}, y, truth)


def nearby(problem_set: ProblemSet) -> np.ndarray:
    return problem_set.truth + np.random.default_rng(0).normal(size=problem_set.truth.shape) * [0.2, 0.1, 5.0]


def start_of(problem_set: ProblemSet) -> np.ndarray:
    return problem_set.space.to_z(nearby(problem_set), problem_set.guess)
