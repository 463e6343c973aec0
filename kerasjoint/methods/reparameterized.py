"""Joint optimisation: one network reparameterizes all solutions (paper, Eq. 2)."""

from __future__ import annotations

from dataclasses import replace

from kerasjoint.methods.base import check_problem_set
from kerasjoint.methods.training import NetworkMethod, Trace
from kerasjoint.models import ReparameterizedModel
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Solution


class Reparameterized(NetworkMethod):
    """Train ``ReparameterizedModel`` on the problem set; the best point seen of each instance is its solution.

    Example
    -------
    >>> Reparameterized(epochs=2000).solve(problem_set, seed=1)
    """

    name = "reparameterized"
    selects_best = True

    def solve(self, problem_set: ProblemSet, seed: int = 0) -> Solution:
        """Solve all instances together; ``seed`` draws the initial weights."""
        with self._borrowed(ReparameterizedModel, check_problem_set(problem_set), seed) as model:
            trace = Trace(problem_set, model.evaluations_per_epoch)
            self._train(model, problem_set, [trace])
            return replace(model.solution(problem_set), history=trace.frame, solver=type(self).__name__)
