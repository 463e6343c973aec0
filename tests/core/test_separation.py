"""Losses that change with the rest of the batch are refused, whichever method sees them first."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, decay_set

from kerasjoint import ArgumentError, ProblemSet
from kerasjoint.methods import LockstepLBFGS, LockstepLM, MultiStart
from kerasjoint.methods.base import Method

XI = np.linspace(0.3, 4.5, 7)[:, None]


class ByMean(Decay):
    """Divides by the mean of all instances, where that of each was meant."""

    def forward(self, xi, x):
        prediction = super().forward(xi, x)
        return prediction / tf.reduce_mean(prediction)


class ByDeviation(Decay):
    def residuals(self, prediction, y, x):
        return (prediction - y) / tf.math.reduce_std(y)


class FromMean(Decay):
    """Whose unknowns are all at the guess when it is first evaluated."""

    def forward(self, xi, x):
        return super().forward(xi, x) - tf.reduce_mean(xi["rate"])


class MeanPrior(Decay):
    def regularizer(self, xi, x):
        return tf.square(xi["rate"] - tf.reduce_mean(xi["rate"]))


class ByLongest(Decay):
    def forward(self, xi, x):
        return super().forward(xi, {"time": x["time"] / tf.reduce_max(x["time"])})


@pytest.mark.parametrize("kind", [FromMean, MeanPrior, ByLongest])
@pytest.mark.parametrize("method", [LockstepLBFGS(), LockstepLM(), MultiStart(20)])
def test_methods_refuse_them_from_a_common_guess(kind: type[Decay], method: Method) -> None:
    whole = decay_set(kind(), n=7)
    problem_set = ProblemSet(kind(), {"time": whole.x["time"] * np.linspace(0.5, 1.5, 7)[:, None]}, whole.y)
    # Whose starts are all of one instance, and show less.
    with suppress(ArgumentError):
        MultiStart(20).solve(problem_set[:1])
    with pytest.raises(ArgumentError, match="none depends on the others of its batch"):
        method.solve(problem_set)


@pytest.mark.parametrize("problem", [ByMean(), ByDeviation()])
@pytest.mark.parametrize("function", ["objective", "value_and_gradient"])
def test_losses_that_depend_on_the_other_instances_are_refused(problem: Decay, function: str) -> None:
    problem_set = decay_set(problem, n=7)
    with pytest.raises(ArgumentError, match=r"By\w+, forward, residuals or misfit: expected losses of which none"):
        getattr(problem_set, function)(XI)


def test_losses_that_are_random_are_not_taken_for_mixed_ones() -> None:
    class Noisy(Decay):
        def forward(self, xi, x):
            return super().forward(xi, x) + tf.random.uniform(tf.shape(x["time"]), dtype=xi["rate"].dtype)

    assert np.isfinite(decay_set(Noisy(), n=7).objective(XI)).all()


@pytest.mark.parametrize("largest", [0, 3, 6])
def test_a_maximum_over_the_batch_is_refused_wherever_it_is(largest: int) -> None:
    class Largest(Decay):
        def forward(self, xi, x):
            prediction = super().forward(xi, x)
            return prediction / tf.reduce_max(tf.reduce_sum(prediction, axis=1))

    xi = XI.copy()
    xi[largest] = XI.min() / 2
    with pytest.raises(ArgumentError, match="none depends on the others of its batch"):
        decay_set(Largest(), n=7).objective(xi)
