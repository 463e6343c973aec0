"""Figure (a): what an instance of each problem looks like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasjoint.experiments.labels import Label

FigureData = dict[str, NDArray[Any]]
# So many entries of the last axis count as channels of a field or curve.
CHANNELS = 4
OBSERVED, PREDICTED = "#0072b2", "#d55e00"


def draw_example(axes: Any, problem: str, data: FigureData) -> None:
    """Draw an instance in the problem's own way, or its observation as points, curves or an image.

    Example
    -------
    >>> draw_example(axes, "billiards", store.figure_data("billiards"))
    """
    DRAWERS.get(Label(problem).base.removesuffix("-light"), draw_observation)(axes, data)


def draw_observation(axes: Any, data: FigureData) -> None:
    """Draw an observation of any shape, beside the prediction at the true unknowns where it can be compared.

    One axis, or one and up to four channels, gives curves; two axes, or two and channels, an image, with arrows for two
    channels. Of more axes the middle of the first ones is shown.
    """
    y = data["y"]
    channels = y.shape[-1] if y.ndim > 1 and y.shape[-1] <= CHANNELS < y.shape[-2] else None
    while y.ndim > (2 if channels is None else 3):
        y = y[len(y) // 2]
    if y.ndim < 2 or (channels is not None and y.ndim == 2):
        prediction = data.get("prediction") if "truth" in data else None
        _curves(axes, y, prediction)
        axes.set_title("an instance")
    else:
        _image(axes, y, channels)
        axes.set_title("an observation")


def _curves(axes: Any, y: NDArray[Any], prediction: NDArray[Any] | None) -> None:
    shown = {"observation": (y, OBSERVED, "-")}
    if prediction is not None and prediction.shape == y.shape:
        shown["prediction, true unknowns"] = (prediction, PREDICTED, "--")
    for name, (values, colour, dashes) in shown.items():
        lines = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
        marker = "o" if len(lines) <= 16 else ""
        for k, line in enumerate(lines.T):
            axes.plot(line, dashes, marker=marker, ms=4, color=colour, lw=1, label=name if k == 0 else None)
    axes.set(xlabel="entry", ylabel="value")
    axes.legend(frameon=False, fontsize="small")


def _image(axes: Any, y: NDArray[Any], channels: int | None) -> None:
    image = y if channels is None else y[..., 0] if channels == 1 else np.linalg.norm(y, axis=-1)
    drawn = axes.imshow(image, origin="lower", aspect="auto", cmap="viridis", interpolation="nearest")
    axes.figure.colorbar(drawn, ax=axes, label="value" if channels in (None, 1) else "norm of the channels")
    if channels == 2:
        rows, columns = (np.arange(size)[:: max(size // 16, 1)] for size in image.shape)
        arrows = y[np.ix_(rows, columns)]
        axes.quiver(columns, rows, arrows[..., 0], arrows[..., 1], color="white", width=0.004)
    axes.set(xlabel="second axis", ylabel="first axis")


def _wave_packet(axes: Any, data: FigureData) -> None:
    time = np.arange(1, len(data["y"]) + 1)
    axes.plot(time, data["y"], color="#7f7f7f", lw=0.8, label="observation u(t)")
    axes.plot(time, data["prediction"], color="#d55e00", lw=1.2, label="without noise")
    axes.axvline(float(data["truth"][0]), color="#cc79a7", lw=1, ls="--", label="true t0")
    axes.set(xlabel="t / samples", ylabel="u")
    axes.set_title("an instance")
    axes.legend(frameon=False, fontsize="small")


def _billiards(axes: Any, data: FigureData) -> None:
    radius = 0.03
    cue, ball, target = data["x_cue"], data["x_ball"], data["y"]
    direction = (target - ball) / np.linalg.norm(target - ball)
    impact = ball - 2 * radius * direction
    for centre, colour, label in ((cue, "#000000", "cue ball"), (ball, "#0072b2", "other ball")):
        axes.add_patch(_circle(centre, radius, colour))
        axes.annotate(label, centre, (0, 10), textcoords="offset points", ha="center", fontsize="small")
    axes.add_patch(_circle(impact, radius, "#000000", fill=False))
    axes.plot(*zip(cue, impact, strict=True), color="#000000", lw=1, ls=":")
    axes.plot(*zip(ball, target, strict=True), color="#0072b2", lw=1, ls=":")
    axes.plot(*target, "x", color="#d55e00", ms=9, mew=2)
    axes.annotate("target", target, (0, 9), textcoords="offset points", ha="center", fontsize="small")
    axes.set(xlim=(0, 1), ylim=(0.3, 0.95), aspect="equal", xlabel="x / m", ylabel="y / m")
    axes.set_title("an instance and its solution")


def _circle(centre: NDArray[Any], radius: float, colour: str, *, fill: bool = True) -> Any:
    from matplotlib.patches import Circle

    return Circle(tuple(centre), radius, facecolor=colour if fill else "none", edgecolor=colour)


def _trajectory(axes: Any, data: FigureData) -> None:
    image = axes.imshow(data["y"].T, aspect="auto", origin="lower", cmap="RdBu_r", interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, label="u")
    axes.set(xlabel="stored time", ylabel="grid point")
    axes.set_title("an observed trajectory")


def _fluid(axes: Any, data: FigureData) -> None:
    solid, last = data["solid"], data["y"]
    cells = len(solid)
    spacing = 100 / cells
    speed = np.ma.masked_where(solid[cells // 2 :], np.linalg.norm(last, axis=-1))
    image = axes.imshow(speed, origin="lower", extent=(0, 100, 50, 100), cmap="viridis")
    axes.figure.colorbar(image, ax=axes, label="speed at the end")
    axes.imshow(np.ma.masked_where(~solid, solid), origin="lower", extent=(0, 100, 0, 100), cmap="gray", vmin=0, vmax=2)
    places = (np.arange(cells) + 0.5) * spacing
    every = max(cells // 16, 1)
    rows, columns = np.arange(cells // 2)[::every], np.arange(cells)[::every]
    arrows = last[np.ix_(rows, columns)]
    axes.quiver(places[columns], places[rows + cells // 2], arrows[..., 0], arrows[..., 1], color="white", width=0.004)
    x0, right, up = data["truth"]
    axes.annotate("", (x0 + 6 * right, 20 + 6 * up), (x0, 20), arrowprops={"arrowstyle": "->", "color": "#d55e00"})
    axes.add_patch(_circle(np.array((x0, 20.0)), 10.0, "#d55e00", fill=False))
    axes.text(2, 4, "not observed", fontsize="small")
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal", xlabel="x", ylabel="y")
    axes.set_title("force, and observed velocity")


DRAWERS: dict[str, Callable[[Any, FigureData], None]] = {
    "wave-packet": _wave_packet,
    "billiards": _billiards,
    "kuramoto-sivashinsky": _trajectory,
    "navier-stokes": _fluid,
}
