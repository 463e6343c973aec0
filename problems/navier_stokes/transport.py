"""What moves and smooths the velocity between two projections: semi-Lagrangian advection and viscosity."""

from __future__ import annotations

import tensorflow as tf

Field = tuple[tf.Tensor, tf.Tensor]


def advect(field: Field, courant: float, tangents: Field | None = None) -> tuple[Field, Field | None]:
    """Carry the velocity along itself: each face takes the value from where its fluid was one step ago.

    The path back is straight, the value there bilinear. Both are stable for every velocity; a path that would leave
    the domain ends at the wall. Along the walls fluid slips freely; inside obstacles it reads the zero stored there.

    Parameters
    ----------
    field
        Velocity on the left and on the bottom faces, each (instances, cells, cells).
    courant
        Time step over cell width.
    tangents
        Derivatives of the velocity, (directions * instances, cells, cells), to be carried along.
    """
    (u, v), moved = field, _departures(field, courant)
    edges = (((0, 0), (0, 0), (0, 1)), ((0, 0), (0, 1), (0, 0)))
    if tangents is None:
        u, v = (_Bilinear(tf.pad(f, e), *p)() for f, e, p in zip(field, edges, moved, strict=True))
        return (u, v), None
    shifts = _departures(tangents, courant, origin=0.0)
    values, derivatives = [], []
    for part, edge, place, tangent, shift in zip(field, edges, moved, tangents, shifts, strict=True):
        bilinear = _Bilinear(tf.pad(part, edge), *place)
        values.append(bilinear())
        derivatives.append(bilinear.tangent(tf.pad(tangent, edge), *shift))
    return (values[0], values[1]), (derivatives[0], derivatives[1])


def diffuse(field: Field, diffusion: float) -> Field:
    """Take one explicit step of viscosity; ``diffusion`` is viscosity times time step over cell area, at most 1/4.

    Walls let the velocity along them slip (mirrored); the velocity across them is zero, as all velocity in obstacles.
    """
    u, v = field
    sideways, upwards = (0, 0), (1, 1)
    u_ghosts = tf.pad(tf.pad(u, ((0, 0), upwards, sideways), mode="SYMMETRIC"), ((0, 0), (0, 0), (1, 1)))
    v_ghosts = tf.pad(tf.pad(v, ((0, 0), sideways, upwards), mode="SYMMETRIC"), ((0, 0), (1, 1), (0, 0)))
    return _keep(u + diffusion * _laplacian(u_ghosts)), _keep(v + diffusion * _laplacian(v_ghosts))


def _departures(field: Field, courant: float, origin: float = 1.0) -> tuple[Field, Field]:
    """Return (row, column) where the fluid now at the left and at the bottom faces came from, in indices.

    With ``origin=0`` the faces' own places are left out, which is the derivative.
    """
    u, v = field
    index = origin * tf.range(u.shape[1], dtype=u.dtype)
    v_sum = v + tf.pad(v[:, 1:], ((0, 0), (0, 1), (0, 0)))
    u_sum = u + tf.pad(u[:, :, 1:], ((0, 0), (0, 0), (0, 1)))
    v_at_u = 0.25 * (v_sum + tf.pad(v_sum[:, :, :-1], ((0, 0), (0, 0), (1, 0))))
    u_at_v = 0.25 * (u_sum + tf.pad(u_sum[:, :-1], ((0, 0), (1, 0), (0, 0))))
    rows, columns = index[:, None], index[None, :]
    return (rows - courant * v_at_u, columns - courant * u), (rows - courant * v, columns - courant * u_at_v)


def _laplacian(field: tf.Tensor) -> tf.Tensor:
    middle = field[:, 1:-1, 1:-1]
    around = field[:, :-2, 1:-1] + field[:, 2:, 1:-1] + field[:, 1:-1, :-2] + field[:, 1:-1, 2:]
    return around - 4 * middle


def _keep(field: tf.Tensor) -> tf.Tensor:
    """Return ``field`` unchanged; the division makes XLA store it, where fusion would compute it once per reader."""
    return field / (1 + 0 * field)


class _Bilinear:
    """``field`` at fractional indices, constant beyond its edges, and the derivative of that."""

    def __init__(self, field: tf.Tensor, row: tf.Tensor, column: tf.Tensor) -> None:
        self._rows, self._columns = field.shape[1:]
        top, end = self._rows - 1, self._columns - 1
        self._moves_row = tf.cast((row > 0) & (row < top), row.dtype)
        self._moves_column = tf.cast((column > 0) & (column < end), row.dtype)
        row, column = _keep(tf.clip_by_value(row, 0, top)), _keep(tf.clip_by_value(column, 0, end))
        # Clipped as integers too: a NaN turns into any integer and must not reach into another instance.
        lower = tf.clip_by_value(tf.cast(row, tf.int32), 0, top - 1)
        left = tf.clip_by_value(tf.cast(column, tf.int32), 0, end - 1)
        self._up, self._right = row - tf.cast(lower, row.dtype), column - tf.cast(left, row.dtype)
        self._cell = lower * self._columns + left
        self._corners = self._gather(field)

    def __call__(self) -> tf.Tensor:
        return _keep(self._blend(self._corners, self._up, self._right))

    def tangent(self, field: tf.Tensor, row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        """Return the derivative where ``field``, ``row`` and ``column`` change at these rates."""
        directions = field.shape[0] // self._cell.shape[0]
        many = [tf.tile(part, (directions, 1, 1)) for part in (self._up, self._right)]
        here = self._blend(self._gather(field, directions), *many)
        a, b, c, d = self._corners
        by_row = _keep(self._moves_row * ((1 - self._right) * (c - a) + self._right * (d - b)))
        by_column = _keep(self._moves_column * ((1 - self._up) * (b - a) + self._up * (d - c)))
        shape = (directions, *by_row.shape)
        moved = by_row * tf.reshape(row, shape) + by_column * tf.reshape(column, shape)
        return _keep(here + tf.reshape(moved, field.shape[:1] + by_row.shape[1:]))

    def _gather(self, field: tf.Tensor, directions: int = 1) -> list[tf.Tensor]:
        first = tf.range(field.shape[0])[:, None, None] * (self._rows * self._columns)
        start = first + tf.tile(self._cell, (directions, 1, 1))
        flat = tf.reshape(field, (-1,))
        return [tf.gather(flat, start + step) for step in (0, 1, self._columns, self._columns + 1)]

    @staticmethod
    def _blend(corners: list[tf.Tensor], up: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
        a, b, c, d = corners
        return (1 - up) * ((1 - right) * a + right * b) + up * ((1 - right) * c + right * d)
