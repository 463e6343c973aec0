"""What an evaluation costs, in values with gradient: the unit of every budget."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kerasjoint.evaluator import Route
from kerasjoint.problem_set import ProblemSet
from kerasjoint.summary import VALUE_COST

Counts = NDArray[np.int64]

# Up to so many unknowns, a time loop carries all tangents along, and a Jacobian costs about what a gradient costs.
FEW_UNKNOWNS = 8
# Beyond this, a Jacobian counts as so many gradients as groups of so many unknowns. Measured, in gradients: 1 with the
# 12 of carbon dioxide and the 14 of the epidemic, 4 with the 20 of thin films and the 36 of phase retrieval, 7 with the
# 16 of layered ground and with the 40 of Lorenz-96, 18 with the 64 of a Kuramoto-Sivashinsky state.
UNKNOWNS_PER_GRADIENT = 4


def value_cost(problem_set: ProblemSet) -> float:
    """Return what a value without gradient costs: a third, or exactly its share where gradients are differences.

    Example
    -------
    >>> value_cost(problem_set)
    0.333...
    """
    return 1 / (1 + problem_set.space.size) if problem_set.evaluator.by_differences else VALUE_COST


def jacobian_cost(problem_set: ProblemSet) -> int:
    """Return what an evaluation with a Jacobian costs, as far as known beforehand.

    Differences take d + 1 simulations: as many as a gradient by differences, or half as many gradients by an adjoint.

    Example
    -------
    >>> jacobian_cost(problem_set)
    10
    """
    size = problem_set.space.size
    if problem_set.evaluator.by_differences:
        return 1
    if problem_set.evaluator.route is Route.HOST:
        return -(-(size + 1) // 2)
    return 1 if size <= FEW_UNKNOWNS else -(-size // UNKNOWNS_PER_GRADIENT)


def differenced(problem_set: ProblemSet, evaluations: Counts, values: Counts, jacobians: Counts) -> Counts:
    """Return how many simulations (n,) beside these evaluations finite differences took.

    Example
    -------
    >>> differenced(problem_set, solution.evaluations, solution.values, solution.jacobians)
    """
    evaluator = problem_set.evaluator
    if evaluator.by_differences:
        return problem_set.space.size * (evaluations - values)
    return problem_set.space.size * jacobians if evaluator.route is Route.HOST else np.zeros_like(evaluations)
