"""Figure (a): what an instance of each problem looks like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasjoint.experiments.variants import base_name

Picture = dict[str, NDArray[Any]]


def draw_example(axes: Any, problem: str, picture: Picture) -> None:
    """Draw an instance in the problem's own way, or its observation as a curve."""
    DRAWERS.get(base_name(problem).removesuffix("-light"), _observation)(axes, picture)


def _observation(axes: Any, picture: Picture) -> None:
    axes.plot(picture["y"].reshape(-1), color="#0072b2", lw=1, label="observation")
    axes.plot(picture["prediction"].reshape(-1), color="#d55e00", lw=1, label="true unknowns")
    axes.set(xlabel="entry", ylabel="value")
    axes.set_title("an instance")
    axes.legend(frameon=False, fontsize="small")


def _wave_packet(axes: Any, picture: Picture) -> None:
    time = np.arange(1, len(picture["y"]) + 1)
    axes.plot(time, picture["y"], color="#7f7f7f", lw=0.8, label="observation u(t)")
    axes.plot(time, picture["prediction"], color="#d55e00", lw=1.2, label="without noise")
    axes.axvline(float(picture["truth"][0]), color="#cc79a7", lw=1, ls="--", label="true t0")
    axes.set(xlabel="t / samples", ylabel="u")
    axes.set_title("an instance")
    axes.legend(frameon=False, fontsize="small")


def _billiards(axes: Any, picture: Picture) -> None:
    radius = 0.03
    cue, ball, target = picture["x_cue"], picture["x_ball"], picture["y"]
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


def _trajectory(axes: Any, picture: Picture) -> None:
    image = axes.imshow(picture["y"].T, aspect="auto", origin="lower", cmap="RdBu_r", interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, label="u")
    axes.set(xlabel="stored time", ylabel="grid point")
    axes.set_title("an observed trajectory")


def _fluid(axes: Any, picture: Picture) -> None:
    solid, last = picture["solid"], picture["y"]
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
    x0, right, up = picture["truth"]
    axes.annotate("", (x0 + 6 * right, 20 + 6 * up), (x0, 20), arrowprops={"arrowstyle": "->", "color": "#d55e00"})
    axes.add_patch(_circle(np.array((x0, 20.0)), 10.0, "#d55e00", fill=False))
    axes.text(2, 4, "not observed", fontsize="small")
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal", xlabel="x", ylabel="y")
    axes.set_title("force, and observed velocity")


DRAWERS: dict[str, Callable[[Any, Picture], None]] = {
    "wave-packet": _wave_packet,
    "billiards": _billiards,
    "kuramoto-sivashinsky": _trajectory,
    "navier-stokes": _fluid,
}
