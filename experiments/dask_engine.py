"""Tasks on the workers of a Dask cluster: one that runs already, or a local one for the time of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

from kerasjoint.cluster import run_on_chosen_workers
from kerasjoint.cores import set_cores, usable_cores
from kerasjoint.errors import ArgumentError, ClusterError
from kerasjoint.experiments.plan import Task
from kerasjoint.experiments.store import TaskResult
from kerasjoint.experiments.task_queue import TaskQueue
from kerasjoint.experiments.task_runs import TaskRuns, reason_of
from kerasjoint.optional import require

CONNECT_SECONDS = 30
TLS = ("--tls-ca", "--tls-cert", "--tls-key")


class DaskCluster:
    """A Dask cluster whose workers run tasks, one at a time in each process; a context manager.

    Parameters
    ----------
    scheduler
        Address of a running scheduler, ``tcp://HOST:8786`` or ``tls://HOST:8786``.
    workers
        Instead: how many processes of a local cluster to start, on the loopback interface, until the block ends.
    tls
        Files of the certificate authority, and of this client's certificate and key, in PEM format; for ``tls://``.
    cores
        Cores that a task may use. Default: all of the worker's machine; of a local cluster, an equal share.

    Raises
    ------
    ClusterError
        If no scheduler answers.

    Example
    -------
    >>> with DaskCluster(workers=2) as cluster:
    ...     Engine(store, cluster=cluster).run(tasks)
    """

    def __init__(
        self,
        scheduler: str | None = None,
        workers: int | None = None,
        tls: tuple[Path | None, Path | None, Path | None] = (None, None, None),
        cores: int | None = None,
    ) -> None:
        if (scheduler is None) == (workers is None):
            expected = "--scheduler ADDRESS for a running cluster, or --workers COUNT for a local one"
            raise ArgumentError("--engine dask", expected, "neither" if scheduler is None else "both")
        secure = scheduler is not None and scheduler.startswith("tls://")
        for name, path in zip(TLS, tls, strict=True):
            if secure and (path is None or not path.is_file()):
                raise ArgumentError(name, "a file in PEM format, as a scheduler tls://... needs", path or "none")
            if path is not None and not secure:
                raise ArgumentError(name, "a scheduler tls://HOST:PORT beside it", scheduler or "a local cluster")
        self._distributed = require("distributed", extra="dask")
        self._scheduler = scheduler
        self._workers = workers
        self._tls = tls if secure else None
        if cores is None and workers is not None:
            cores = max(usable_cores() // workers, 1)
        self._cores = cores
        self._stack = ExitStack()
        self._client: Any = None

    def __enter__(self) -> Self:
        """Connect to the scheduler, or start the local cluster."""
        # What breaks is said once, as an error of its own.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        try:
            self._client = self._stack.enter_context(self._connected())
        except (OSError, ValueError) as error:
            self._stack.close()
            where = self._scheduler or "a local cluster"
            raise ClusterError(f"{where}: no scheduler answers: {type(error).__name__}: {error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        """Disconnect, and end the local cluster."""
        # On a busy machine Dask may not see its processes end in time; they end with this one.
        with suppress(TimeoutError):
            self._stack.close()

    def attempts(
        self, tasks: Sequence[Task], time_limit: float | None, wanted: Callable[[Task], bool]
    ) -> Iterator[tuple[Task, TaskResult | str]]:
        """Run tasks on the workers; yield each with its result, or the reason why it failed, as they end.

        Tasks that share compiled code go to the same worker: see ``TaskQueue``. ``wanted`` is asked before a task is
        sent.

        Raises
        ------
        ClusterError
            If a worker has another version of kerasjoint, or the scheduler is lost.
        """
        queue, sent = TaskQueue(tasks), []

        def next_for(worker: str) -> tuple[Task, float | None, int | None] | None:
            for task in iter(partial(queue.next_for, worker), None):
                if wanted(task):
                    sent.append(task)
                    return task, time_limit, self._cores
            return None

        for place, result in run_on_chosen_workers(self._client, run_task, next_for):
            yield sent[place], reason_of(result) if isinstance(result, BaseException) else result

    def _connected(self) -> Any:
        security = None
        if self._tls is not None:
            authority, certificate, key = map(str, self._tls)
            security = self._distributed.Security(
                tls_ca_file=authority, tls_client_cert=certificate, tls_client_key=key, require_encryption=True
            )
        address: Any = self._scheduler
        if address is None:
            # Limits of memory would pause workers in the middle of a run that this process could do alone.
            address = self._stack.enter_context(
                self._distributed.LocalCluster(
                    n_workers=self._workers,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    memory_limit=0,
                    silence_logs=logging.ERROR,
                )
            )
        return self._distributed.Client(address, security=security, timeout=CONNECT_SECONDS)


def run_task(task: Task, time_limit: float | None, cores: int | None) -> TaskResult | str:
    """Run a task in a worker; return its result, or the reason why it failed."""
    set_cores(cores)
    return _RUNS.attempt(task, time_limit)


# What a worker keeps between tasks.
_RUNS = TaskRuns()
