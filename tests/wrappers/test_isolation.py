"""Simulators on the host that raise for some instances: the others go on, and the reason is kept."""

from __future__ import annotations

import warnings
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from kerasjoint import InverseProblem, ProblemSet, Unknown, evaluator, wrap_numpy
from kerasjoint.errors import SimulatorError, SimulatorWarning
from kerasjoint.experiments.plan import plan
from kerasjoint.experiments.preset import parse_preset
from kerasjoint.experiments.store import Store
from kerasjoint.experiments.tables import write_tables
from kerasjoint.experiments.task_runs import TaskRuns
from kerasjoint.fingerprint import problem_fingerprint
from kerasjoint.methods import LockstepLBFGS, Reparameterized
from kerasjoint.wrappers.isolation import recorded_failures

TIME = np.linspace(0.1, 2, 12)
CALLS: list[int] = []


def decay(rate, broken):
    CALLS.append(len(rate))
    if (broken > 0).any():
        raise ArithmeticError(f"no equilibrium at step {int(broken.max())}")
    return np.exp(-rate[:, None] * TIME)


def decay_vjp(rate, broken, cotangent):
    if (broken > 0).any():
        raise ArithmeticError(f"no equilibrium at step {int(broken.max())}")
    return np.sum(-TIME * np.exp(-rate[:, None] * TIME) * cotangent, axis=1)


@pytest.fixture(autouse=True)
def _each_for_itself(monkeypatch):
    """Equal problems share their simulator, and what was said of it."""
    monkeypatch.setattr(evaluator, "_shared", OrderedDict())


