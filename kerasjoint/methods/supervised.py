"""Supervised learning from synthetic solutions (paper, Eq. 3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kerasjoint.checks import check_seed
from kerasjoint.methods.base import check_problem_set, draw_examples
from kerasjoint.methods.training import NetworkMethod, Trace
from kerasjoint.models import SupervisedModel
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Solution


class Supervised(NetworkMethod):
    """Train ``SupervisedModel`` on as many synthetic examples as there are instances, then estimate these.

    The examples come from ``problem.sample_training`` and are drawn anew: they differ from the instances to solve.

    Example
    -------
    >>> Supervised().solve(problem_set, seed=1)
    """

    name = "supervised"
    needs_gradient = False

    def solve(self, problem_set: ProblemSet, seed: int = 0) -> Solution:
        """Learn from examples and estimate all instances; ``seed`` draws the examples and the initial weights."""
        examples = draw_examples(check_problem_set(problem_set), training_seed(seed))
        with self._borrowed(SupervisedModel, problem_set, seed) as model:
            trace = Trace(problem_set)
            self._train(model, examples, [trace])
            solution = model.solution(problem_set)
        # One simulation made each example.
        counts = {name: getattr(solution, name) + 1 for name in ("evaluations", "values")}
        return replace(solution, **counts, history=trace.frame, solver=type(self).__name__)


def training_seed(seed: int) -> int:
    """Derive the seed of the examples, which supervised learning and the neural adjoint share, from that of a run."""
    return int(np.random.SeedSequence([check_seed(seed), 1]).generate_state(1)[0])
