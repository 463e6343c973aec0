"""Joint optimisation: one network reparameterizes all solutions (paper, Eq. 2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kerasjoint.methods.base import check_problem_set
from kerasjoint.methods.training import MODELS, NetworkMethod, Trace
from kerasjoint.models import ReparameterizedModel
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Solution

NUMBERS_TRAINED = 1e9


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
        with MODELS.borrow(ReparameterizedModel, check_problem_set(problem_set), self, seed) as model:
            trace = Trace(problem_set, model.evaluations_per_epoch)
            self._train(model, problem_set, [trace])
            return replace(model.solution(problem_set), history=trace.frame, solver=type(self).__name__)


def epochs_within_minutes(problem_set: ProblemSet) -> int:
    """Return 1000 epochs, or as many of the largest of sets as train in a few minutes on two cores.

    The convolutional network of the zoo takes about 0.2 microseconds per number observed and epoch.

    Example
    -------
    >>> epochs_within_minutes(WavePacket().sample(20_000, seed=0))
    195
    """
    return int(np.clip(NUMBERS_TRAINED / problem_set.y.size, 50, 1000))
