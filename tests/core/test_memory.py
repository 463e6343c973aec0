"""What stays in memory when problems come and go."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from helpers import Decay, decay_set
from memory_run import Slower, resident_memory

from kerasjoint import evaluator as evaluator_module
from kerasjoint import solve
from kerasjoint.methods import LockstepLBFGS, Reparameterized


def test_equal_problems_share_one_evaluator_and_leave_no_data():
    gone, evaluators = [], set()
    for seed in range(5):
        problem_set = decay_set(Decay(), 6, seed)
        solve(problem_set, LockstepLBFGS())
        evaluators.add(id(problem_set.evaluator))
        gone += [weakref.ref(problem_set.data.y), weakref.ref(problem_set)]
        del problem_set
    gc.collect()
    assert len(evaluators) == 1
    assert not [one for one in gone if one() is not None]


def test_graphs_of_problems_that_are_no_longer_kept_go(monkeypatch):
    monkeypatch.setattr(evaluator_module, "EVALUATORS_KEPT", 2)
    gone = []
    for factor in np.linspace(0.5, 1, 4):
        problem_set = decay_set(Slower(float(factor)), 3)
        problem_set.value_and_gradient(problem_set.guess)
        evaluator = problem_set.evaluator
        (compiled,) = evaluator._functions.values()
        gone += [weakref.ref(evaluator), weakref.ref(compiled)]
        del problem_set, evaluator, compiled
    gc.collect()
    assert [one() is None for one in gone] == [True, True, True, True, False, False, False, False]


@pytest.mark.long
def test_memory_is_flat_over_fits_and_solves_of_new_objects():
    methods = LockstepLBFGS(), Reparameterized(epochs=5, network="dense")
    sizes = []
    for seed in range(60):
        for method in methods:
            solve(decay_set(Slower(0.7), 8, seed), method, seed=seed)
        gc.collect()
        sizes.append(resident_memory())
    # A problem that were compiled anew would add 3 MB each time.
    assert sizes[-1] - sizes[19] < 20, sizes
