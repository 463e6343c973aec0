"""Models of equal settings share compiled training, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import keras
import numpy as np
import pytest
from helpers import Traced, decay_set

from kerasjoint import ProblemSet
from kerasjoint.models import ReparameterizedModel
from kerasjoint.models.base import ProblemSetModel
from kerasjoint.models.shared_runs import SHARED_RUNS
from kerasjoint.models.whole_set import compile_ahead

EPOCHS = 30


class Own(ReparameterizedModel):
    """A user's, of which the settings do not say everything."""


class Counted(Traced):
    """Of this file alone: equal problems share an evaluator, which traces the first of them."""


@pytest.fixture
def problem_set() -> Iterator[ProblemSet]:
    SHARED_RUNS.clear()
    yield decay_set(Counted(), n=6)
    SHARED_RUNS.clear()


def new(problem_set: ProblemSet, seed: int, width: int = 6, rate: float = 1e-2, kind=ReparameterizedModel):
    model = kind.for_problem_set(problem_set, "dense", {"widths": [width], "frequencies": 1}, seed=seed)
    model.compile(optimizer=keras.optimizers.Adam(rate))
    return model


def losses(model: ProblemSetModel, problem_set: ProblemSet, epochs: int = EPOCHS) -> list[float]:
    return model.fit(problem_set, epochs=epochs, verbose=0).history["loss"]


def alone(problem_set: ProblemSet, seed: int, **settings) -> list[float]:
    SHARED_RUNS.clear()
    return losses(new(problem_set, seed, **settings), problem_set)


def test_a_second_model_is_not_traced_and_learns_what_it_learns_alone(problem_set: ProblemSet) -> None:
    expected = [alone(problem_set, seed) for seed in (0, 1)]
    assert expected[0] != expected[1]
    SHARED_RUNS.clear()
    first = losses(new(problem_set, 0), problem_set)
    before = problem_set.evaluator.problem.traces
    second = losses(new(problem_set, 1), problem_set)
    assert problem_set.evaluator.problem.traces == before
    assert [first, second] == expected


def test_training_compiled_ahead_in_a_thread_is_not_traced_again_and_learns_the_same(problem_set: ProblemSet) -> None:
    expected = alone(problem_set, 0)
    SHARED_RUNS.clear()
    model = new(problem_set, 0)
    weights = model.get_weights()
    with ThreadPoolExecutor(1) as beside:
        beside.submit(compile_ahead, model, problem_set[4:], len(problem_set)).result()
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(after, before)
    traces = problem_set.evaluator.problem.traces
    assert losses(model, problem_set) == expected
    assert problem_set.evaluator.problem.traces == traces


def test_models_that_train_in_turns_keep_their_own_variables(problem_set: ProblemSet) -> None:
    expected = [alone(problem_set, seed) for seed in (0, 1)]
    models = [new(problem_set, seed) for seed in (0, 1)]
    found: list[list[float]] = [[], []]
    for _ in range(3):
        for model, so_far in zip(models, found, strict=True):
            so_far += losses(model, problem_set, EPOCHS // 3)
    assert found == expected
    xi = [model.solution(problem_set).xi for model in models]
    assert not np.array_equal(*xi)


def test_models_that_train_at_once_in_threads_do_not_mix(problem_set: ProblemSet) -> None:
    expected = [alone(problem_set, seed) for seed in range(4)]
    models = [new(problem_set, seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(partial(losses, problem_set=problem_set), models)) == expected


@pytest.mark.parametrize("settings", [{"width": 7}, {"rate": 3e-2}, {"kind": Own}])
def test_other_settings_and_classes_of_users_have_code_of_their_own(problem_set: ProblemSet, settings) -> None:
    expected = alone(problem_set, 1, **settings)
    SHARED_RUNS.clear()
    losses(new(problem_set, 0), problem_set)
    before = len(SHARED_RUNS)
    assert losses(new(problem_set, 1, **settings), problem_set) == expected
    assert len(SHARED_RUNS) == before + ("kind" not in settings)


def test_the_first_model_may_go(problem_set: ProblemSet) -> None:
    expected = alone(problem_set, 1)
    SHARED_RUNS.clear()
    losses(new(problem_set, 0), problem_set)
    keras.backend.clear_session(free_memory=True)
    assert losses(new(problem_set, 1), problem_set) == expected


def test_frozen_layers_stay_frozen_and_steps_of_ones_own_are_taken(problem_set: ProblemSet) -> None:
    """Neither is among the settings."""
    losses(new(problem_set, 0), problem_set)
    frozen, own = new(problem_set, 1), new(problem_set, 1)
    frozen.network.trainable = False
    frozen.compile(optimizer=keras.optimizers.Adam(1e-2))
    assert len(set(losses(frozen, problem_set))) == 1
    step = own.train_step
    own.train_step = lambda data: step(data) | {"loss": 7.0}
    assert losses(own, problem_set) == [7.0] * EPOCHS
