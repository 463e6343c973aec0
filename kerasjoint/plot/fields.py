"""Values of any shape on axes: points and curves for one axis, images for two, arrows for vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
# So many entries of the last axis count as channels of a curve or field.
CHANNELS = 4
# Few points are shown as such.
FEW = 16
ARROWS = 16


def channels_of(values: FloatArray) -> int | None:
    """Return how many channels the last axis holds, or ``None`` if it is no axis of channels."""
    return values.shape[-1] if values.ndim > 1 and values.shape[-1] <= CHANNELS < values.shape[-2] else None


def is_curve(values: FloatArray) -> bool:
    """Whether values are drawn as curves: one axis at most, beside channels."""
    return values.ndim < 2 or (channels_of(values) is not None and values.ndim == 2)


def middle_slice(values: FloatArray) -> FloatArray:
    """Return what an image can show: of more than two axes, the middle of the first ones."""
    channels = channels_of(values)
    while values.ndim > (2 if channels is None else 3):
        values = values[len(values) // 2]
    return values


def draw_curves(axes: Axes, values: FloatArray, places: FloatArray | None = None, **style: Any) -> None:
    """Draw curves over ``places``, by default their entries; the label of ``style`` belongs to the first one."""
    lines = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
    along = np.arange(len(lines)) if places is None else places
    label = style.pop("label", None)
    marker = "o" if len(lines) <= FEW else ""
    for k, line in enumerate(lines.T):
        look: dict[str, Any] = {"marker": marker, "ms": 4, "lw": 1, "label": label if k == 0 else None}
        axes.plot(along, line, **(look | style))


def draw_image(axes: Axes, values: FloatArray, what: str = "value", **style: Any) -> Any:
    """Draw an image of two axes, of several channels their norm, with arrows for two; return the image."""
    channels = channels_of(values)
    image = values if channels is None else values[..., 0] if channels == 1 else np.linalg.norm(values, axis=-1)
    style = {"origin": "lower", "aspect": "auto", "cmap": "viridis", "interpolation": "nearest"} | style
    drawn = axes.imshow(image, **style)
    axes.figure.colorbar(drawn, ax=axes, label=what if channels in (None, 1) else f"norm of the {what}")
    if channels == 2 and values.any():
        rows, columns = (np.arange(size)[:: max(size // ARROWS, 1)] for size in image.shape)
        arrows = values[np.ix_(rows, columns)]
        axes.quiver(columns, rows, arrows[..., 0], arrows[..., 1], color="white", width=0.004)
    axes.set(xlabel="second axis", ylabel="first axis")
    return drawn
