"""What moves and smooths the velocity between two projections: semi-Lagrangian advection and viscosity."""

from __future__ import annotations

import tensorflow as tf


def advect(u: tf.Tensor, v: tf.Tensor, courant: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Carry the velocity along itself: each face takes the value from where its fluid was one step ago.

    The path back is straight, the value there bilinear. Both are stable for every velocity; a path that would leave
    the domain ends at the wall. Along the walls fluid slips freely; inside obstacles it reads the zero stored there.

    Parameters
    ----------
    u, v
        Velocity on the left and on the bottom faces, (instances, cells, cells).
    courant
        Time step over cell width.
    """
    cells = u.shape[1]
    index = tf.range(cells, dtype=u.dtype)
    u_closed = tf.pad(u, ((0, 0), (0, 0), (0, 1)))
    v_closed = tf.pad(v, ((0, 0), (0, 1), (0, 0)))
    v_at_u = v_closed[:, :-1] + v_closed[:, 1:]
    v_at_u = 0.25 * (v_at_u + tf.pad(v_at_u[:, :, :-1], ((0, 0), (0, 0), (1, 0))))
    u_at_v = u_closed[:, :, :-1] + u_closed[:, :, 1:]
    u_at_v = 0.25 * (u_at_v + tf.pad(u_at_v[:, :-1], ((0, 0), (1, 0), (0, 0))))
    return (
        _interpolate(u_closed, index[:, None] - courant * v_at_u, index[None, :] - courant * u),
        _interpolate(v_closed, index[:, None] - courant * v, index[None, :] - courant * u_at_v),
    )


def diffuse(u: tf.Tensor, v: tf.Tensor, diffusion: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Take one explicit step of viscosity; ``diffusion`` is viscosity times time step over cell area, at most 1/4.

    Walls let the velocity along them slip (mirrored); the velocity across them is zero, as all velocity in obstacles.
    """
    sideways, upwards = (0, 0), (1, 1)
    u_ghosts = tf.pad(tf.pad(u, ((0, 0), upwards, sideways), mode="SYMMETRIC"), ((0, 0), (0, 0), (1, 1)))
    v_ghosts = tf.pad(tf.pad(v, ((0, 0), sideways, upwards), mode="SYMMETRIC"), ((0, 0), (1, 1), (0, 0)))
    return u + diffusion * _laplacian(u_ghosts), v + diffusion * _laplacian(v_ghosts)


def _laplacian(field: tf.Tensor) -> tf.Tensor:
    middle = field[:, 1:-1, 1:-1]
    around = field[:, :-2, 1:-1] + field[:, 2:, 1:-1] + field[:, 1:-1, :-2] + field[:, 1:-1, 2:]
    return around - 4 * middle


def _interpolate(field: tf.Tensor, row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
    """Read ``field`` at fractional indices, bilinearly, constant beyond its edges."""
    rows, columns = field.shape[1:]
    row, column = tf.clip_by_value(row, 0, rows - 1), tf.clip_by_value(column, 0, columns - 1)
    # Clipped as integers too: a NaN turns into any integer and must not reach into another instance.
    lower = tf.clip_by_value(tf.cast(row, tf.int32), 0, rows - 2)
    left = tf.clip_by_value(tf.cast(column, tf.int32), 0, columns - 2)
    up, right = row - tf.cast(lower, row.dtype), column - tf.cast(left, column.dtype)
    start = tf.range(tf.shape(field)[0])[:, None, None] * (rows * columns) + lower * columns + left
    flat = tf.reshape(field, (-1,))
    below = (1 - right) * tf.gather(flat, start) + right * tf.gather(flat, start + 1)
    above = (1 - right) * tf.gather(flat, start + columns) + right * tf.gather(flat, start + columns + 1)
    return (1 - up) * below + up * above
