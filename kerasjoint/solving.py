"""The short door: solve a problem set with sensible defaults."""

from __future__ import annotations

from kerasjoint.checks import check_seed
from kerasjoint.errors import ArgumentError
from kerasjoint.methods import METHODS
from kerasjoint.methods.base import LocalMethod, Method, check_method, check_problem_set
from kerasjoint.methods.lockstep_lbfgs import LockstepLBFGS
from kerasjoint.problem_set import ProblemSet
from kerasjoint.refinement import refine
from kerasjoint.solution import Solution, best_of


def solve(
    problem_set: ProblemSet,
    method: str | Method = "reparameterized",
    *,
    seed: int = 0,
    local_method: LocalMethod | None = None,
) -> Solution:
    """Solve all instances.

    A method that learns is refined, and a local method runs from the guess as well; the better is kept for each
    instance. Other methods run alone.

    Parameters
    ----------
    problem_set
        The instances.
    method
        A method or its name.
    seed
        Of the method.
    local_method
        What refines, and runs from the guess, beside a method that learns; default ``LockstepLBFGS()``.

    Returns
    -------
    Solution
        Its cost is that of all that ran.

    Example
    -------
    >>> kerasjoint.solve(problem_set).to_frame()
    """
    check_problem_set(problem_set)
    seed = check_seed(seed)
    chosen = METHODS.load(method)() if isinstance(method, str) else method
    check_method("method", chosen)
    if chosen.role != "learned":
        if local_method is not None:
            raise ArgumentError("local_method", f"none, since {chosen.name} is not refined", repr(local_method))
        return chosen.solve(problem_set, seed)
    local_method = LockstepLBFGS() if local_method is None else local_method
    check_method("local_method", local_method, local=True)
    solution = chosen.solve(problem_set, seed)
    refined = refine(problem_set, solution, local_method)
    return best_of([refined, local_method.solve(problem_set)], method=refined.method)
