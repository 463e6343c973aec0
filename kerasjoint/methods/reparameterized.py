"""Joint optimisation: one network reparameterizes all solutions (paper, Eq. 2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kerasjoint.checks import check_seed
from kerasjoint.errors import ArgumentError, describe
from kerasjoint.methods.base import check_problem_set
from kerasjoint.methods.training import NetworkMethod, Trace
from kerasjoint.models import ReparameterizedModel
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Solution


class Reparameterized(NetworkMethod):
    """Train ``ReparameterizedModel`` on the problem set; the best point seen of each instance is its solution.

    Parameters
    ----------
    learning_rate, epochs, network, network_options
        See ``NetworkMethod``.
    scale_instances
        For instances whose losses differ by orders of magnitude; see ``ReparameterizedModel``.

    Example
    -------
    >>> Reparameterized(epochs=2000).solve(problem_set, seed=1)
    """

    name = "reparameterized"
    selects_best = True

    def __init__(
        self,
        learning_rate: float = 1e-3,
        epochs: int = 1000,
        network: str = "auto",
        network_options: dict[str, Any] | None = None,
        scale_instances: bool = False,
    ) -> None:
        super().__init__(learning_rate, epochs, network, network_options)
        if not isinstance(scale_instances, bool):
            raise ArgumentError("scale_instances", "True or False", describe(scale_instances))
        self.scale_instances = scale_instances

    def solve(self, problem_set: ProblemSet, seed: int = 0) -> Solution:
        """Solve all instances together; ``seed`` draws the initial weights."""
        check_problem_set(problem_set)
        seed = check_seed(seed)
        with self._borrowed(ReparameterizedModel, problem_set, seed, scale_instances=self.scale_instances) as model:
            trace = Trace(problem_set, model.evaluations_per_epoch)
            self._train(model, problem_set, [trace])
            return replace(model.solution(problem_set), history=trace.frame, solver=type(self).__name__)
