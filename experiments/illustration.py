"""The arrays behind figures (a) and (b): one instance, and its loss along one unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet

POINTS = 512
LANDSCAPE_UNKNOWN = {"billiards": "v0[1]", "kuramoto-sivashinsky": "beta", "navier-stokes": "x0"}


def illustrate(name: str, problem: InverseProblem) -> dict[str, NDArray[Any]]:
    """Return arrays that picture a problem: an instance, and loss and gradient along one unknown, the others true.

    The unknown is the one that the paper's figures show, else the first.
    """
    instance = problem.sample(1, seed=0)
    space = problem.space
    truth = instance.truth if instance.truth is not None else instance.guess
    label = LANDSCAPE_UNKNOWN.get(name.removesuffix("-light"), space.labels[0])
    column = space.labels.index(label)
    low = space.lower[column] if space.bounded[column] else truth[0, column] - 3 * space.scale[column]
    high = space.upper[column] if space.bounded[column] else truth[0, column] + 3 * space.scale[column]
    values = np.linspace(low, high, POINTS)
    copies = ProblemSet(
        problem,
        {key: np.repeat(array, POINTS, axis=0) for key, array in instance.x.items()},
        np.repeat(instance.y, POINTS, axis=0),
    )
    xi = np.repeat(truth, POINTS, axis=0)
    xi[:, column] = values
    loss, gradient = copies.value_and_gradient(xi)
    arrays = {
        "landscape_label": np.array(label),
        "landscape_values": values,
        "landscape_loss": loss,
        "landscape_gradient": gradient[:, column],
        "landscape_truth": truth[0, column],
        "y": instance.y[0],
        "truth": truth[0],
        "prediction": problem.simulate(truth, instance.x)[0],
    }
    return arrays | problem.picture() | {f"x_{key}": array[0] for key, array in instance.x.items()}
