"""The arrays behind figures (a) and (b): one instance, and its loss along one unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError, KerasjointError
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet

POINTS = 512


def figure_data(problem: InverseProblem) -> dict[str, NDArray[Any]]:
    """Return the arrays that figures of a problem need, of one sampled instance.

    They are ``y``, ``x_<name>``, ``prediction`` at the true unknowns if it is one array, ``truth`` if it is known, what
    ``problem.picture`` returns, and loss and gradient along one unknown, the others true (or at their guess): the
    unknown that ``problem.shown_unknown`` names, else the first.

    Example
    -------
    >>> figure_data(Billiards())["landscape_loss"].shape
    (512,)
    """
    instance = problem.sample(1, seed=0)
    if not isinstance(instance, ProblemSet):
        raise ArgumentError(problem.hook_name("sample"), "a ProblemSet", type(instance).__name__)
    arrays = {"y": instance.y[0]} | {f"x_{name}": array[0] for name, array in instance.x.items()}
    if instance.truth is not None:
        arrays["truth"] = instance.truth[0]
    prediction = problem.simulate(_centre(instance), instance.x)
    if isinstance(prediction, np.ndarray):
        arrays["prediction"] = prediction[0]
    return arrays | _landscape(instance) | problem.picture()


def _landscape(instance: ProblemSet) -> dict[str, NDArray[Any]]:
    space, centre = instance.space, _centre(instance)
    label = instance.problem.shown_unknown or space.labels[0]
    if label not in space.labels:
        raise ArgumentError(f"{type(instance.problem).__name__}.shown_unknown", f"one of {space.labels}", repr(label))
    column = space.labels.index(label)
    reach = 3 * space.scale[column]
    low, high = space.lower[column], space.upper[column]
    values = np.linspace(
        low if np.isfinite(low) else centre[0, column] - reach,
        high if np.isfinite(high) else centre[0, column] + reach,
        POINTS,
    )
    copies = ProblemSet(
        instance.problem,
        {name: np.repeat(array, POINTS, axis=0) for name, array in instance.x.items()},
        np.repeat(instance.y, POINTS, axis=0),
    )
    xi = np.repeat(centre, POINTS, axis=0)
    xi[:, column] = values
    arrays: dict[str, NDArray[Any]] = {"landscape_label": np.array(label), "landscape_values": values}
    if instance.truth is not None:
        arrays["landscape_truth"] = instance.truth[0, column]
    try:
        loss, gradient = copies.value_and_gradient(xi)
    except KerasjointError:
        return arrays | {"landscape_loss": copies.objective(xi)}
    return arrays | {"landscape_loss": loss, "landscape_gradient": gradient[:, column]}


def _centre(instance: ProblemSet) -> NDArray[np.float64]:
    """The true unknowns (1, d), or the guess where they are not known."""
    return instance.guess if instance.truth is None else instance.truth
