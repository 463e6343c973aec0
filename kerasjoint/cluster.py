"""Dask clusters: calls spread over processes and machines that have the same version of kerasjoint."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib.metadata import version
from itertools import count, islice
from typing import Any, NamedTuple
from uuid import uuid4

from kerasjoint.errors import ArgumentError, ClusterError, KerasjointError, describe
from kerasjoint.optional import require

# What libraries read when they are imported, and results may depend on: as here, unless a worker's own says otherwise.
PASSED_ON = ("KERAS_BACKEND", "OPENBLAS_NUM_THREADS", "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS")

# How many calls a thread of a worker has been sent, so that it need not wait for the next.
AHEAD = 2

# Seconds after which workers are looked for that came or went while no call ended.
LOOK_AGAIN = 5

# TensorFlow uses all cores for one call, and simulators need not be safe to call from several threads.
_one_at_a_time = threading.Lock()


def check_client(client: Any) -> Any:
    """Return a ``distributed.Client`` that is connected; ``distributed`` is the extra ``dask``."""
    distributed = require("distributed", extra="dask")
    if not isinstance(client, distributed.Client) or client.asynchronous:
        raise ArgumentError("client", "a distributed.Client, not asynchronous", describe(client))
    if client.status != "running":
        raise ArgumentError("client", "a distributed.Client that is connected", f"one that is {client.status}")
    return client


def count_workers(client: Any) -> int:
    """Return how many workers a client's cluster has."""
    address = check_client(client).scheduler.address
    from distributed import CancelledError

    try:
        return len(client.nthreads())
    except (OSError, CancelledError) as error:
        raise ClusterError(f"the scheduler {address} was lost") from error


def check_workers(client: Any) -> None:
    """Refuse a cluster with workers of another version of kerasjoint, or without it, by their addresses."""
    own = version("kerasjoint")
    found = client.run(version, "kerasjoint", on_error="return")
    other = {address: got for address, got in found.items() if got != own}
    if other:
        named = ", ".join(
            f"{address} has {got if isinstance(got, str) else 'none'}" for address, got in sorted(other.items())
        )
        raise ClusterError(f"workers: expected kerasjoint {own} on each, as here, got others: {named}")


def run_on_workers(
    client: Any, function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]
) -> Iterator[tuple[int, Any]]:
    """Call a function on the workers, one call at a time in each process; yield (position, result) as calls end.

    A call whose worker dies is made again on another, up to three times. Instead of a result, an exception is yielded.
    Calls are sent a few ahead of what the workers can do, and those that wait are cancelled when the iteration ends.

    Parameters
    ----------
    client
        Connected to the scheduler.
    function
        Its module must be importable on the workers, too; one of a script or notebook is sent along.
    arguments
        Those of each call.

    Raises
    ------
    ClusterError
        If a worker has another version of kerasjoint, or the scheduler is lost.

    Example
    -------
    >>> dict(run_on_workers(client, pow, [(2, 3), (2, 4)]))
    {0: 8, 1: 16}
    """
    calls = iter(arguments)

    def more(under_way: list[str | None]) -> Iterator[tuple[str | None, tuple[Any, ...]]]:
        room = max(AHEAD * sum(client.nthreads().values()), 1) - len(under_way)
        return ((None, values) for values in islice(calls, max(room, 0)))

    return _run(client, function, more)


def run_on_chosen_workers(
    client: Any, function: Callable[..., Any], next_for: Callable[[str], tuple[Any, ...] | None]
) -> Iterator[tuple[int, Any]]:
    """Call a function as ``run_on_workers`` does, where each worker asks for a call of its own as soon as it is free.

    ``next_for`` returns its arguments for the worker of an address (empty: for any), ``None`` if nothing is left. The
    call of a worker that is lost is made by any other.

    Example
    -------
    >>> calls = iter([(2, 3), (2, 4)])
    >>> dict(run_on_chosen_workers(client, pow, lambda worker: next(calls, None)))
    {0: 8, 1: 16}
    """

    def more(under_way: list[str | None]) -> Iterator[tuple[str | None, tuple[Any, ...]]]:
        busy, present = Counter(under_way), client.nthreads()
        for worker, threads in present.items():
            for _ in range(threads - busy[worker]):
                if (values := next_for(worker)) is not None:
                    yield worker, values
        if not (present or under_way) and (values := next_for("")) is not None:
            # It waits for the first worker, and shows that something is left.
            yield None, values

    return _run(client, function, more)


class _UnderWay(NamedTuple):
    """A call that was sent: its position, for which worker (``None``: any), and its arguments."""

    place: int
    worker: str | None
    values: tuple[Any, ...]


def _run(
    client: Any,
    function: Callable[..., Any],
    more: Callable[[list[str | None]], Iterator[tuple[str | None, tuple[Any, ...]]]],
) -> Iterator[tuple[int, Any]]:
    """Send what ``more`` gives for the workers of the calls under way; yield as they end, until it gives nothing."""
    from distributed import CancelledError, wait

    check_workers(check_client(client))
    scheduler, submit, numbers = client.scheduler.address, _submitter(client, function), count()
    under_way: dict[Any, _UnderWay] = {}
    try:
        while True:
            for worker, values in more([call.worker for call in under_way.values()]):
                call = _UnderWay(next(numbers), worker, values)
                under_way[submit(call)] = call
            if not under_way:
                return
            with suppress(TimeoutError):
                wait(list(under_way), LOOK_AGAIN, "FIRST_COMPLETED")
            for future in [future for future in under_way if future.status != "pending"]:
                place = under_way.pop(future).place
                if future.status == "error":
                    check_workers(client)
                    yield place, future.exception()
                elif future.status == "finished":
                    yield place, future.result()
                else:
                    raise ClusterError(f"the scheduler {scheduler} was lost")
            present = client.nthreads()
            for future, call in list(under_way.items()):
                if call.worker is not None and call.worker not in present:
                    future.cancel()
                    del under_way[future]
                    call = call._replace(worker=None)
                    under_way[submit(call)] = call
    except KerasjointError:
        raise
    except (OSError, CancelledError) as error:
        raise ClusterError(f"the scheduler {scheduler} was lost") from error
    finally:
        if client.status == "running":
            # The client may not have noticed yet that the scheduler is lost.
            with suppress(OSError, CancelledError):
                client.cancel(list(under_way))


def _submitter(client: Any, function: Callable[..., Any]) -> Callable[[_UnderWay], Any]:
    from distributed.protocol.pickle import dumps

    run, numbers, own = uuid4().hex[:8], count(), version("kerasjoint")
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}

    def submit(call: _UnderWay) -> Any:
        key = f"kerasjoint-{run}-{next(numbers)}"
        pickled = dumps((function, call.values))
        workers = None if call.worker is None else [call.worker]
        return client.submit(_call, own, environment, pickled, key=key, pure=False, workers=workers)

    return submit


def _call(expected: str, environment: dict[str, str], pickled: bytes) -> Any:
    """Call a function in a worker, unless that has another version: it may have joined after the check.

    Only then is anything imported that the function needs.
    """
    from distributed.protocol.pickle import loads

    if version("kerasjoint") != expected:
        raise ClusterError(f"expected kerasjoint {expected}, got {version('kerasjoint')}")
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    with _one_at_a_time:
        function, arguments = loads(pickled)
        return function(*arguments)
