"""The exact, direct pressure projection: cosine transforms for the box, a capacitance matrix for the obstacles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.problems.navier_stokes.grid import Grid

Field = tuple[tf.Tensor, tf.Tensor]
Array = NDArray[np.float64]


class Projection:
    """Removes the divergence of a velocity field and stops the flow through walls and obstacles.

    In the empty box the pressure equation is diagonal in cosines, ``q = C^T ((C d C^T) / lambda) C``, with the constant
    mode, which no gradient sees, set to zero. An obstacle closes the faces c around it. Let an imagined inflow ``s``
    on those faces take part in the box projection and choose it such that nothing is left of the flow there:

        (1 - G_c L^-1 D_c) s = G_c q,        q_total = q + L^-1 D_c s.

    The matrix on the left is symmetric, of the number of closed faces, and singular once for every separate obstacle
    (an inflow that only lifts the pressure inside one obstacle changes nothing); its pseudo-inverse is taken once, in
    float64. Cells inside obstacles only ever exchange pressure with the fluid through faces that end up without flow.

    Velocities are in any unit; pressure is in velocity times cell width.
    """

    def __init__(self, grid: Grid) -> None:
        self.cells = n = grid.cells
        order = np.arange(n)
        self._cosines: Array = np.cos(np.pi * order[:, None] * (order[None, :] + 0.5) / n) * np.sqrt(2 / n)
        self._cosines[0] /= np.sqrt(2)
        wave = (2 * np.sin(np.pi * order / (2 * n))) ** 2
        eigenvalues = wave[:, None] + wave[None, :]
        eigenvalues[0, 0] = np.inf
        self._inverse: Array = -1 / eigenvalues
        self._open_u, self._open_v = grid.open_u.astype(float), grid.open_v.astype(float)
        # Each closed face is listed as the cell after it and the cell before it, in the flattened cell array.
        after_u, after_v = np.flatnonzero(grid.closed_u), np.flatnonzero(grid.closed_v)
        self._after = np.concatenate([after_u, after_v])
        self._before = np.concatenate([after_u - 1, after_v - n])
        self._correction = self._capacitance()

    def __call__(self, field: Field) -> Field:
        """Return the projected velocity; ``field`` is (u, v), each (instances, cells, cells)."""
        u, v = field
        open_u, open_v = (tf.constant(mask, u.dtype) for mask in (self._open_u, self._open_v))
        u, v = u * open_u, v * open_v
        pressure = self.solve(divergence(u, v))
        return (
            u - open_u * (pressure - tf.pad(pressure[:, :, :-1], ((0, 0), (0, 0), (1, 0)))),
            v - open_v * (pressure - tf.pad(pressure[:, :-1, :], ((0, 0), (1, 0), (0, 0)))),
        )

    def solve(self, source: tf.Tensor) -> tf.Tensor:
        """Return the pressure whose Laplacian, over open faces only, is ``source`` in every fluid cell."""
        pressure = self._solve_box(source)
        if not self._after.size:
            return pressure
        flat = tf.reshape(pressure, (-1, self.cells**2))
        jump = tf.gather(flat, self._after, axis=1) - tf.gather(flat, self._before, axis=1)
        flat += tf.matmul(jump, tf.constant(self._correction, source.dtype))
        return tf.reshape(flat, tf.shape(pressure))

    def _solve_box(self, source: tf.Tensor) -> tf.Tensor:
        """Solve without obstacles. Cosines are even or odd about the middle: each kind needs half of the products."""
        half = self.cells // 2
        cosines = [tf.constant(self._cosines[kind::2, :half], source.dtype) for kind in (0, 1)]
        columns = []
        for kind_x, part in enumerate(_fold(source, axis=2)):
            rows = []
            for kind_y, quarter in enumerate(_fold(tf.einsum("nij,kj->nik", part, cosines[kind_x]), axis=1)):
                inverse = tf.constant(self._inverse[kind_y::2, kind_x::2], source.dtype)
                spectrum = tf.einsum("nik,li->nlk", quarter, cosines[kind_y]) * inverse
                rows.append(tf.einsum("nlk,li->nik", spectrum, cosines[kind_y]))
            columns.append(tf.einsum("nik,kj->nij", _unfold(rows, axis=1), cosines[kind_x]))
        return _unfold(columns, axis=2)

    def _capacitance(self) -> Array:
        """Map the pressure jumps over the closed faces to the correction of the pressure, (faces, cells * cells)."""
        faces = np.arange(self._after.size)
        source = np.zeros((faces.size, self.cells**2))
        source[faces, self._before] = 1
        source[faces, self._after] = -1
        spectrum = self._cosines @ source.reshape(-1, self.cells, self.cells) @ self._cosines.T * self._inverse
        response = (self._cosines.T @ spectrum @ self._cosines).reshape(faces.size, self.cells**2)
        matrix = np.eye(faces.size) - (response[:, self._after] - response[:, self._before])
        return np.linalg.pinv((matrix + matrix.T) / 2, rcond=1e-9, hermitian=True) @ response


def divergence(u: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
    """Return the net outflow of each cell, as a velocity (times cell width, it is the flux)."""
    right = tf.pad(u[:, :, 1:], ((0, 0), (0, 0), (0, 1)))
    top = tf.pad(v[:, 1:, :], ((0, 0), (0, 1), (0, 0)))
    return right - u + top - v


def _fold(field: tf.Tensor, axis: int) -> Field:
    """Return twice the even and twice the odd part about the middle of an axis, on its first half."""
    first, second = tf.split(field, 2, axis)
    mirrored = tf.reverse(second, [axis])
    return first + mirrored, first - mirrored


def _unfold(parts: Sequence[tf.Tensor], axis: int) -> tf.Tensor:
    """Return the whole field of an even and an odd part, given on the first half of an axis."""
    even, odd = parts
    return tf.concat([even + odd, tf.reverse(even - odd, [axis])], axis)
