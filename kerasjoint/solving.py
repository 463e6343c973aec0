"""One-call interface: solve a problem set with defaults."""

from __future__ import annotations

import numpy as np

from kerasjoint.checks import check_seed
from kerasjoint.errors import ArgumentError, describe
from kerasjoint.methods import METHODS
from kerasjoint.methods.base import LocalMethod, Method, check_method, check_problem_set
from kerasjoint.methods.lockstep_lbfgs import LockstepLBFGS
from kerasjoint.problem_set import ProblemSet
from kerasjoint.progress import Verbose, show_progress
from kerasjoint.refinement import can_refine, local_method_of, refine
from kerasjoint.solution import Solution, best_of

EPOCHS = 1000
# Observed numbers times epochs that train in a few minutes on two cores, by a convolutional and by the dense network.
CONVOLVED, TRAINED = 5e8, 1e9


def solve(
    problem_set: ProblemSet,
    method: str | Method | None = None,
    *,
    seed: int = 0,
    local_method: str | LocalMethod | None = None,
    verbose: Verbose = "auto",
) -> Solution:
    """Solve all instances.

    A method that only trains a network is refined, and a local method runs from the guess as well; the better is kept
    for each instance. Other methods run alone.

    Parameters
    ----------
    problem_set
        The instances.
    method
        A method or its name. Default: joint optimisation (``reparameterized``), of very large sets with a dense network
        and fewer epochs, so that they take minutes.
    seed
        Of the method.
    local_method
        What refines, and runs from the guess, beside a learned method; or its name. Default: ``LockstepLBFGS``.
    verbose
        Whether to show progress: 1, 0, or ``"auto"`` for on a terminal only.

    Returns
    -------
    Solution
        Its cost is that of all that ran. A simulator without a gradient is not refined.

    Example
    -------
    >>> kerasjoint.solve(problem_set).to_frame()
    """
    check_problem_set(problem_set)
    seed = check_seed(seed)
    chosen = _default(problem_set) if method is None else METHODS.load(method)() if isinstance(method, str) else method
    check_method("method", chosen)
    if chosen.refined and local_method is not None:
        raise ArgumentError("local_method", f"none, since {chosen.name} is not refined", describe(local_method))
    local = None if local_method is None else local_method_of("local_method", local_method)
    with show_progress(verbose):
        solution = chosen.solve(problem_set, seed)
        if chosen.refined or not can_refine(problem_set, chosen):
            return solution
        refined = refine(problem_set, solution, local)
        from_guess = (local or LockstepLBFGS()).solve(problem_set)
    return best_of([refined, from_guess], method=refined.method)


def _default(problem_set: ProblemSet) -> Method:
    """Joint optimisation; of large sets by the dense network, which is several times cheaper, and with fewer epochs."""
    numbers = problem_set.y.size
    if numbers * EPOCHS <= CONVOLVED:
        return METHODS.load("reparameterized")(epochs=EPOCHS)
    return METHODS.load("reparameterized")(epochs=int(np.clip(TRAINED / numbers, 50, EPOCHS)), network="dense")
