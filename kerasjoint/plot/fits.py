"""How well a solution reproduces an observation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError, describe
from kerasjoint.plot.arguments import Panels, check_instance, check_solution, panels_of
from kerasjoint.plot.fields import channels_of, draw_curves, draw_image, is_curve, middle_slice
from kerasjoint.plot.styles import NEUTRAL, OBSERVED, PREDICTED

if TYPE_CHECKING:
    from kerasjoint.problem_set import ProblemSet

FloatArray = NDArray[np.float64]


def residuals(solution: Any, instance: int = 0, *, against: str | None = None, ax: Any = None) -> Panels:
    """Draw the observation of an instance, the prediction at its solution, and the residuals.

    Curves (one axis, or one and up to four channels) take two panels: both, and the residuals. Images take three, with
    arrows for vector fields; of more axes the middle of the first ones is shown. Where ``forward`` predicts something
    else than the observation, the panels are the observation and each part of the residuals. Residuals are those of the
    problem's ``residuals``, so weighted if it weights them; values without weight are left out.

    Parameters
    ----------
    solution
        A ``Solution``.
    instance
        Which instance.
    against
        Name of the condition to draw curves over, such as the time; its array has one number for each entry of the
        observation's first axis. Default: the only such array that increases, else the index.
    ax
        As many axes as there are panels. Default: a new figure.

    Returns
    -------
    numpy.ndarray
        The axes, (panels,).

    Raises
    ------
    ArgumentError
        Naming the argument that cannot be used.

    Example
    -------
    >>> axes = kerasjoint.plot.residuals(solution, instance=3)
    >>> axes[0].figure.savefig("fit.png")
    """
    from kerasjoint.loss_scale import missing_values

    problem_set = check_solution(solution).problem_set
    instance = check_instance(instance, len(solution))
    one = problem_set[instance]
    y = one.y[0]
    places, what = _places(one, against)
    prediction = one.problem.simulate(solution.xi[[instance]], one.x)
    parts = _residuals(one, prediction)
    missing = missing_values(one)
    if missing is not None and len(parts) == 1:
        y = np.where(missing[0], np.nan, y)
        parts = {name: np.where(missing[0], np.nan, part.reshape(y.shape)) for name, part in parts.items()}
    same = isinstance(prediction, np.ndarray) and prediction.shape[1:] == y.shape and len(parts) == 1
    curves = is_curve(y)
    count = (2 if curves else 3) if same else 1 + len(parts)
    axes = panels_of(ax, count, columns=3, size=(4.2, 3.0))
    if same and curves:
        draw_curves(axes[0], y, places, color=OBSERVED, label="observation")
        draw_curves(axes[0], prediction[0], places, color=PREDICTED, linestyle="--", label="prediction")
        axes[0].legend(frameon=False, fontsize="small")
        axes[0].set(xlabel=what, ylabel="value")
    elif same:
        shown = middle_slice(y), middle_slice(prediction[0])
        size = [part if channels_of(part) is None else np.linalg.norm(part, axis=-1) for part in shown]
        single = channels_of(y) == 1
        limits = {} if single else {"vmin": min(map(np.nanmin, size)), "vmax": max(map(np.nanmax, size))}
        draw_image(axes[0], shown[0], "observation", **limits)
        draw_image(axes[1], shown[1], "prediction", **limits)
    elif curves:
        draw_curves(axes[0], y, places, color=OBSERVED)
        axes[0].set(xlabel=what, ylabel="observation")
    else:
        draw_image(axes[0], middle_slice(y), "observation")
    for panel, (name, part) in zip(axes[-len(parts) :], parts.items(), strict=True):
        _draw_residual(panel, name, part, places if part.shape[:1] == y.shape[:1] else None, what)
    axes[0].set_title(f"instance {instance}, loss {solution.loss[instance]:.3g}", fontsize="medium")
    return axes


def _residuals(one: ProblemSet, prediction: Any) -> dict[str, FloatArray]:
    """Return the residuals of an instance by name, weighted as the problem does."""
    import tensorflow as tf

    problem, tensors = one.problem, tf.nest.map_structure(tf.constant, prediction)
    if not problem.is_least_squares and not (tf.is_tensor(tensors) and tensors.shape == one.y.shape):
        name = problem.hook_name("misfit")
        raise ArgumentError(
            "solution", "a problem whose misfit has residuals, or predicts y", f"one with its own {name}"
        )
    found = problem.residuals(tensors, one.data.y, one.data.x)
    if isinstance(found, dict):
        return {f"residual {name}": part.numpy()[0] for name, part in found.items()}
    flat = [part.numpy()[0] for part in tf.nest.flatten(found)]
    return {"residual": flat[0]} if len(flat) == 1 else {f"residual {k}": part for k, part in enumerate(flat)}


def _draw_residual(axes: Axes, name: str, part: FloatArray, places: FloatArray | None, what: str) -> None:
    if is_curve(part):
        axes.axhline(0.0, color=NEUTRAL, lw=0.8)
        draw_curves(axes, part, places, color=OBSERVED)
        axes.set(xlabel=what if places is not None else "entry", ylabel=name)
        return
    part = middle_slice(part)
    channels = channels_of(part)
    limit = float(np.nanmax(np.abs(part))) or 1.0
    signed = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit} if channels in (None, 1) else {}
    draw_image(axes, part, name, **signed)


def _places(one: ProblemSet, against: str | None) -> tuple[FloatArray | None, str]:
    """Return where the entries of the observation's first axis lie, and the axis's label."""
    length = one.y.shape[1:2]
    fitting = {name: array[0] for name, array in one.x.items() if array.ndim == 2 and array.shape[1:] == length}
    if against is not None:
        if against not in fitting:
            expected = f"a condition with one number for each entry of y: {' or '.join(fitting) or 'there is none'}"
            raise ArgumentError("against", expected, describe(against))
        return fitting[against], against
    increasing = [name for name, array in fitting.items() if len(array) > 1 and (np.diff(array) > 0).all()]
    return (fitting[increasing[0]], increasing[0]) if len(increasing) == 1 else (None, "entry")
