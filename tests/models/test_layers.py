from __future__ import annotations

import keras
import numpy as np
import pytest

from kerasjoint.models.layers import BatchStatistics, Convolution, MaxPooling, PositionalEncoding, Shift

SPACES = [(12,), (9,), (6, 8), (5, 7)]


def image(space: tuple[int, ...], channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, *space, channels)).astype(np.float32)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_convolution_is_keras_convolution(space: tuple[int, ...]) -> None:
    layer = Convolution(4)
    got = layer(image(space))
    reference = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D}[len(space)](4, 3, padding="same", use_bias=False)
    reference.build(image(space).shape)
    reference.kernel.assign(np.reshape(layer.kernel, reference.kernel.shape))
    np.testing.assert_allclose(got, reference(image(space)), rtol=1e-4, atol=1e-5)
    assert layer.compute_output_shape((None, *space, 3)) == (None, *space, 4)


@pytest.mark.parametrize(("space", "periodic"), [((12,), (0,)), ((6, 8), (1,)), ((6, 8), (0, 1))], ids=str)
def test_a_periodic_axis_wraps(space: tuple[int, ...], periodic: tuple[int, ...]) -> None:
    layer = Convolution(4, periodic)
    got = np.array(layer(image(space)))
    modes = [(1, 1) if axis in periodic else (0, 0) for axis in range(len(space))]
    wrapped = np.pad(image(space), [(0, 0), *modes, (0, 0)], mode="wrap")
    zero = Convolution(4)
    zero.build(wrapped.shape)
    zero.kernel.assign(layer.kernel)
    inner = tuple(slice(low, low + size) for (low, _), size in zip(modes, space, strict=True))
    np.testing.assert_allclose(got, np.array(zero(wrapped))[(slice(None), *inner)], rtol=1e-5, atol=1e-6)
    for axis in periodic:
        rolled = layer(np.roll(image(space), 2, axis=axis + 1))
        np.testing.assert_allclose(rolled, np.roll(got, 2, axis=axis + 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("space", [*SPACES, (4, 16)], ids=str)
def test_pooling_is_keras_pooling(space: tuple[int, ...]) -> None:
    reference = {1: keras.layers.MaxPooling1D, 2: keras.layers.MaxPooling2D}[len(space)](2)
    got = MaxPooling()(image(space))
    np.testing.assert_array_equal(got, reference(image(space)))
    assert MaxPooling().compute_output_shape((2, *space, 3)) == got.shape


def test_pooling_leaves_short_axes() -> None:
    np.testing.assert_array_equal(MaxPooling()(image((3,))), image((3,)))
    pooled = image((3, 8)).reshape(2, 3, 4, 2, 3).max(axis=3)
    np.testing.assert_array_equal(MaxPooling()(image((3, 8))), pooled)


@pytest.mark.parametrize("shape", [(5, 3), (4, 9, 3), (4, 5, 6, 3)], ids=str)
def test_batch_statistics(shape: tuple[int, ...]) -> None:
    values = (7 + 4 * np.random.default_rng(1).normal(size=shape)).astype(np.float32)
    layer = BatchStatistics()
    layer.build(shape)
    scale, offset = np.array([1.0, 2.0, -3.0]), np.array([0.0, 0.5, 4.0])
    layer.scale.assign(scale)
    layer.offset.assign(offset)
    axes = tuple(range(len(shape) - 1))
    normal = (values - values.mean(axis=axes)) / np.sqrt(values.var(axis=axes) + 1e-3)
    for training in (True, False):
        np.testing.assert_allclose(layer(values, training=training), normal * scale + offset, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [16, 10], ids=str)
def test_a_shift_brings_both_neighbours_and_turns_with_its_input(channels: int) -> None:
    inputs = image((7,), channels)
    got, quarter = np.array(Shift()(inputs)), channels // 4
    for place in range(7):
        np.testing.assert_array_equal(got[:, place, :quarter], inputs[:, place - 1, :quarter])
        behind = inputs[:, (place + 1) % 7, quarter : 2 * quarter]
        np.testing.assert_array_equal(got[:, place, quarter : 2 * quarter], behind)
    np.testing.assert_array_equal(got[..., 2 * quarter :], inputs[..., 2 * quarter :])
    np.testing.assert_array_equal(Shift()(np.roll(inputs, 3, axis=1)), np.roll(got, 3, axis=1))


def test_positional_encoding() -> None:
    u = np.random.default_rng(2).normal(size=(4, 2))
    got = np.array(PositionalEncoding(3)(u.astype(np.float32)))
    waves = [wave(2**k * u) for wave in (np.sin, np.cos) for k in range(3)]
    np.testing.assert_allclose(got, np.concatenate([u, *waves], axis=1), rtol=1e-4, atol=1e-5)
    assert PositionalEncoding(3).compute_output_shape((None, 2)) == (None, 14)


@pytest.mark.parametrize(
    "layer",
    [Convolution(4, (1,), "he_normal"), MaxPooling(), BatchStatistics(), PositionalEncoding(2), Shift()],
    ids=str,
)
def test_layers_serialise(layer: keras.layers.Layer) -> None:
    config = keras.saving.serialize_keras_object(layer)
    assert config["registered_name"] == f"kerasjoint>{type(layer).__name__}"
    twin = keras.saving.deserialize_keras_object(config)
    assert twin.get_config() == layer.get_config()
    assert type(twin) is type(layer)
