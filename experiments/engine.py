"""Runs tasks one after the other, resumes, and keeps going when one fails."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from kerasjoint.comparison import error_of_unknowns
from kerasjoint.environment import commit, machine, versions
from kerasjoint.errors import ArgumentError, WriteError
from kerasjoint.experiments.figure_data import figure_data
from kerasjoint.experiments.plan import Task
from kerasjoint.experiments.references import can_sample, construct, construct_refinement
from kerasjoint.experiments.stopping import TimeLimitExceeded, time_limit
from kerasjoint.experiments.store import Store, TaskResult
from kerasjoint.methods import METHODS
from kerasjoint.methods.base import Method, check_problem_set
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.problems import PROBLEMS
from kerasjoint.refinement import can_refine, refine
from kerasjoint.solution import Solution, Status


@dataclass
class Outcome:
    """How a run went: tasks that were run, found finished, failed with their reason, and were found damaged."""

    run: list[Task] = field(default_factory=list)
    found: list[Task] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)


class Engine:
    """Runs tasks into a store; problems are constructed once, so that tasks of equal shapes share compiled code.

    Parameters
    ----------
    store
        Where the rows go.
    time_limit
        Seconds that a task may take; one that takes longer is stopped and counts as failed. Default: no limit.

    Attributes
    ----------
    outcome
        How the run went; so far, if it was interrupted.

    Example
    -------
    >>> Engine(Store("results/quick")).run(plan(load_preset("quick")))
    """

    def __init__(self, store: Store, time_limit: float | None = None) -> None:
        self.outcome = Outcome()
        self._store = store
        self._time_limit = time_limit
        self._problems: dict[str, InverseProblem] = {}
        self._drawn: set[str] = set()

    def run(
        self,
        tasks: Sequence[Task],
        before: Callable[[Task], None] = lambda task: None,
        after: Callable[[Task], None] = lambda task: None,
    ) -> Outcome:
        """Run those tasks that are not finished yet; ``before`` and ``after`` are called around each task.

        Raises
        ------
        ArgumentError
            Before anything runs: for a problem or method that cannot be constructed, and a problem without ``sample``.
        WriteError
            If nothing can be stored any more, as where the disk is full.
        """
        self._check([task for task in tasks if not self._store.has(task)])
        self.outcome = outcome = Outcome()
        outcome.damaged = self._store.open_for(tasks)
        for task in tasks:
            self._keep_figure_data(task, outcome)
            if self._store.has(task):
                outcome.found.append(task)
                after(task)
                continue
            before(task)
            try:
                with time_limit(self._time_limit):
                    result = self._run(task)
                self._store.write(task, result)
            except WriteError:
                raise
            except (Exception, SystemExit, TimeLimitExceeded) as error:
                outcome.failed[task.name] = reason = f"{type(error).__name__}: {error}"
                self._store.failures.write(task, reason)
            else:
                outcome.run.append(task)
            after(task)
        return outcome

    def _check(self, tasks: Sequence[Task]) -> None:
        methods = {}
        for task in tasks:
            if not can_sample(self._problem(task)):
                expected = "a problem with sample(n, seed), to draw instances from (kerasjoint solve needs none)"
                raise ArgumentError(f"problem {task.problem}", expected, "none")
            methods[f"{task.method} {task.method_options}"] = task
        for task in methods.values():
            _method(task)

    def _keep_figure_data(self, task: Task, outcome: Outcome) -> None:
        """Store what figures of the problem need; rows do not depend on it."""
        name = f"figure data of {task.problem}"
        if task.problem in self._drawn:
            return
        self._drawn.add(task.problem)
        if self._store.has_figure_data(task.problem):
            return
        try:
            with time_limit(self._time_limit):
                arrays = figure_data(self._problem(task))
            self._store.write_figure_data(task.problem, arrays)
        except WriteError:
            raise
        except (Exception, SystemExit, TimeLimitExceeded) as error:
            outcome.failed[name] = f"{type(error).__name__}: {error}"

    def _problem(self, task: Task) -> InverseProblem:
        key = f"{task.problem} {sorted(task.problem_options.items())}"
        if key not in self._problems:
            self._problems[key] = construct(PROBLEMS, task.problem, task.problem_options)
        return self._problems[key]

    def _run(self, task: Task) -> TaskResult:
        problem = self._problem(task)
        problem_set = check_problem_set(problem.sample(task.n, task.data_seed), problem.hook_name("sample"))
        method = _method(task)
        solution = method.solve(problem_set, task.method_seed)
        # A learned method that refines its estimates by itself stands beside refined solutions.
        stage = "refined" if method.refined and method.role == "learned" else "unrefined"
        results = {(stage, "best"): solution}
        if not method.refined and can_refine(problem_set, method):
            results["refined", "best"] = _refine(task, problem_set, solution)
            if method.selects_best:
                results["unrefined", "last"] = solution.last_iterate
                results["refined", "last"] = _refine(task, problem_set, solution.last_iterate)
        rows = [_rows(task, method.role, *key, one) for key, one in results.items()]
        trace = solution.history.assign(problem=task.problem, method=task.method, n=task.n, seed=task.seed)
        metadata = {
            "seconds": {f"{stage} {selection}": one.seconds for (stage, selection), one in results.items()},
            "compile_seconds": max(one.compile_seconds for one in results.values()),
            "solvers": {f"{stage} {selection}": one.solver for (stage, selection), one in results.items()},
            **environment(),
        }
        return TaskResult(pd.concat(rows, ignore_index=True), trace, metadata)


def _method(task: Task) -> Method:
    return construct(METHODS, task.method, task.method_options)


def _refine(task: Task, problem_set: ProblemSet, solution: Solution) -> Solution:
    return refine(problem_set, solution, construct_refinement(**task.refinement))


def _rows(task: Task, role: str, stage: str, selection: str, solution: Solution) -> pd.DataFrame:
    error = error_of_unknowns(solution)
    solved = solution.solved
    truth = solution.problem_set.truth
    return pd.DataFrame(
        {
            "problem": task.problem,
            "method": task.method,
            "role": role,
            "stage": stage,
            "selection": selection,
            "n": task.n,
            "seed": task.seed,
            "instance": np.arange(task.n),
            "loss": solution.loss,
            "solved": pd.array([None] * task.n if solved is None else solved, dtype="boolean"),
            "error": np.full(task.n, np.nan) if error is None else error,
            "status": [Status(code).name for code in solution.status],
            "evaluations": solution.evaluations,
            "iterations": solution.iterations,
            "non_finite": solution.non_finite,
            "values": solution.values,
            "confirmed": pd.array(
                [None] * task.n if solution.confirmed is None else solution.confirmed, dtype="boolean"
            ),
            "seconds": solution.seconds / task.n,
            "solver": solution.solver,
            "xi": list(solution.xi),
            "truth": [None] * task.n if truth is None else list(truth),
        }
    )


@lru_cache(maxsize=1)
def environment() -> dict[str, Any]:
    """Return versions, machine, commit and command of this process."""
    return {
        "versions": versions(),
        "machine": machine(),
        "commit": commit(),
        "command": shlex.join(["kerasjoint", *sys.argv[1:]]),
    }
