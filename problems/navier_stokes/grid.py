"""The closed box of the fluid: staggered cells, solid obstacles, and which faces are open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from kerasjoint.checks import check_number
from kerasjoint.errors import ArgumentError, describe

LENGTH = 100.0


@dataclass(frozen=True)
class Box:
    """A solid rectangle in domain coordinates (0 to 100): left and right edge, bottom and top edge.

    Example
    -------
    >>> Box(left=20.0, right=35.0, bottom=40.0, top=50.0)
    """

    left: float
    right: float
    bottom: float
    top: float

    def __post_init__(self) -> None:
        """Refuse a rectangle without area."""
        edges = (self.left, self.right, self.bottom, self.top)
        for edge in edges:
            check_number("Box", edge, "four finite numbers left, right, bottom, top")
        left, right, bottom, top = map(float, edges)
        if not (left < right and bottom < top):
            raise ArgumentError("Box", "left below right and bottom below top", self)


class Grid:
    """A square box of ``cells`` x ``cells`` cells with closed walls and box obstacles.

    Arrays are indexed (row from the bottom, column from the left). Cell (i, j) holds the horizontal velocity on its
    left face and the vertical velocity on its bottom face, so both components have one shape; column 0 of the first and
    row 0 of the second are walls, and the right and top walls are not stored.

    A cell is solid if its centre lies in an obstacle: boxes are snapped to the nearest cells.

    Attributes
    ----------
    solid
        Which cells are obstacles.
    open_u, open_v
        Which left and bottom faces let fluid through: those between two fluid cells.
    closed_u, closed_v
        Which left and bottom faces separate an obstacle from the fluid.
    """

    def __init__(self, cells: int, obstacles: Sequence[Box] = ()) -> None:
        self.cells = cells
        self.spacing = LENGTH / cells
        self.solid = _solid_cells(cells, obstacles)
        beside, below = _neighbours(self.solid)
        here = self.solid
        inner = np.arange(cells) > 0
        self.open_u: NDArray[np.bool_] = ~here & ~beside & inner[None, :]
        self.open_v: NDArray[np.bool_] = ~here & ~below & inner[:, None]
        self.closed_u: NDArray[np.bool_] = (here != beside) & inner[None, :]
        self.closed_v: NDArray[np.bool_] = (here != below) & inner[:, None]

    def positions(self) -> tuple[NDArray[Any], ...]:
        """Return x and y of the left faces, then x and y of the bottom faces, each broadcasting to (cells, cells)."""
        edges = np.arange(self.cells) * self.spacing
        centres = edges + self.spacing / 2
        return edges[None, :], centres[:, None], centres[None, :], edges[:, None]


def _neighbours(solid: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return np.roll(solid, 1, axis=1), np.roll(solid, 1, axis=0)


def _solid_cells(cells: int, obstacles: Sequence[Box]) -> NDArray[np.bool_]:
    centres = (np.arange(cells) + 0.5) * LENGTH / cells
    solid = np.zeros((cells, cells), dtype=bool)
    for index, box in enumerate(obstacles):
        name = f"obstacles[{index}]"
        if not isinstance(box, Box):
            raise ArgumentError(name, "a Box", describe(box))
        if min(box.left, box.bottom) < 0 or max(box.right, box.top) > LENGTH:
            raise ArgumentError(name, f"a box inside the domain, 0 to {LENGTH:g} in both directions", box)
        columns = (box.left <= centres) & (centres < box.right)
        rows = (box.bottom <= centres) & (centres < box.top)
        if not (columns.any() and rows.any()):
            raise ArgumentError(name, f"a box with a cell centre in it on {cells} x {cells} cells", box)
        solid |= rows[:, None] & columns[None, :]
    if solid.all():
        raise ArgumentError("obstacles", "some fluid left in the domain", "obstacles that cover it")
    parts = ndimage.label(~solid)[1]
    if parts > 1:
        raise ArgumentError("obstacles", "fluid in one connected piece", f"obstacles that cut it into {parts}")
    return solid
