"""One large problem set on a Dask cluster: shards of instances are solved on the workers and joined again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kerasjoint.checks import check_count
from kerasjoint.cluster import count_workers, run_on_workers
from kerasjoint.errors import ArgumentError
from kerasjoint.joining import Part, join
from kerasjoint.methods.base import LocalMethod, Method
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Solution

# Each worker gets about so many shards, so that none is waited for long.
SHARDS_PER_WORKER = 4
LARGEST_SHARD = 4096


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
        Of all instances. ``compile_seconds`` are the most of any shard, ``seconds`` the others that passed here.
    """
    n, workers = len(problem_set), max(count_workers(client), 1)
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
    ended = [parts[k] for k in range(len(rows))]
    compile_seconds = max(part.compile_seconds for part in ended)
    return join(problem_set, ended, max(time.perf_counter() - began - compile_seconds, 0.0), compile_seconds)


def _solve_shard(
    solve: Callable[..., Solution], problem_set: ProblemSet, method: Method, seed: int, options: dict[str, Any]
) -> Part:
    """Solve a shard, in a worker."""
    return Part.of(solve(problem_set, method, seed=seed, **options))
