"""Which task a worker gets: one that shares compiled code with its last, and what nobody else is at."""

from __future__ import annotations

from collections import Counter
from itertools import chain, pairwise

import pytest

from kerasjoint.experiments.plan import Task, plan
from kerasjoint.experiments.preset import Preset
from kerasjoint.experiments.task_queue import TaskQueue

METHODS = ("lbfgs", "multi-start", "supervised")


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    problems = {"wave-packet": {"n": [2, 3]}, "billiards": {"n": [4]}, "navier-stokes": {"n": [2]}}
    preset = {"name": "small", "seeds": 2, "problems": problems, "methods": {name: {} for name in METHODS}}
    return plan(Preset.model_validate(preset))


def handed_out(tasks: list[Task], workers: int) -> list[list[Task]]:
    """What each gets, if all are equally fast."""
    queue = TaskQueue(tasks)
    given: list[list[Task]] = [[] for _ in range(workers)]
    for turn in range(len(tasks)):
        task = queue.next_for(str(turn % workers))
        assert task is not None
        given[turn % workers].append(task)
    assert queue.next_for("0") is None
    return given


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_each_task_is_handed_out_once(tasks: list[Task], workers: int) -> None:
    given = chain.from_iterable(handed_out(tasks, workers))
    assert Counter(task.name for task in given) == Counter(task.name for task in tasks)


def test_a_single_worker_keeps_the_order_of_the_plan(tasks: list[Task]) -> None:
    assert handed_out(tasks, 1) == [tasks]


def test_workers_begin_with_different_problems_and_stay_with_them(tasks: list[Task]) -> None:
    for given in handed_out(tasks, 2):
        # Six tasks of a problem and size; both sizes of the first problem go to one, the other problems to the other.
        assert len({(task.problem, task.n) for task in given}) == 2
        switches = sum(one.problem != other.problem for one, other in pairwise(given))
        assert switches <= 1


def test_seeds_of_a_method_come_one_after_the_other(tasks: list[Task]) -> None:
    for given in handed_out(tasks, 4):
        assert [task.method for task in given] == [task.method for task in tasks[:6]]


def test_who_is_free_helps_with_another_method_where_most_is_left(tasks: list[Task]) -> None:
    first, last = tasks[:6], tasks[-6:]
    queue = TaskQueue([*first, *last])
    for worker, known in (("a", first), ("b", last)):
        assert queue.next_for(worker) == known[0]
    for task in first[1:]:
        assert queue.next_for("a") == task
    helped = queue.next_for("a")
    assert helped is not None
    assert helped.problem == last[0].problem
    assert helped.method != last[0].method
