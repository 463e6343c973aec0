"""Multi-start L-BFGS: what one would try next, given as many evaluations as joint optimisation takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasjoint.best import with_runs
from kerasjoint.checks import check_choice, check_count, check_seed
from kerasjoint.counting import History
from kerasjoint.methods.base import Method, check_problem_set, solve_slabs_alone
from kerasjoint.methods.descents import RANDOM, Descents
from kerasjoint.methods.lockstep_hybrid import LockstepHybrid
from kerasjoint.methods.lockstep_lbfgs import LockstepLBFGS
from kerasjoint.methods.lockstep_lm import in_gradients
from kerasjoint.problem_set import ProblemSet
from kerasjoint.progress import stage
from kerasjoint.solution import Solution

# About so many runs of an instance are in memory together: the slabs of large sets are smaller accordingly.
RUNS_TOGETHER = 16
LOCAL_METHODS = {method.name: method for method in (LockstepLBFGS, LockstepHybrid)}


class MultiStart(Method):
    """L-BFGS from the guess and then from random starts, instance by instance; the best is kept.

    What an instance gets does not depend on the others, but for the odds that minima were missed. Starts come from the
    problem's ``prior``. Without one they are uniform between two bounds, and normal around the guess, with ``scale`` as
    deviation, for other unknowns.

    Parameters
    ----------
    evaluations
        Budget per instance: no run begins once so many evaluations are spent, so the last ones may exceed it. The
        epochs of joint optimisation plus the evaluations of its refinement make the comparison a fair one.
    max_iterations, history_size, tolerance
        Of each run, as in ``LocalMethod``.
    local_method
        What runs: ``"lockstep-lbfgs"``, or ``"lockstep-hybrid"``, of which a Jacobian counts as several evaluations.

    Example
    -------
    >>> MultiStart(evaluations=1000).solve(problem_set, seed=0)
    """

    name = "multi-start"

    def __init__(
        self,
        evaluations: int = 1000,
        max_iterations: int = 200,
        history_size: int = 10,
        tolerance: float = 1e-12,
        local_method: str = LockstepLBFGS.name,
    ) -> None:
        self.evaluations = check_count("evaluations", evaluations)
        local = LOCAL_METHODS[check_choice("local_method", local_method, tuple(LOCAL_METHODS))]
        self._local = local(max_iterations, history_size, tolerance)

    def solve(self, problem_set: ProblemSet, seed: int = 0) -> Solution:
        """Solve all instances; see ``Method.solve``."""
        seed = check_seed(seed)
        n, parts = len(check_problem_set(problem_set)), problem_set.slabs(RUNS_TOGETHER)
        if len(parts) > 1:
            return solve_slabs_alone(self, problem_set, parts, seed)
        run = self._local.run(problem_set)
        best = in_gradients(run.solution(self._local.name, type(self._local).__name__))
        first, history = best.history.iloc[:1], History(problem_set)
        descents, runs = Descents(best, run.at_start), np.ones(n, dtype=np.int64)
        history.record(1, float(best.evaluations.mean()), best.seconds, best.z, best.loss)
        with stage(self.name, total=n * self.evaluations) as done:
            while (copies := self._copies(best.evaluations, runs)).any():
                rows, starts = _starts(problem_set, seed, runs, copies)
                found = in_gradients(self._local.solve(problem_set[rows], start=starts))
                descents.add(rows, found, RANDOM)
                best, runs = with_runs(best, rows, found), runs + copies
                history.record(int(runs.max()), float(best.evaluations.mean()), best.seconds, best.z, best.loss)
                done(int(np.minimum(best.evaluations, self.evaluations).sum()))
        curve = pd.concat([first, history.frame], ignore_index=True)
        known = descents.confirmation(best.loss)
        return replace(best, method=self.name, solver=type(self).__name__, history=curve, confirmation=known)

    def _copies(self, spent: NDArray[np.int64], runs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many runs of each instance begin next, by what its own took: half of what the budget allows.

        At most as many as it had, since the first may tell little of the others.
        """
        left = self.evaluations - spent
        fitting = left * runs // (2 * np.maximum(spent, 1))
        return np.where(left > 0, np.clip(fitting, 1, runs), 0)


def _starts(
    problem_set: ProblemSet, seed: int, runs: NDArray[np.int64], copies: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the instances of the next runs, (m,), and where these start, (m, d).

    The k-th start of an instance is the same, however many runs the others had.
    """
    everyone, rows, starts = np.arange(len(problem_set)), [], []
    for k in range(int(runs[copies > 0].min()), int((runs + copies).max())):
        chosen = np.flatnonzero((runs <= k) & (k < runs + copies))
        if chosen.size:
            generator = np.random.default_rng(np.random.SeedSequence([seed, len(everyone), k]))
            rows.append(chosen)
            starts.append(problem_set.draw_starts(everyone, generator)[chosen])
    return np.concatenate(rows), np.concatenate(starts)
