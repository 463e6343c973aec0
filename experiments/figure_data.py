"""The arrays behind figures (a) and (b): one instance, and its loss along one unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError
from kerasjoint.plot.landscapes import evaluate_landscape
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet


def example_data(problem: InverseProblem) -> dict[str, NDArray[Any]]:
    """Return what the picture of one sampled instance needs.

    That is ``y``, ``x_<name>``, ``prediction`` at the true unknowns if it is one array, ``truth`` if it is known, and
    what ``problem.picture`` returns.

    Example
    -------
    >>> example_data(Billiards())["truth"].shape
    (2,)
    """
    return _example(_instance(problem))


def figure_data(problem: InverseProblem) -> dict[str, NDArray[Any]]:
    """Return ``example_data``, and loss and gradient along one unknown, the others true (or at their guess).

    The unknown is that which ``problem.shown_unknown`` names, else the first.

    Example
    -------
    >>> figure_data(Billiards())["landscape_loss"].shape
    (512,)
    """
    instance = _instance(problem)
    return _example(instance) | _landscape(instance)


def _instance(problem: InverseProblem) -> ProblemSet:
    instance = problem.sample(1, seed=0)
    if not isinstance(instance, ProblemSet):
        raise ArgumentError(problem.hook_name("sample"), "a ProblemSet", type(instance).__name__)
    return instance


def _example(instance: ProblemSet) -> dict[str, NDArray[Any]]:
    problem = instance.problem
    arrays = {"y": instance.y[0]} | {f"x_{name}": array[0] for name, array in instance.x.items()}
    if instance.truth is not None:
        arrays["truth"] = instance.truth[0]
    prediction = problem.simulate(_centre(instance), instance.x)
    if isinstance(prediction, np.ndarray):
        arrays["prediction"] = prediction[0]
    return arrays | problem.picture(_centre(instance)[0])


def _landscape(instance: ProblemSet) -> dict[str, NDArray[Any]]:
    found = evaluate_landscape(instance)
    arrays = {
        "landscape_label": np.array(found.labels[0]),
        "landscape_values": found.values[0],
        "landscape_loss": found.loss,
    }
    if found.truth is not None:
        arrays["landscape_truth"] = found.truth[0]
    if found.gradient is not None:
        arrays["landscape_gradient"] = found.gradient
    return arrays


def _centre(instance: ProblemSet) -> NDArray[np.float64]:
    """The true unknowns (1, d), or the guess where they are not known."""
    return instance.guess if instance.truth is None else instance.truth
