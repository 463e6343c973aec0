"""Arguments that were found to crash, hang or fill the memory."""

from __future__ import annotations

import numpy as np
import pytest

from kerasjoint import ProblemSet, Unknown, compare
from kerasjoint.checks import check_number
from kerasjoint.errors import ArgumentError, WriteError, describe
from kerasjoint.methods import LBFGS, Reparameterized
from kerasjoint.problems import Billiards, KuramotoSivashinsky, NavierStokes, WavePacket
from kerasjoint.registry import Registry

LOOP: list[object] = []
LOOP.append(LOOP)


def kind(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("problem", [Billiards, WavePacket, KuramotoSivashinsky.light, NavierStokes.light])
@pytest.mark.parametrize("hook", ["sample", "sample_training"])
@pytest.mark.parametrize("seed", [LOOP, -1, 1.5, None, "1", True, 2**64, [1, 2]], ids=kind)
def test_a_seed_is_a_whole_number(problem, hook, seed):
    with pytest.raises(ArgumentError, match="seed: expected a whole number not below 0"):
        getattr(problem(), hook)(2, seed)


@pytest.mark.parametrize("n", [0, 2.0, True, "2", 10**8, 10**5000], ids=kind)
def test_a_number_of_instances_is_bounded(n):
    with pytest.raises(ArgumentError, match="n: expected a positive integer and at most 10,000,000"):
        Billiards().sample(n, 0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: KuramotoSivashinsky(points=2**31), "points: expected an even number of at least 8 and at most 4,096"),
        (lambda: KuramotoSivashinsky(stored=10**9), "stored"),
        (lambda: KuramotoSivashinsky(dt=1e-300), "dt: expected fewer than"),
        (lambda: KuramotoSivashinsky(end=10**400), "end: expected a positive number"),
        (lambda: KuramotoSivashinsky(length=5e-324), "dt: expected a step"),
        (lambda: NavierStokes(cells=2**31), "cells: expected an even whole number of at least 8 and at most 1,024"),
        (lambda: NavierStokes(obstacles=np.array(1.0)), "obstacles: expected a sequence of Box"),
        (lambda: NavierStokes(cells=512), "obstacles: expected at most 128 faces"),
        (lambda: NavierStokes(dt=1e-300), "end: expected a multiple of dt"),
        (lambda: Billiards(radius="wide"), "radius: expected a positive number"),
        (lambda: WavePacket(noise=None), "noise"),
        (lambda: Unknown("a", shape=(10**9,), scale=1.0), "at most 16 axes and 4,194,304 numbers"),
        (lambda: Unknown("a", shape=(1,) * 65, scale=1.0), "at most 16 axes"),
        (lambda: Unknown("a" * 10**6, scale=1.0), "at most 100 characters"),
        (lambda: Unknown("a", lower=10**400, scale=1.0), "an integer beyond float64"),
        (lambda: Unknown("a", lower=LOOP, scale=1.0), "lower: expected"),
        (lambda: compare(None, "a"), "solutions: expected a dict"),
        (lambda: compare({}, LOOP), "reference: expected one of"),
        (lambda: LBFGS(tolerance=10**5000), "tolerance: expected a positive number, got int"),
        (lambda: Reparameterized(network_options=[1]), "network_options: expected a dict of options by name"),
        (lambda: ProblemSet.concatenate(3), "problem_sets: expected a list of ProblemSet"),
        (lambda: Registry("method", {"lbfgs": ("a:b", "c")}).check("x" * 10**6), "method: expected one of lbfgs"),
    ],
)
def test_what_would_crash_or_fill_the_memory_is_refused(make, says):
    with pytest.raises(ArgumentError, match=says):
        make()


@pytest.mark.parametrize("instances", ["a", LOOP, [9], [1.5], {}, [], np.zeros((2, 2), dtype=int), 10**400], ids=kind)
def test_instances_are_indices(decay, instances):
    for use in (decay.objective, decay.value_and_gradient):
        with pytest.raises(ArgumentError, match="instances: expected"):
            use(decay.truth, instances)


def test_tolerances_of_a_comparison_are_numbers(decay):
    solution = LBFGS(max_iterations=1).solve(decay)
    for wrong in (-1.0, float("nan"), "small"):
        with pytest.raises(ArgumentError, match="relative_tolerance: expected a number not below 0"):
            compare({"a": solution}, "a", relative_tolerance=wrong)


@pytest.mark.parametrize(
    "value", [True, "1", None, 1j, float("inf"), float("nan"), 10**400, np.longdouble("1e400"), 0], ids=kind
)
def test_a_number_is_finite_real_and_above_its_limit(value):
    with pytest.raises(ArgumentError, match="a: expected a positive number"):
        check_number("a", value, "a positive number", above=0)
    assert check_number("a", np.float32(2)) == 2


def test_every_value_has_a_text():
    assert describe(10**5000) == "int"
    assert describe("x" * 300) == f"'{'x' * 199}..."
    assert len(str(ArgumentError("a", "b" * 10**6, "x" * 10**6))) < 3100
    assert str(WriteError("a.csv", "full")) == "a.csv: cannot be written: full"
