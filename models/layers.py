"""Layers of the zoo's networks, in one or two dimensions, written so that XLA runs them fast on a CPU."""

from __future__ import annotations

from itertools import product
from typing import Any

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable(package="kerasjoint")
class Convolution(keras.layers.Layer):
    """Convolution of kernel size 3 and stride 1 that keeps the shape, as one matrix product of shifted copies.

    Same result as ``keras.layers.Conv1D`` or ``Conv2D`` with ``padding="same"``; axes listed in ``periodic`` wrap
    around instead of being padded with zeros. Inputs are (n, *space, channels). XLA has no fast convolution inside a
    loop on the CPU, but a fast matrix product.

    Parameters
    ----------
    filters
        Channels of the output.
    periodic
        Axes of space, counted from 0, that are periodic.
    kernel_initializer
        Initialiser of the kernel, (3 ** rank * channels, filters).
    """

    def __init__(
        self, filters: int, periodic: tuple[int, ...] = (), kernel_initializer: Any = "glorot_uniform", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.periodic = tuple(periodic)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the kernel; no bias, since normalisation follows."""
        channels, rank = input_shape[-1], len(input_shape) - 2
        self.kernel = self.add_weight(
            shape=(3**rank * channels, self.filters), initializer=self.kernel_initializer, name="kernel"
        )

    def call(self, inputs: Any) -> Any:
        """Convolve."""
        space = inputs.shape[1:-1]
        for axis in range(len(space)):
            inputs = self._extend(inputs, axis)
        shifted = [
            inputs[(slice(None), *(slice(k, k + size) for k, size in zip(shift, space, strict=True)))]
            for shift in product(range(3), repeat=len(space))
        ]
        return ops.matmul(ops.concatenate(shifted, axis=-1), self.kernel)

    def _extend(self, inputs: Any, axis: int) -> Any:
        if axis not in self.periodic:
            padding = [(1, 1) if position == axis + 1 else (0, 0) for position in range(len(inputs.shape))]
            return ops.pad(inputs, padding)
        before = [slice(None)] * (axis + 1)
        first, last = inputs[(*before, slice(0, 1))], inputs[(*before, slice(-1, None))]
        return ops.concatenate([last, inputs, first], axis=axis + 1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input's shape with the new channels."""
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {
            "filters": self.filters,
            "periodic": list(self.periodic),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="kerasjoint")
class Shift(keras.layers.Layer):
    """A quarter of the channels from the neighbour before, a quarter from the one behind, around a circle (n, m, c).

    A dense layer after it sees three places for the price of one (Wu et al., 2018, "Shift: a zero FLOP, zero parameter
    alternative to spatial convolutions").
    """

    def call(self, inputs: Any) -> Any:
        """Shift."""
        quarter = inputs.shape[-1] // 4
        before, behind, here = ops.split(inputs, (quarter, 2 * quarter), axis=-1)
        return ops.concatenate([ops.roll(before, 1, axis=1), ops.roll(behind, -1, axis=1), here], axis=-1)


@keras.saving.register_keras_serializable(package="kerasjoint")
class MaxPooling(keras.layers.Layer):
    """Maximum over pairs of neighbours along each axis of space of at least 4; an odd last entry is dropped."""

    def call(self, inputs: Any) -> Any:
        """Pool."""
        for axis, size in enumerate(inputs.shape[1:-1], start=1):
            if size < 4:
                continue
            before, after = inputs.shape[1:axis], inputs.shape[axis + 1 :]
            even = inputs[(*[slice(None)] * axis, slice(0, size // 2 * 2))]
            inputs = ops.max(ops.reshape(even, (-1, *before, size // 2, 2, *after)), axis=axis + 1)
        return inputs

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input's shape with the axes of space halved."""
        space = [size if size is None or size < 4 else size // 2 for size in input_shape[1:-1]]
        return (input_shape[0], *space, input_shape[-1])


@keras.saving.register_keras_serializable(package="kerasjoint")
class BatchStatistics(keras.layers.Layer):
    """Batch normalisation by the statistics of the instances at hand, always.

    The network is never applied to other instances, so there are no moving averages, and training and prediction agree.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the scale and the offset of each channel."""
        self.scale = self.add_weight(shape=input_shape[-1:], initializer="ones", name="scale")
        self.offset = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="offset")

    def call(self, inputs: Any) -> Any:
        """Normalise each channel over all instances and positions."""
        mean, variance = _moments(inputs)
        return (inputs - mean) * ops.rsqrt(variance + 1e-3) * self.scale + self.offset


def _moments(inputs: Any) -> tuple[Any, Any]:
    """Return mean and variance of each channel over all instances and positions, of all replicas."""
    axes, context = tuple(range(len(inputs.shape) - 1)), tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return ops.moments(inputs, axes=axes, keepdims=True)

    def total(values: Any) -> Any:
        return context.all_reduce(tf.distribute.ReduceOp.SUM, ops.sum(values, axis=axes, keepdims=True))

    count = total(ops.ones_like(inputs))
    mean = total(inputs) / count
    return mean, total(ops.square(inputs - mean)) / count


@keras.saving.register_keras_serializable(package="kerasjoint")
class PositionalEncoding(keras.layers.Layer):
    """Each number u beside sin(2^k u), cos(2^k u) for k < ``frequencies``: (n, m) to (n, m (1 + 2 frequencies))."""

    def __init__(self, frequencies: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.frequencies = frequencies

    def call(self, inputs: Any) -> Any:
        """Encode."""
        angles = ops.concatenate([2.0**k * inputs for k in range(self.frequencies)], axis=-1)
        return ops.concatenate([inputs, ops.sin(angles), ops.cos(angles)], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the encoded shape."""
        size = input_shape[-1]
        return (input_shape[0], None if size is None else size * (1 + 2 * self.frequencies))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return super().get_config() | {"frequencies": self.frequencies}
