"""Refinement: a local method on the true objective, started from a method's solution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from kerasjoint.best import with_runs
from kerasjoint.counting import History
from kerasjoint.errors import ArgumentError
from kerasjoint.methods import METHODS
from kerasjoint.methods.base import LocalMethod, Method, check_method, check_problem_set
from kerasjoint.methods.lockstep_hybrid import LockstepHybrid
from kerasjoint.methods.lockstep_lbfgs import LockstepLBFGS
from kerasjoint.methods.lockstep_lm import LockstepLM, in_gradients
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import COUNTS, Solution, Status

FIRST_STEP = 0.01
NO_GAIN = 1e-9


def can_refine(problem_set: ProblemSet, method: Method) -> bool:
    """Return whether solutions of a method can be refined: not where the objective has no gradient of any kind.

    Example
    -------
    >>> can_refine(problem_set, Supervised())
    True
    """
    evaluator = problem_set.evaluator
    return (
        method.needs_gradient or evaluator.by_differences or evaluator.has_gradient(len(problem_set), problem_set.one)
    )


def local_method_of(argument: str, method: object) -> LocalMethod:
    """Return the local method that a name stands for, or that was given.

    Example
    -------
    >>> local_method_of("method", "scipy-lbfgs")
    """
    chosen = METHODS.load(method, argument)() if isinstance(method, str) else method
    check_method(argument, chosen, local=True)
    return chosen  # type: ignore[return-value]


def refine(problem_set: ProblemSet, solution: Solution, method: str | LocalMethod | None = None) -> Solution:
    """Polish a solution, instance by instance, to what the precision allows.

    Parameters
    ----------
    problem_set
        What the solution belongs to.
    solution
        Where to start.
    method
        The local method, with its own settings, or its name. Default: ``LockstepLM()`` where it applies and Jacobians
        cost no more than gradients, as with up to eight unknowns, else ``LockstepHybrid(first_step=0.01)``, whose first
        trial step is short, since the minimum sought is the one nearby, and whose Jacobians count as several
        evaluations each. What that leaves unconverged ``LockstepLBFGS`` finishes.

    Returns
    -------
    Solution
        Never worse than ``solution``; its cost includes that of ``solution``.

    Example
    -------
    >>> refined = kerasjoint.refine(problem_set, model.solution(problem_set))
    """
    if not isinstance(solution, Solution):
        raise ArgumentError("solution", "a Solution", type(solution).__name__)
    if len(solution) != len(check_problem_set(problem_set)):
        raise ArgumentError("solution", f"{len(problem_set)} instances as in the problem set", len(solution))
    own = solution.problem_set
    # The solution's normalised coordinates mean other unknowns where the guess is another.
    if not (solution.is_of(problem_set) and (own.guess == problem_set.guess).all()):
        raise ArgumentError("solution", "a solution of this problem set, with its guess and constants", f"one of {own}")
    if method is None:
        refined = _by_default(problem_set, solution)
    else:
        refined = _never_worse(solution, local_method_of("method", method).solve(problem_set, start=solution.z))
    history = refined.history.copy()
    history["evaluations"] += float(solution.evaluations.mean())
    history["seconds"] += solution.seconds
    return replace(
        refined,
        method=f"{solution.method} + refine",
        **{name: getattr(solution, name) + getattr(refined, name) for name in COUNTS},
        confirmation=solution.confirmation,
        seconds=solution.seconds + refined.seconds,
        compile_seconds=solution.compile_seconds + refined.compile_seconds,
        history=history,
        solver=f"{solution.solver}, {refined.solver}",
    )


def _never_worse(solution: Solution, refined: Solution) -> Solution:
    """Return what was refined, but the point of the ``solution`` where that is better, if only by rounding.

    What had ended in a minimum did not fail for finding none below.
    """
    worse = refined.loss > solution.loss
    ended = np.isin(solution.status, (Status.CONVERGED, Status.PRECISION)) & (
        refined.loss >= solution.loss - NO_GAIN * np.abs(solution.loss)
    )
    ended &= refined.status != Status.NON_FINITE
    return replace(
        refined,
        loss=np.where(worse, solution.loss, refined.loss),
        status=np.where(ended, solution.status, refined.status),
        **{name: np.where(worse[:, None], getattr(solution, name), getattr(refined, name)) for name in ("xi", "z")},
    )


def _by_default(problem_set: ProblemSet, solution: Solution) -> Solution:
    """Refine by least squares where that pays, and by L-BFGS what is left unconverged."""
    start = solution.z
    other = LockstepLBFGS(first_step=FIRST_STEP)
    method: LocalMethod = LockstepHybrid(first_step=FIRST_STEP)
    if LockstepLM.pays_near_a_solution(problem_set):
        method = LockstepLM()
    elif not LockstepHybrid.changes_over(problem_set):
        return _never_worse(solution, other.solve(problem_set, start=start))
    refined = _never_worse(solution, in_gradients(method.solve(problem_set, start=start)))
    left = np.flatnonzero(np.isin(refined.status, (Status.FAILED, Status.ITERATIONS, Status.NON_FINITE)))
    if not left.size:
        return refined
    again = other.solve(problem_set[left], start=refined.z[left])
    both, end = with_runs(refined, left, again), History(problem_set)
    end.record(int(both.iterations.max()), float(both.evaluations.mean()), both.seconds, both.z, both.loss)
    history = pd.concat([refined.history, end.frame], ignore_index=True)
    return replace(both, history=history, solver=f"{refined.solver}, {again.solver}")
