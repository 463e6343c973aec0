"""One-call interface: solve a problem set with defaults."""

from __future__ import annotations

from typing import Any

from kerasjoint.best import best_of
from kerasjoint.checks import check_seed
from kerasjoint.errors import ArgumentError, describe
from kerasjoint.methods import DEFAULT, METHODS
from kerasjoint.methods.base import LocalMethod, Method, check_method, check_problem_set
from kerasjoint.methods.lockstep_lbfgs import LockstepLBFGS
from kerasjoint.problem_set import ProblemSet
from kerasjoint.progress import Verbose, show_progress
from kerasjoint.refinement import can_refine, local_method_of, refine
from kerasjoint.sharding import solve_in_shards
from kerasjoint.solution import Solution


def solve(
    problem_set: ProblemSet,
    method: str | Method | None = None,
    *,
    seed: int = 0,
    local_method: str | LocalMethod | None = None,
    verbose: Verbose = "auto",
    client: Any = None,
    shard: int | None = None,
) -> Solution:
    """Solve all instances.

    A method that only trains a network is refined, and a local method runs from the guess as well; the better is kept
    for each instance. Other methods run alone.

    Parameters
    ----------
    problem_set
        The instances.
    method
        A method or its name. Default: ``amortized-multi-start``, which ends when all is confirmed, or when the mean
        instance has spent 100 evaluations for each unknown, at least 300.
    seed
        Of the method.
    local_method
        What refines, and runs from the guess, beside a learned method; or its name. Default: ``LockstepLBFGS``.
    verbose
        Whether to show progress: 1, 0, or ``"auto"`` for on a terminal only.
    client
        A ``distributed.Client``: shards of the instances are solved on its workers. Local methods give what they give
        without, up to rounding; for others the instances of a shard learn from one another alone, and ``shard`` must be
        given.
    shard
        How many instances make a shard at most, with ``client``. Default: by the number of workers.

    Returns
    -------
    Solution
        Its cost is that of all that ran. A simulator without a gradient is not refined. With ``client``, ``seconds``
        are those that passed here, and ``history`` has means over the shards.

    Raises
    ------
    ClusterError
        If a worker has another version of kerasjoint, or the scheduler is lost.

    Example
    -------
    >>> kerasjoint.solve(problem_set).to_frame()
    """
    check_problem_set(problem_set)
    seed = check_seed(seed)
    method = DEFAULT if method is None else method
    chosen = METHODS.load(method)() if isinstance(method, str) else method
    check_method("method", chosen)
    local = None if local_method is None else local_method_of("local_method", local_method)
    if chosen.refined and local is not None:
        raise ArgumentError("local_method", f"none, since {chosen.name} is not refined", describe(local_method))
    if client is not None:
        with show_progress(verbose):
            return solve_in_shards(client, solve, problem_set, chosen, seed, shard, local_method=local, verbose=0)
    if shard is not None:
        raise ArgumentError("shard", "a client beside it", "none")
    with show_progress(verbose):
        solution = chosen.solve(problem_set, seed)
        if chosen.refined or not can_refine(problem_set, chosen):
            return solution
        refined = refine(problem_set, solution, local)
        from_guess = (local or LockstepLBFGS()).solve(problem_set)
    return best_of([refined, from_guess], method=refined.method)
