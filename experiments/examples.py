"""Figure (a): what an instance of each problem looks like."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasjoint.experiments.labels import Label
from kerasjoint.plot.fields import draw_curves, draw_image, is_curve, middle_slice
from kerasjoint.plot.styles import GREY, OBSERVED, PREDICTED, TRUE

FigureData = dict[str, NDArray[Any]]


def draw_example(axes: Any, problem: str, data: FigureData) -> None:
    """Draw an instance in the problem's own way, or its observation as points, curves or an image.

    The latter also where ``data``, stored before the problem's ``picture`` gave them, lack arrays of its own way.

    Example
    -------
    >>> draw_example(axes, "billiards", store.figure_data("billiards"))
    """
    drawer, *needed = DRAWERS.get(Label(problem).base.removesuffix("-light"), (draw_observation,))
    (drawer if data.keys() >= {*needed} else draw_observation)(axes, data)


def draw_observation(axes: Any, data: FigureData) -> None:
    """Draw an observation of any shape, beside the prediction at the true unknowns where it can be compared.

    One axis, or one and up to four channels, gives curves; two axes, or two and channels, an image, with arrows for two
    channels. Of more axes the middle of the first ones is shown.
    """
    y = data["y"]
    if not is_curve(y):
        draw_image(axes, middle_slice(y))
        axes.set_title("an observation")
        return
    draw_curves(axes, y, color=OBSERVED, label="observation")
    prediction = data.get("prediction") if "truth" in data else None
    if prediction is not None and prediction.shape == y.shape:
        draw_curves(axes, prediction, color=PREDICTED, linestyle="--", label="prediction, true unknowns")
    axes.set(xlabel="entry", ylabel="value")
    axes.legend(frameon=False, fontsize="small")
    axes.set_title("an instance")


def _wave_packet(axes: Any, data: FigureData) -> None:
    time = np.arange(1, len(data["y"]) + 1)
    axes.plot(time, data["y"], color=GREY, lw=0.8, label="observation u(t)")
    axes.plot(time, data["prediction"], color=PREDICTED, lw=1.2, label="without noise")
    axes.axvline(float(data["truth"][0]), color=TRUE, lw=1, ls="--", label="true t0")
    axes.set(xlabel="t / samples", ylabel="u")
    axes.set_title("an instance")
    axes.legend(frameon=False, fontsize="small")


def _billiards(axes: Any, data: FigureData) -> None:
    radius = 0.03
    cue, ball, target = data["x_cue"], data["x_ball"], data["y"]
    direction = (target - ball) / np.linalg.norm(target - ball)
    impact = ball - 2 * radius * direction
    for centre, colour, label in ((cue, "#000000", "cue ball"), (ball, OBSERVED, "other ball")):
        axes.add_patch(_circle(centre, radius, colour))
        axes.annotate(label, centre, (0, 10), textcoords="offset points", ha="center", fontsize="small")
    axes.add_patch(_circle(impact, radius, "#000000", fill=False))
    axes.plot(*zip(cue, impact, strict=True), color="#000000", lw=1, ls=":")
    axes.plot(*zip(ball, target, strict=True), color=OBSERVED, lw=1, ls=":")
    axes.plot(*target, "x", color=PREDICTED, ms=9, mew=2)
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
    axes.annotate("", (x0 + 6 * right, 20 + 6 * up), (x0, 20), arrowprops={"arrowstyle": "->", "color": PREDICTED})
    axes.add_patch(_circle(np.array((x0, 20.0)), 10.0, PREDICTED, fill=False))
    axes.text(2, 4, "not observed", fontsize="small")
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal", xlabel="x", ylabel="y")
    axes.set_title("force, and observed velocity")


def _ballistics(axes: Any, data: FigureData) -> None:
    path = data["path"]
    axes.plot(path[:, 0], path[:, 1], color=TRUE, lw=1.5, label="a throw that lands there")
    axes.plot(data["y"][0], 0, "o", color=OBSERVED, label="observation: where it lands")
    axes.axhline(0, color=GREY, lw=0.8)
    axes.set(xlabel="along / m", ylabel="height / m", ylim=(-0.1, 1.4 * path[:, 1].max()))
    axes.set_title("an instance and a solution")
    axes.legend(frameon=False, fontsize="small", loc="upper left")


def _robotic_arm(axes: Any, data: FigureData) -> None:
    joints = data["joints"]
    axes.axvline(0, color=GREY, lw=3, label="rail of the base")
    axes.plot(joints[:, 0], joints[:, 1], "-o", color=TRUE, lw=2.5, ms=6, label="an arm that reaches it")
    axes.plot(*data["y"], "o", color=OBSERVED, ms=9, label="observation: the tip")
    axes.set(xlabel="horizontal", ylabel="vertical", xlim=(-0.2, 2.2), ylim=(-1.2, 1.6), aspect="equal")
    axes.set_title("an instance and a solution")
    axes.legend(frameon=False, fontsize="small", loc="upper left")


def _sine_wave(axes: Any, data: FigureData) -> None:
    surface, size = data["surface"], (-1, 1, -1, 1)
    image = axes.imshow(surface, origin="lower", extent=size, cmap="RdBu_r", interpolation="bilinear")
    axes.figure.colorbar(image, ax=axes, label="height")
    axes.contour(surface, levels=[float(data["y"][0])], extent=size, colors="#000000", linewidths=1.2)
    axes.plot(*data["truth"], "o", color=TRUE, mec="white", label="true point")
    axes.set(xlabel="first coordinate", ylabel="second coordinate", aspect="equal")
    axes.set_title("where the observed height is")
    axes.legend(fontsize="small", loc="upper left")


# The way of drawing, and the arrays of ``picture`` that it needs.
DRAWERS: dict[str, tuple[Any, ...]] = {
    "wave-packet": (_wave_packet,),
    "billiards": (_billiards,),
    "kuramoto-sivashinsky": (_trajectory,),
    "navier-stokes": (_fluid, "solid"),
    "ballistics": (_ballistics, "path"),
    "robotic-arm": (_robotic_arm, "joints"),
    "sine-wave": (_sine_wave, "surface"),
}
