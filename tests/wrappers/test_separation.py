"""Simulators on the host in which instances change each other's loss are refused, others are not."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, decay_set

from kerasjoint import ArgumentError, ProblemSet, wrap_numpy

pytestmark = pytest.mark.usefixtures("few_batch_sizes")


class OnHost(Decay):
    def __init__(self, simulator) -> None:
        self.simulator = simulator

    def forward(self, xi, x):
        return self.simulator(xi["rate"], x["time"])


def decay(rate, time):
    return np.exp(-rate[:, None] * time)


def on_host(simulator, n: int) -> tuple[ProblemSet, np.ndarray]:
    whole = decay_set(Decay(), n)
    return ProblemSet(OnHost(simulator), whole.x, whole.y), np.linspace(0.5, 3, n)[:, None]


@pytest.mark.filterwarnings("ignore::kerasjoint.errors.RouteWarning")
@pytest.mark.parametrize("n", [2, 9])
@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("function", ["objective", "value_and_gradient"])
def test_a_simulator_that_mixes_up_instances_is_refused(n: int, wrapped: bool, function: str) -> None:
    def centered(rate, time):
        return decay(rate - rate.mean(), time)

    def plain(rate, time):
        return tf.ensure_shape(tf.numpy_function(centered, (rate, time), rate.dtype), time.shape)

    problem_set, xi = on_host(wrap_numpy(centered) if wrapped else plain, n)
    with pytest.raises(ArgumentError, match="OnHost, forward, residuals or misfit: expected losses of which none"):
        getattr(problem_set, function)(xi)


def test_that_instances_are_apart_takes_four_simulations_once() -> None:
    sizes = []

    def counted(rate, time):
        sizes.append(len(rate))
        return decay(rate, time)

    problem_set, xi = on_host(wrap_numpy(counted), 6)
    for _ in range(3):
        problem_set.objective(xi)
    assert sizes == [6, 2, 2, 6, 6]


def test_random_simulators_are_no_mistake() -> None:
    generator = np.random.default_rng(0)
    problem_set, xi = on_host(wrap_numpy(lambda *at: decay(*at) * generator.uniform(0.5, 2, (len(at[0]), 1))), 6)
    assert np.isfinite(problem_set.objective(xi)).all()
