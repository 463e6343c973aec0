"""Multi-start L-BFGS: what one would try next, given as many evaluations as joint optimisation takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasjoint.checks import check_count
from kerasjoint.counting import History
from kerasjoint.methods.base import Method, check_problem_set
from kerasjoint.methods.descents import RANDOM, Descents
from kerasjoint.methods.lockstep_lbfgs import LockstepLBFGS
from kerasjoint.problem_set import ProblemSet
from kerasjoint.progress import stage
from kerasjoint.solution import Solution, with_runs

BATCH = 256


class MultiStart(Method):
    """``LockstepLBFGS`` from the guess and then from random starts, instance by instance; the best is kept.

    Starts come from the problem's ``prior``. Without one they are uniform between two bounds, and normal around the
    guess, with ``scale`` as deviation, for other unknowns.

    Parameters
    ----------
    evaluations
        Budget per instance: no run begins once so many evaluations are spent, so the last run may exceed it. The epochs
        of joint optimisation plus the evaluations of its refinement make the comparison a fair one.
    max_iterations, history_size, tolerance
        Of each run, as in ``LocalMethod``.

    Example
    -------
    >>> MultiStart(evaluations=1000).solve(problem_set, seed=0)
    """

    name = "multi-start"

    def __init__(
        self, evaluations: int = 1000, max_iterations: int = 200, history_size: int = 10, tolerance: float = 1e-12
    ) -> None:
        self.evaluations = check_count("evaluations", evaluations)
        self._local = LockstepLBFGS(max_iterations, history_size, tolerance)

    def solve(self, problem_set: ProblemSet, seed: int = 0) -> Solution:
        """Solve all instances; see ``Method.solve``."""
        generator = np.random.default_rng(np.random.SeedSequence([seed, len(check_problem_set(problem_set))]))
        best = self._local.solve(problem_set)
        first, history = best.history.iloc[:1], History(problem_set)
        descents, runs = Descents(best), 1
        history.record(runs, float(best.evaluations.mean()), best.seconds, best.z, best.loss)
        with stage(self.name, total=len(problem_set) * self.evaluations) as done:
            while (best.evaluations < self.evaluations).any():
                rows = self._next_rows(best.evaluations)
                found = self._local.solve(problem_set[rows], start=problem_set.draw_starts(rows, generator))
                descents.add(rows, found, RANDOM)
                best = with_runs(best, rows, found)
                runs += 1
                history.record(runs, float(best.evaluations.mean()), best.seconds, best.z, best.loss)
                done(int(np.minimum(best.evaluations, self.evaluations).sum()))
        curve = pd.concat([first, history.frame], ignore_index=True)
        known = descents.confirmation(best.loss)
        return replace(best, method=self.name, solver=type(self).__name__, history=curve, confirmation=known)

    def _next_rows(self, spent: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the instances to start next, several times where a batch has room and the budget too."""
        left = self.evaluations - spent
        rows = np.flatnonzero(left > 0)
        copies = max(1, min(BATCH // len(rows), int(left[rows].min()) // max(int(spent.mean()), 1)))
        return np.tile(rows, copies)
