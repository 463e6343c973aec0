"""Dask clusters: calls spread over processes and machines that have the same version of kerasjoint."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import count
from typing import Any
from uuid import uuid4

from kerasjoint.errors import ArgumentError, ClusterError, KerasjointError, describe
from kerasjoint.optional import require

# What libraries read when they are imported, and results may depend on: as here, unless a worker's own says otherwise.
PASSED_ON = ("KERAS_BACKEND", "OPENBLAS_NUM_THREADS", "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "XLA_FLAGS")

# How many calls a thread of a worker has been sent, so that it need not wait for the next.
AHEAD = 2

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
    client: Any, function: Callable[..., Any], next_for: Callable[[str], tuple[Any, ...] | None]
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
    next_for
        Returns the arguments of the next call for the worker of an address, ``None`` once there are no more. Where that
        worker is lost or far behind, another makes the call.

    Raises
    ------
    ClusterError
        If a worker has another version of kerasjoint, or the scheduler is lost.

    Example
    -------
    >>> calls = iter([(2, 3), (2, 4)])
    >>> dict(run_on_workers(client, pow, lambda worker: next(calls, None)))
    {0: 8, 1: 16}
    """
    from distributed import CancelledError, as_completed

    check_workers(check_client(client))
    scheduler, submit = client.scheduler.address, _submitter(client, function)
    # Of each call under way, its number and the worker that it was sent to.
    places: dict[Any, tuple[int, str]] = {}
    numbers = count()

    def send() -> list[Any]:
        sent, waiting = [], Counter(worker for _, worker in places.values())
        for worker, threads in client.nthreads().items():
            for _ in range(max(AHEAD * threads - waiting[worker], 0)):
                if (arguments := next_for(worker)) is None:
                    break
                place = next(numbers)
                sent.append(submit(place, worker, arguments))
                places[sent[-1]] = place, worker
        return sent

    try:
        ended = as_completed(send(), loop=client.loop)
        for future in ended:
            (place, _), status = places.pop(future), future.status
            if status == "error":
                check_workers(client)
                yield place, future.exception()
            elif status == "finished":
                yield place, future.result()
            else:
                raise ClusterError(f"the scheduler {scheduler} was lost")
            ended.update(send())
    except KerasjointError:
        raise
    except (OSError, CancelledError) as error:
        raise ClusterError(f"the scheduler {scheduler} was lost") from error
    finally:
        if client.status == "running":
            client.cancel(list(places))


def _submitter(client: Any, function: Callable[..., Any]) -> Callable[[int, str, tuple[Any, ...]], Any]:
    from distributed.protocol.pickle import dumps

    run, own = uuid4().hex[:8], version("kerasjoint")
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}

    def submit(place: int, worker: str, arguments: tuple[Any, ...]) -> Any:
        key, call = f"kerasjoint-{run}-{place}", dumps((function, arguments))
        return client.submit(
            _call, own, environment, call, key=key, pure=False, workers=[worker], allow_other_workers=True
        )

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
