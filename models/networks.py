"""The networks of the zoo: functional Keras models from the named inputs of an instance to a flat output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerasjoint.errors import ArgumentError
from kerasjoint.models.layers import BatchStatistics, Convolution, MaxPooling, PositionalEncoding

Shapes = Mapping[str, tuple[int, ...]]

IMAGE_FROM = 16
CHANNELS_UP_TO = 4


def convolutional_network(
    input_shapes: Shapes,
    output_size: int,
    *,
    widths: Sequence[int] = (16, 32, 32, 64, 64),
    hidden: int = 64,
    periodic: Sequence[int] = (),
    start_at_zero: bool = True,
    seed: int = 0,
) -> keras.Model:
    """Build the VGG-style network of the paper (sections 4.1, 4.3, 4.4; Simonyan and Zisserman, 2014).

    Parameters
    ----------
    input_shapes
        Shape per instance of each named input. The largest is the image: one or two axes of space, and channels last if
        its last axis has at most 4 entries. Inputs of the same space, or of its last axes, join it as channels; the
        others enter at the dense layers.
    output_size
        Numbers per instance.
    widths
        Channels of the blocks, each a convolution, batch normalisation, ReLU and max-pooling.
    hidden
        Units of the first of the two dense layers.
    periodic
        Axes of space that wrap around.
    start_at_zero
        Begin with the output zero for all instances, which is the guess: where every other method starts too.
    seed
        Of the initial weights.

    Example
    -------
    >>> convolutional_network({"y": (256,)}, output_size=1)
    """
    seeds = glorot_seeds(seed)
    inputs = named_inputs(input_shapes)
    space = image_space(input_shapes)
    if not space:
        raise ArgumentError(
            "network", "'dense' for inputs without an image", f"'convolutional' for {dict(input_shapes)}"
        )
    channels: list[Any] = []
    rest: list[Any] = []
    for name, tensor in inputs.items():
        channel = _as_channels(tensor, tuple(input_shapes[name]), space)
        (rest if channel is None else channels).append(keras.layers.Flatten()(tensor) if channel is None else channel)
    features = _join(channels)
    for width in widths:
        features = Convolution(width, tuple(periodic), kernel_initializer=next(seeds))(features)
        features = keras.layers.ReLU()(BatchStatistics()(features))
        features = MaxPooling()(features)
    features = _join([keras.layers.Flatten()(features), *rest])
    features = keras.layers.Dense(hidden, activation="relu", kernel_initializer=next(seeds))(features)
    output = keras.layers.Dense(output_size, kernel_initializer=_output_initializer(start_at_zero, seeds))(features)
    return keras.Model(inputs, output, name="convolutional")


def dense_network(
    input_shapes: Shapes,
    output_size: int,
    *,
    widths: Sequence[int] = (64, 64, 64),
    activation: str = "sigmoid",
    frequencies: int = 4,
    start_at_zero: bool = True,
    seed: int = 0,
) -> keras.Model:
    """Build the fully-connected network of the paper (section 4.2): positional encoding and three sigmoid layers.

    Parameters
    ----------
    input_shapes
        Shape per instance of each named input; all are flattened and joined.
    output_size
        Numbers per instance.
    widths
        Units of the hidden layers.
    activation
        Of the hidden layers.
    frequencies
        Octaves of the positional encoding; 0 for none.
    start_at_zero
        Begin with the output zero for all instances, which is the guess: where every other method starts too.
    seed
        Of the initial weights.

    Example
    -------
    >>> dense_network({"y": (2,), "x_cue": (2,)}, output_size=2)
    """
    seeds = glorot_seeds(seed)
    inputs = named_inputs(input_shapes)
    features = _join([keras.layers.Flatten()(tensor) for tensor in inputs.values()])
    if frequencies:
        features = PositionalEncoding(frequencies)(features)
    for width in widths:
        features = keras.layers.Dense(width, activation=activation, kernel_initializer=next(seeds))(features)
    output = keras.layers.Dense(output_size, kernel_initializer=_output_initializer(start_at_zero, seeds))(features)
    return keras.Model(inputs, output, name="dense")


def residual_network(
    input_shapes: Shapes,
    output_size: int,
    *,
    width: int = 64,
    blocks: int = 4,
    seed: int = 0,
) -> keras.Model:
    """Build a residual network of fully-connected layers with layer normalisation (He et al., 2016; Ba et al., 2016).

    It has no statistics of a batch, so that it serves other instances than those it was trained on.

    Parameters
    ----------
    input_shapes
        Shape per instance of each named input; all are flattened and joined.
    output_size
        Numbers per instance.
    width
        Units of each layer.
    blocks
        Number of blocks of two layers.
    seed
        Of the initial weights.

    Example
    -------
    >>> residual_network({"y": (256,)}, output_size=24)
    """
    seeds = glorot_seeds(seed)
    inputs = named_inputs(input_shapes)
    features = _join([keras.layers.Flatten()(tensor) for tensor in inputs.values()])
    features = keras.layers.Dense(width, kernel_initializer=next(seeds))(features)
    for _ in range(blocks):
        inner = keras.layers.LayerNormalization()(features)
        inner = keras.layers.Dense(width, activation="gelu", kernel_initializer=next(seeds))(inner)
        features = features + keras.layers.Dense(width, kernel_initializer=next(seeds))(inner)
    features = keras.layers.LayerNormalization()(features)
    output = keras.layers.Dense(output_size, kernel_initializer=next(seeds))(features)
    return keras.Model(inputs, output, name="residual")


def suitable_network(input_shapes: Shapes) -> str:
    """Name the network of the zoo that fits: convolutional where there is an image, dense otherwise."""
    return "convolutional" if image_space(input_shapes) else "dense"


def image_space(input_shapes: Shapes) -> tuple[int, ...]:
    """Return the axes of space of the largest input, or () if there is no image of at least 16 numbers in it."""
    largest = max(input_shapes.values(), key=lambda shape: np.prod(shape, dtype=int))
    space = _space(tuple(largest))
    return space if len(space) in (1, 2) and np.prod(space) >= IMAGE_FROM else ()


def _space(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:-1] if len(shape) > 1 and shape[-1] <= CHANNELS_UP_TO else shape


def _as_channels(tensor: Any, shape: tuple[int, ...], space: tuple[int, ...]) -> Any:
    """The input as channels over the image's space, or ``None`` if it has another space."""
    if shape[: len(space)] == space and len(shape) == len(space) + 1:
        return tensor
    if shape == space:
        return keras.layers.Reshape((*space, 1))(tensor)
    if len(space) == 2 and shape == space[1:]:
        return keras.layers.Reshape((*space, 1))(keras.layers.RepeatVector(space[0])(tensor))
    return None


def named_inputs(input_shapes: Shapes) -> dict[str, Any]:
    """Return a Keras input of each shape."""
    return {name: keras.Input(tuple(shape), name=name) for name, shape in input_shapes.items()}


def _join(tensors: list[Any]) -> Any:
    return tensors[0] if len(tensors) == 1 else keras.layers.Concatenate()(tensors)


def _output_initializer(start_at_zero: bool, seeds: Any) -> Any:
    return keras.initializers.Zeros() if start_at_zero else next(seeds)


def glorot_seeds(seed: int) -> Any:
    """Yield an initialiser of weights after the other."""
    for state in np.random.SeedSequence(seed).generate_state(64):
        yield keras.initializers.GlorotUniform(seed=int(state))
