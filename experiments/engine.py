"""Runs tasks, in this process or on a cluster, resumes, and keeps going when one fails."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from kerasjoint.errors import ArgumentError, WriteError
from kerasjoint.experiments.dask_engine import DaskCluster
from kerasjoint.experiments.figure_data import figure_data
from kerasjoint.experiments.plan import Task
from kerasjoint.experiments.references import can_sample
from kerasjoint.experiments.stopping import TimeLimitExceeded, time_limit
from kerasjoint.experiments.store import Store, TaskResult
from kerasjoint.experiments.task_runs import TaskRuns, method_of, reason_of

Notify = Callable[[Task], None]


@dataclass
class Outcome:
    """How a run went: tasks that were run, found finished, failed with their reason, and were found damaged."""

    run: list[Task] = field(default_factory=list)
    found: list[Task] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)


class Engine:
    """Runs tasks into a store.

    Parameters
    ----------
    store
        Where the rows go.
    time_limit
        Seconds that a task may take; one that takes longer is stopped and counts as failed. Default: no limit.
    cluster
        Whose workers run the tasks; default: this process, one after the other.

    Attributes
    ----------
    outcome
        How the run went; so far, if it was interrupted.

    Example
    -------
    >>> Engine(Store("results/quick")).run(plan(load_preset("quick")))
    """

    def __init__(self, store: Store, time_limit: float | None = None, cluster: DaskCluster | None = None) -> None:
        self.outcome = Outcome()
        self._store = store
        self._time_limit = time_limit
        self._cluster = cluster
        self._runs = TaskRuns()
        self._drawn: set[str] = set()

    def run(
        self, tasks: Sequence[Task], before: Notify = lambda task: None, after: Notify = lambda task: None
    ) -> Outcome:
        """Run those tasks that are not finished yet.

        Parameters
        ----------
        tasks
            The tasks.
        before, after
            Called when a task begins (not on a cluster), and when it has ended or was found finished.

        Raises
        ------
        ArgumentError
            Before anything runs: for a problem or method that cannot be constructed, and a problem without ``sample``.
        WriteError
            If nothing can be stored any more, as where the disk is full.
        ClusterError
            If the cluster cannot be used, or is lost.
        """
        self._check([task for task in tasks if not self._store.has(task)])
        self.outcome = outcome = Outcome()
        outcome.damaged = self._store.open_for(tasks)
        wanted = partial(self._wanted_or_noted, after=after)
        if self._cluster is None:
            ended = self._attempts(filter(wanted, tasks), before)
        else:
            ended = self._cluster.attempts(tasks, self._time_limit, wanted)
        for task, result in ended:
            self._keep(task, result)
            self._keep_figure_data(task)
            after(task)
        return outcome

    def _check(self, tasks: Sequence[Task]) -> None:
        methods = {}
        for task in tasks:
            if not can_sample(self._runs.problem(task)):
                expected = "a problem with sample(n, seed), to draw instances from (kerasjoint solve needs none)"
                raise ArgumentError(f"problem {task.problem}", expected, "none")
            methods[f"{task.method} {task.method_options}"] = task
        for task in methods.values():
            method_of(task)

    def _wanted_or_noted(self, task: Task, after: Notify) -> bool:
        """Return whether a task is not finished at this moment; note it if it is: another process may run them, too."""
        if not self._store.has(task):
            return True
        self.outcome.found.append(task)
        self._keep_figure_data(task)
        after(task)
        return False

    def _attempts(self, tasks: Iterable[Task], before: Notify) -> Iterator[tuple[Task, TaskResult | str]]:
        for task in tasks:
            before(task)
            yield task, self._runs.attempt(task, self._time_limit)

    def _keep(self, task: Task, result: TaskResult | str) -> None:
        """Store the rows of a task, or why it failed."""
        if not isinstance(result, str):
            command = {"command": shlex.join(["kerasjoint", *sys.argv[1:]])}
            try:
                self._store.write(task, result._replace(metadata=result.metadata | command))
            except WriteError:
                raise
            except Exception as error:
                result = reason_of(error)
            else:
                self.outcome.run.append(task)
                return
        self.outcome.failed[task.name] = result
        self._store.failures.write(task, result)

    def _keep_figure_data(self, task: Task) -> None:
        """Store what figures of the problem need; rows do not depend on it."""
        if task.problem in self._drawn:
            return
        self._drawn.add(task.problem)
        if self._store.has_figure_data(task.problem):
            return
        try:
            with time_limit(self._time_limit):
                arrays = figure_data(self._runs.problem(task))
            self._store.write_figure_data(task.problem, arrays)
        except WriteError:
            raise
        except (Exception, SystemExit, TimeLimitExceeded) as error:
            self.outcome.failed[f"figure data of {task.problem}"] = reason_of(error)
