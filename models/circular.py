"""A network for fields on a circle: turning the observation turns the output."""

from __future__ import annotations

import math

import keras
import numpy as np
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError
from kerasjoint.models.layers import Shift
from kerasjoint.models.networks import Shapes, glorot_seeds, named_inputs
from kerasjoint.unknown import UnknownSpace

MOST_ARCS = 16


def circular_network(
    input_shapes: Shapes,
    output_size: int,
    *,
    axis: int = -1,
    arcs: int | None = None,
    pooled: int = 0,
    width: int = 64,
    blocks: int = 6,
    seed: int = 0,
) -> keras.Model:
    """Build a residual network around a periodic axis of y, equivariant to turns (Cohen et al., 2016).

    The circle is divided into equal arcs, at most 16, and everything observed in an arc enters as its channels. Turning
    y by an arc turns the output by an arc.

    Parameters
    ----------
    input_shapes
        Shape per instance of each named input. What has the shape of y turns with it; the others are given to all arcs.
    output_size
        Numbers per instance: ``pooled``, and then equally many of each arc, in order.
    axis
        The periodic axis of y, counted without the instances.
    arcs
        Into how many the circle is divided; ``None``: as many as fit, at most 16.
    pooled
        Numbers that belong to the circle as a whole.
    width
        Channels.
    blocks
        Blocks of two dense layers, the first with channels of both neighbours; each sees an arc further on both sides.
    seed
        Of the initial weights.

    Example
    -------
    >>> circular_network({"y": (30, 10)}, output_size=8 + 640, axis=1, pooled=8)
    """
    shape = tuple(input_shapes["y"])
    if axis not in range(-len(shape), len(shape)):
        raise ArgumentError("axis", f"an axis of y, whose shape is {shape}", axis)
    outputs = output_size - pooled
    arcs = arcs_of(shape[axis], outputs) if arcs is None else arcs
    if not arcs or shape[axis] % arcs or outputs % arcs:
        expected = f"outputs that divide evenly over arcs of a circle of {shape[axis]} points"
        raise ArgumentError("output_size", f"{pooled} and {expected}", output_size)
    seeds, inputs = glorot_seeds(seed), named_inputs(input_shapes)
    order = list(range(1, len(shape) + 1))
    order.insert(0, order.pop(axis))
    channels = []
    for name, tensor in inputs.items():
        if tuple(input_shapes[name]) == shape:
            turning = keras.layers.Permute(order)(tensor) if len(order) > 1 else tensor
            channels.append(keras.layers.Reshape((arcs, math.prod(shape) // arcs))(turning))
        else:
            channels.append(keras.layers.RepeatVector(arcs)(keras.layers.Flatten()(tensor)))
    features = channels[0] if len(channels) == 1 else keras.layers.Concatenate()(channels)
    features = keras.layers.Dense(width, kernel_initializer=next(seeds))(features)
    for _ in range(blocks):
        inner = keras.layers.LayerNormalization()(features)
        inner = keras.layers.Dense(width, activation="gelu", kernel_initializer=next(seeds))(Shift()(inner))
        features = features + keras.layers.Dense(width, kernel_initializer=next(seeds))(inner)
    features = keras.layers.LayerNormalization()(features)
    local = keras.layers.Dense(outputs // arcs, kernel_initializer=next(seeds))(features)
    output = keras.layers.Flatten()(local)
    if pooled:
        whole = keras.layers.Dense(pooled, kernel_initializer=next(seeds))(
            keras.layers.GlobalAveragePooling1D()(features)
        )
        output = keras.layers.Concatenate()([whole, output])
    return keras.Model(inputs, output, name="circular")


def arcs_of(points: int, others: int) -> int:
    """Return the largest number of arcs, at most 16, that divides both; 0 if that is a single one or none."""
    fitting = [k for k in range(2, MOST_ARCS + 1) if points % k == 0 and others % k == 0]
    return fitting[-1] if others and fitting else 0


def turning_first(space: UnknownSpace) -> tuple[list[int], int, int]:
    """Return the order of the numbers of ``space`` that goes around the circle, how many are not on it, and its points.

    Those that are not come first; then comes, point after point, what is on the circle. Of fields with different
    numbers of points, the largest share common to all counts as a point.
    """
    fixed: list[int] = []
    turning: list[NDArray[np.intp]] = []
    start = 0
    for unknown in space.unknowns:
        numbers = np.arange(start, start + unknown.size)
        start += unknown.size
        if not unknown.periodic:
            fixed.extend(numbers.tolist())
            continue
        length = unknown.shape[unknown.periodic[0]]
        around = np.moveaxis(numbers.reshape(unknown.shape), unknown.periodic[0], 0).reshape(length, -1)
        turning.append(around)
    if not turning:
        return fixed, len(fixed), 0
    points = math.gcd(*(len(around) for around in turning))
    arcs = np.concatenate([around.reshape(points, -1) for around in turning], axis=1)
    return fixed + arcs.reshape(-1).tolist(), len(fixed), points
