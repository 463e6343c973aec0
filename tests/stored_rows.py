"""Tasks with made-up results, for tests of the store that need no TensorFlow."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd

from kerasjoint.experiments.plan import Task
from kerasjoint.experiments.store import Store, TaskResult
from kerasjoint.experiments.tables import write_tables

METHODS = {"lbfgs": "baseline", "supervised": "learned"}


def task_of(method: str = "lbfgs", n: int = 4, seed: int = 0) -> Task:
    return Task("tiny", "billiards", method, n, seed, {}, {}, 0, {"method": "lockstep-lbfgs", "options": {}}, {})


def sweep(count: int = 5) -> list[Task]:
    return [task_of(method, n, seed) for n in (2, 4) for method in METHODS for seed in range(count)]


def result_of(task: Task) -> TaskResult:
    """Rows that depend on the task alone."""
    generator = np.random.default_rng(zlib.crc32(task.name.encode()))
    head = {"problem": task.problem, "method": task.method}
    rows = [
        pd.DataFrame(
            {
                **head,
                "role": METHODS[task.method],
                "stage": stage,
                "selection": "best",
                "n": task.n,
                "seed": task.seed,
                "instance": np.arange(task.n),
                "loss": generator.exponential(size=task.n),
                "solved": pd.array(generator.random(task.n) < 0.5, dtype="boolean"),
                "error": generator.random(task.n),
                "status": "CONVERGED",
                "evaluations": generator.integers(1, 50, task.n),
                "iterations": generator.integers(1, 50, task.n),
                "non_finite": 0,
                "seconds": 0.5,
                "solver": "made up",
                "xi": list(generator.random((task.n, 2))),
                "truth": list(generator.random((task.n, 2))),
            }
        )
        for stage in ("unrefined", "refined")[: 1 + (task.method == "supervised")]
    ]
    trace = pd.DataFrame({**head, "n": task.n, "seed": task.seed, "iteration": np.arange(3), "mean": [3.0, 2.0, 1.0]})
    return TaskResult(pd.concat(rows, ignore_index=True), trace, {"seconds": {"unrefined best": 0.5}})


def written(store: Store, tasks: list[Task]) -> Store:
    """A store in which these tasks are finished, and the tables written."""
    store.open_for(tasks)
    for task in tasks:
        if not store.has(task):
            store.write(task, result_of(task))
    write_tables(store.rows(), store.folder / "tables", failed=store.failed())
    return store


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    keys = [key for key in ("method", "stage", "selection", "n", "seed", "instance", "iteration") if key in frame]
    return frame.sort_values(keys).reset_index(drop=True)
