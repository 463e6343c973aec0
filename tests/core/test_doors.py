"""What is refused at the door, and errors in methods that are not part of the objective."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from helpers import Decay, decay_set

import kerasjoint
from kerasjoint import ArgumentError, ProblemSet, SimulatorError, wrap_numpy
from kerasjoint.best import best_of
from kerasjoint.methods import LockstepLBFGS, MultiStart


def of(kind: type[Decay]) -> ProblemSet:
    whole = decay_set(Decay(), n=4)
    return ProblemSet(kind(), whole.x, whole.y, truth=whole.truth)


class FarPrior(Decay):
    share = 1.0

    def prior(self, n, seed):
        unknowns = np.tile(self.space.guess, (n, 1))
        unknowns[: round(self.share * n)] = 1e6
        return unknowns


class FewFar(FarPrior):
    share = 0.3


def test_a_prior_outside_of_the_bounds_is_refused():
    with pytest.raises(ArgumentError, match=r"FarPrior.prior: expected most of its draws within the bounds .* outside"):
        MultiStart(30).solve(of(FarPrior))
    starts = of(FewFar).draw_starts(np.arange(4).repeat(5), np.random.default_rng(0))
    assert np.isfinite(starts).all()


class Broken(Decay):
    def prior(self, n, seed):
        return 1 / 0

    def solved(self, loss, xi, problem_set):
        raise IndexError("no such row")


class Unseeded(Decay):
    def prior(self, n):
        return None


class RobustMisfit(Decay):
    robust_loss = "huber"

    def misfit(self, prediction, y, x):
        return tf.reduce_sum((prediction - y) ** 2, axis=1)


class Negative(Decay):
    solved_tolerance = -1


class Lone(Decay):
    periodic = 0


class Robust(Decay):
    robust_loss = ["huber"]  # noqa: RUF012


class Counted(Decay):
    unknowns = 3


class Misspelt(Decay):
    shown_unknown = "speed"


class Turning(Decay):
    periodic = (3,)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Unseeded, r"Unseeded.prior: expected prior\(n, seed\), got prior\(n\)"),
        (RobustMisfit, "RobustMisfit.robust_loss: expected linear beside an own misfit"),
        (Negative, "Negative.solved_tolerance: expected a number of at least 0, got -1"),
        (Misspelt, r"Misspelt.shown_unknown: expected one of \['rate'\], got 'speed'"),
        (Turning, r"Turning.periodic: expected a tuple of axes of an observation, below 1 .* got tuple \(3,\)"),
        (Lone, r"Lone.periodic: expected a tuple of axes of an observation, below 1 .* got int 0"),
        (Robust, r"Robust.robust_loss: expected one of linear, huber, soft_l1, got \['huber'\]"),
        (Counted, r"unknowns: expected a non-empty sequence of Unknown, got 3"),
    ],
)
def test_what_would_be_without_effect_is_refused(kind, message):
    with pytest.raises(ArgumentError, match=message):
        of(kind)


def test_arguments_of_solutions_are_checked():
    found = LockstepLBFGS().solve(of(Decay))
    for wrong in ("a", -1):
        with pytest.raises(ArgumentError, match=f"value_cost: expected a number not below 0, got '?{wrong}"):
            found.cost(wrong)
    with pytest.raises(ArgumentError, match="absolute_sigma: expected True or False, got 'no'"):
        found.uncertainty("no")
    with pytest.raises(ArgumentError, match="solutions: expected Solutions, got 1"):
        best_of([found, 1])


def test_minimize_names_its_own_arguments():
    def square(x):
        return tf.reduce_sum(x**2, axis=1)

    with pytest.raises(ArgumentError, match=r"^scale: expected no scale beside two bounds, got 1.0"):
        kerasjoint.minimize(square, np.ones((3, 2)), bounds=[(0, 2)] * 2, scale=1.0)
    with pytest.raises(ArgumentError, match=r"^bounds: expected lower below upper"):
        kerasjoint.minimize(square, np.ones((3, 2)), bounds=[(1, 1), (0, 2)])


class Partly(Decay):
    def forward(self, xi, x):
        rate = xi["rate"][:, None]
        return super().forward(xi, x) + tf.where(rate < 2, tf.zeros_like(rate), rate * np.nan)


def test_what_has_a_truth_that_cannot_be_simulated_is_not_solved():
    like = of(Partly)
    problem_set = ProblemSet(like.problem, like.x, like.y, truth=np.array([[1.0], [2.5], [1.0], [2.5]]))
    assert np.isinf(problem_set.truth_loss).tolist() == [False, True, False, True]
    assert not LockstepLBFGS().solve(problem_set).solved[[1, 3]].any()


def test_errors_of_all_methods_name_class_method_and_line():
    with pytest.raises(SimulatorError, match=r"Broken.prior: ZeroDivisionError: .*line \d+: return 1 / 0"):
        of(Broken).draw_starts(np.arange(2), np.random.default_rng(0))
    with pytest.raises(SimulatorError, match=r"Broken.solved: IndexError: no such row"):
        of(Broken).solved(np.zeros(4), np.ones((4, 1)))


class OnHost(Decay):
    def __init__(self):
        self.simulator = wrap_numpy(lambda rate, time: np.exp(-rate[:, None] * time), self.vjp)

    def vjp(self, rate, time, cotangent):
        raise ValueError("no adjoint today")

    def forward(self, xi, x):
        return self.simulator(xi["rate"], x["time"])


def test_an_error_in_a_gradient_on_the_host_names_the_problem():
    with pytest.raises(
        SimulatorError,
        match=r"OnHost.forward: ValueError: no adjoint today \(.*line \d+: raise ValueError",
    ):
        LockstepLBFGS().solve(of(OnHost))


@pytest.mark.parametrize("name", ["y", "x", "guess", "truth", "problem"])
def test_data_are_set_once(name):
    problem_set = of(Decay)
    with pytest.raises(AttributeError, match=f"{name} of a ProblemSet cannot be set again: construct another one"):
        setattr(problem_set, name, getattr(problem_set, name))
    assert len(problem_set[:2]) == 2


@pytest.mark.parametrize("shape", [(8, 7), (3,)])
def test_unknowns_of_another_number_are_not_split(shape):
    with pytest.raises(ArgumentError, match=r"flat: expected shape \(n, "):
        of(Decay).space.unflatten(np.zeros(shape))


@pytest.mark.parametrize("name", ["ClusterError", "NoGradientError", "ScaleWarning", "SimulatorWarning", "WriteError"])
def test_all_errors_and_warnings_are_public(name):
    assert issubclass(getattr(kerasjoint, name), Exception)
