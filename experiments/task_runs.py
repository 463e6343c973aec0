"""Runs one task: draws its instances, solves and refines them, and makes rows of the solutions."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from kerasjoint.comparison import error_of_unknowns
from kerasjoint.environment import commit, machine, versions
from kerasjoint.errors import ArgumentError
from kerasjoint.experiments.plan import Task
from kerasjoint.experiments.references import construct, construct_refinement, source_digest
from kerasjoint.experiments.stopping import TimeLimitExceeded, time_limit
from kerasjoint.experiments.store import TaskResult
from kerasjoint.methods import METHODS
from kerasjoint.methods.base import Method, check_problem_set
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.problems import PROBLEMS
from kerasjoint.refinement import can_refine, refine
from kerasjoint.solution import Solution, Status
from kerasjoint.wrappers.isolation import recorded_failures


class TaskRuns:
    """Runs tasks; problems are constructed once, so that tasks of equal shapes share compiled code.

    Example
    -------
    >>> TaskRuns().attempt(plan(load_preset("quick"))[0]).rows
    """

    def __init__(self) -> None:
        self._problems: dict[str, InverseProblem] = {}

    def problem(self, task: Task) -> InverseProblem:
        """Return the problem of a task."""
        key = f"{task.problem} {sorted(task.problem_options.items())} {sorted(task.sources.items())}"
        if key not in self._problems:
            self._problems[key] = construct(PROBLEMS, task.problem, task.problem_options)
        return self._problems[key]

    def attempt(self, task: Task, seconds: float | None = None) -> TaskResult | str:
        """Run a task for at most so many seconds; return its result, or the reason why it failed."""
        try:
            with time_limit(seconds), recorded_failures() as reasons:
                result = self._run(task)
            return result._replace(metadata=result.metadata | {"simulator_errors": dict(reasons)})
        except (Exception, SystemExit, TimeLimitExceeded) as error:
            return reason_of(error)

    def _run(self, task: Task) -> TaskResult:
        problem, method = self.problem(task), method_of(task)
        _check_sources(task)
        name = problem.hook_name("sample")
        problem_set = check_problem_set(problem.sample(task.n, task.data_seed), name)
        if len(problem_set) != task.n:
            raise ArgumentError(name, f"{task.n} instances", len(problem_set))
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


def reason_of(error: BaseException) -> str:
    """Return what is kept of an error, in one line."""
    return f"{type(error).__name__}: {error}"


def method_of(task: Task) -> Method:
    """Return the method of a task."""
    return construct(METHODS, task.method, task.method_options)


def _check_sources(task: Task) -> None:
    """Refuse files that changed since the run was planned, or are others on this machine."""
    for label, digest in task.sources.items():
        if source_digest(label) != digest:
            raise ArgumentError(label, "the file that the run began with, on every machine", "another content")


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
    """Return versions, machine and commit of this process."""
    return {
        "versions": versions(),
        "machine": machine(),
        "commit": commit(),
    }