class Breaking(InverseProblem):
    """A decay whose simulator raises for any batch with an instance that its condition calls broken."""

    unknowns = (Unknown("rate", lower=0.0, upper=5.0, guess=1.0),)

    def __init__(self, shape=(12,)):
        self.simulator = wrap_numpy(decay, decay_vjp, shape=shape)

    def forward(self, xi, x):
        return self.simulator(xi["rate"], x["broken"])

    def sample(self, n, seed):
        return breaking_set(self, [0.0, 3.0] * (n // 2))


def breaking_set(problem, broken):
    rate = np.linspace(0.5, 4, len(broken))
    return ProblemSet(problem, {"broken": broken}, np.exp(-rate[:, None] * TIME), {"rate": rate})


def total(rate, time):
    if (rate > 4.5).any():
        raise ArithmeticError("no equilibrium")
    return np.array([[np.exp(-one * time).sum(), one] for one in rate])


def total_vjp(rate, time, cotangent):
    if (rate > 4.5).any():
        raise ArithmeticError("no equilibrium")
    return np.array([c[1] - (time * np.exp(-one * time)).sum() * c[0] for one, c in zip(rate, cotangent, strict=True)])


class SharedTime(InverseProblem):
    """A simulator that takes times which are the same for all instances."""

    unknowns = Breaking.unknowns

    def __init__(self, time):
        self.time, self.simulator = time, wrap_numpy(total, total_vjp, shape=(2,))

    def forward(self, xi, x):
        return self.simulator(xi["rate"], tf.cast(self.time, xi["rate"].dtype))


@pytest.mark.parametrize("times", [5, 3, 2])
def test_an_argument_of_all_may_be_as_long_as_there_are_instances(times):
    time, rate = np.linspace(0.2, 1, times), np.array([0.5, 1.0, 1.5, 2.0, 3.0])
    problem, guess = SharedTime(time), np.ones((5, 1))
    guess[4] = 4.8
    with pytest.warns(SimulatorWarning, match="no equilibrium .for 1 of 5 instances"):
        found = LockstepLBFGS().solve(ProblemSet(problem, y=total(rate, time), guess=guess))
    assert np.isposinf(found.loss).tolist() == [False] * 4 + [True]
    np.testing.assert_allclose(found.xi[:4, 0], rate[:4], rtol=1e-6)


@pytest.mark.parametrize(
    "method", [LockstepLBFGS(), Reparameterized(epochs=5, network="dense")], ids=lambda one: one.name
)
def test_the_others_get_what_they_get_without_it(method):
    fine = method.solve(breaking_set(Breaking(), [0.0] * 9))
    broken = np.array([0.0, 0, 0, 7, 0, 0, 7, 0, 0])
    with pytest.warns(SimulatorWarning, match="ArithmeticError: no equilibrium at step 7 .for 2 of 9 instances"):
        found = method.solve(breaking_set(Breaking(), broken))
    assert np.isposinf(found.loss).tolist() == (broken > 0).tolist()
    assert (found.non_finite > 0).tolist() == (broken > 0).tolist()
    if method.name == "lockstep-lbfgs":
        good = broken == 0
        np.testing.assert_array_equal(found.loss[good], fine.loss[good])
        np.testing.assert_array_equal(found.xi[good], fine.xi[good])


def test_the_broken_one_is_found_by_halving_and_warned_of_once():
    problem_set = breaking_set(Breaking(), [0.0] * 40 + [5.0] + [0.0] * 23)
    CALLS.clear()
    with pytest.warns(SimulatorWarning):
        loss = problem_set.objective(problem_set.guess)
    assert np.flatnonzero(~np.isfinite(loss)).tolist() == [40]
    assert len(CALLS) == 13
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradient = problem_set.value_and_gradient(problem_set.guess + 0.01)[1]
    assert np.flatnonzero(gradient[:, 0] == 0).tolist() == [40]
    one = problem_set[[40]]
    assert np.isposinf(one.objective(one.guess)).all()


def test_a_simulator_that_never_worked_is_an_error():
    problem_set = breaking_set(Breaking(), [2.0, 2.0])
    with pytest.raises(SimulatorError, match="no equilibrium at step 2"):
        problem_set.objective(problem_set.guess)


class AtTimes(InverseProblem):
    """As many results as its condition has times; it raises for any batch of rates above 4."""

    unknowns = Breaking.unknowns

    def __init__(self):
        self.simulator = wrap_numpy(self.run)

    def run(self, rate, time):
        if (rate > 4).any():
            raise ArithmeticError("no equilibrium")
        return np.exp(-rate[:, None] * time)

    def forward(self, xi, x):
        return self.simulator(xi["rate"], x["time"])


def test_one_that_never_worked_is_an_error_whatever_sets_of_other_shapes_did():
    problem = AtTimes()
    short, long = (ProblemSet(problem, {"time": np.ones((2, k))}, np.ones((2, k))) for k in (3, 5))
    assert np.isfinite(short.objective(short.guess)).all()
    with pytest.raises(SimulatorError, match="no equilibrium"):
        long.objective(np.full((2, 1), 4.5))
    with pytest.warns(SimulatorWarning, match="no equilibrium"):
        assert np.isinf(short.objective(np.full((2, 1), 4.5))).all()


def test_what_it_learnt_is_no_part_of_a_problem():
    used = Breaking(shape=None)
    with recorded_failures() as reasons:
        problem_set = breaking_set(used, [0.0, 1.0])
        problem_set.objective(problem_set.guess)
    assert reasons == {"wrap_numpy(decay): ArithmeticError: no equilibrium at step 1": 1}
    assert problem_fingerprint(used) == problem_fingerprint(Breaking(shape=None))


def test_a_task_keeps_the_reasons_and_the_tables_show_them(tmp_path):
    content = {"name": "broken", "problems": {f"{__file__}:Breaking": {"n": [4]}}, "methods": {"lockstep-lbfgs": {}}}
    (task,) = plan(parse_preset(content, "test"))
    result = TaskRuns().attempt(task)
    assert np.isposinf(result.rows["loss"]).tolist() == [False, True, False, True]
    (reason,) = result.metadata["simulator_errors"]
    assert reason == "wrap_numpy(decay): ArithmeticError: no equilibrium at step 3"
    store = Store(tmp_path)
    store.open_for([task])
    store.write(task, result)
    errors = store.simulator_errors()
    assert errors[["task", "n", "reason"]].to_numpy().tolist() == [[task.name, 4, reason]]
    assert errors["times"][0] >= 1
    write_tables(store.rows(), tmp_path / "tables", simulator_errors=errors)
    assert reason in (tmp_path / "tables" / "tables.md").read_text()
    assert pd.read_csv(tmp_path / "tables" / "simulator-errors.csv")["reason"].tolist() == [reason]
    write_tables(store.rows(), tmp_path / "tables", simulator_errors=errors[:0])
    assert not (tmp_path / "tables" / "simulator-errors.csv").exists()


def test_a_function_that_raises_for_a_batch_alone_is_suspected():
    own = np.linspace(0.5, 1.5, 5)[:, None] * TIME

    def row_by_row(rate):
        return np.stack([np.exp(-one * own[i]) for i, one in enumerate(rate)])

    class Captured(InverseProblem):
        unknowns = (Unknown("rate", lower=0.0, upper=5.0, guess=1.0),)
        simulator = staticmethod(wrap_numpy(row_by_row))

        def forward(self, xi, x):
            return self.simulator(xi["rate"])

    problem_set = ProblemSet(Captured(), y=np.exp(-own))
    with pytest.warns(SimulatorWarning, match=r"IndexError: .*instances together, for none of them alone: .* argument"):
        LockstepLBFGS(max_iterations=2).solve(problem_set)
