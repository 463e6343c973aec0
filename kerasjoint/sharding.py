"""One large problem set on a Dask cluster: shards of instances are solved on the workers and joined again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kerasjoint.checks import check_count
from kerasjoint.cluster import check_client, run_on_workers
from kerasjoint.confirmation import Confirmation, Minima
from kerasjoint.counting import History
from kerasjoint.errors import ArgumentError
from kerasjoint.methods.base import LocalMethod, Method
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import ARRAYS, CONFIRMATION, Point, Solution

# Each worker gets about so many shards, so that none is waited for long.
SHARDS_PER_WORKER = 4
LARGEST_SHARD = 4096


class Part(NamedTuple):
    """What a worker sends back of the solution of a shard: not its data."""

    method: str
    solver: str
    arrays: dict[str, NDArray[Any]]
    last: Point
    confirmation: Confirmation | None
    truth_loss: NDArray[np.float64] | None
    compile_seconds: float


def solve_in_shards(
    client: Any, solve: Callable[..., Solution], problem_set: ProblemSet, method: Method, seed: int, shard: int | None,
    **options: Any,
) -> Solution:  # fmt: skip
    """Solve a problem set by shards of instances on the workers of a Dask cluster.

    Parameters
    ----------
    client
        A ``distributed.Client``.
    solve
        What solves a shard: takes its problem set, the method, ``seed`` and the ``options``.
    problem_set
        The instances.
    method
        If it is a local method, shards change nothing beyond rounding. Instances of others learn from those of their
        shard alone.
    seed
        Of the method; each shard derives one from it.
    shard
        How many instances are solved together, at most. Default: by the number of workers; only for local methods.

    Returns
    -------
    Solution
        Of all instances. ``seconds`` are those that passed here, ``compile_seconds`` those of the slowest worker, which
        are among them, and the history is its end.
    """
    n, workers = len(problem_set), max(len(check_client(client).nthreads()), 1)
    if shard is None and not isinstance(method, LocalMethod):
        expected = (
            f"how many instances to solve together, since those of {method.name} learn from one another: "
            "the result depends on it"
        )
        raise ArgumentError("shard", expected, "None")
    size = min(-(-n // (SHARDS_PER_WORKER * workers)), LARGEST_SHARD) if shard is None else check_count("shard", shard)
    rows = np.array_split(np.arange(n), -(-n // size))
    seeds = np.random.SeedSequence(seed).generate_state(len(rows)).tolist()

    def arguments() -> Iterator[tuple[Any, ...]]:
        for part, own in zip(rows, seeds, strict=True):
            yield solve, problem_set[part], method, own if len(rows) > 1 else seed, options

    began = time.perf_counter()
    parts: dict[int, Part] = {}
    for place, part in run_on_workers(client, _solve_shard, arguments()):
        if isinstance(part, BaseException):
            raise part
        parts[place] = part
    return _joined(problem_set, [parts[k] for k in range(len(rows))], rows, time.perf_counter() - began)


def _solve_shard(
    solve: Callable[..., Solution], problem_set: ProblemSet, method: Method, seed: int, options: dict[str, Any]
) -> Part:
    """Solve a shard, in a worker."""
    solution = solve(problem_set, method, seed=seed, **options)
    return Part(
        solution.method,
        solution.solver,
        {name: getattr(solution, name) for name in ARRAYS},
        solution.last,
        solution.confirmation,
        problem_set.truth_loss,
        solution.compile_seconds,
    )


def _joined(problem_set: ProblemSet, parts: list[Part], rows: list[NDArray[np.intp]], seconds: float) -> Solution:
    if problem_set.truth is not None:
        problem_set.keep_truth_loss(np.concatenate([part.truth_loss for part in parts if part.truth_loss is not None]))
    arrays = {name: np.concatenate([part.arrays[name] for part in parts]) for name in ARRAYS}
    history = History(problem_set)
    evaluations = float(arrays["evaluations"].mean())
    history.record(int(arrays["iterations"].max()), evaluations, seconds, arrays["z"], arrays["loss"])
    compile_seconds = max(part.compile_seconds for part in parts)
    return Solution(
        method=parts[0].method,
        problem_set=problem_set,
        **arrays,
        seconds=max(seconds - compile_seconds, 0.0),
        compile_seconds=compile_seconds,
        last=Point(*(np.concatenate(arrays) for arrays in zip(*(part.last for part in parts), strict=True))),
        history=history.frame,
        solver=parts[0].solver,
        confirmation=_joined_confirmation([part.confirmation for part in parts], rows),
    )


def _joined_confirmation(parts: list[Confirmation | None], rows: list[NDArray[np.intp]]) -> Confirmation | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    minima = {name: np.concatenate([getattr(part.minima, name) for part in known]) for name in ("z", "loss", "hits")}
    instance = np.concatenate([own[part.minima.instance] for part, own in zip(known, rows, strict=True)])
    counts = {name: np.concatenate([getattr(part, name) for part in known]) for name in CONFIRMATION}
    return Confirmation(**counts, minima=Minima(instance, **minima))
