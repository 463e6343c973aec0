from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from kerasjoint import ArgumentError
from kerasjoint.models.networks import convolutional_network, dense_network, image_space, suitable_network

SIGNAL = {"y": (32,)}
IMAGE = {"y": (16, 16, 2), "x_start": (16, 16), "x_wall": (16,), "x_speed": (3,), "x_mass": ()}
NUMBERS = {"y": (2,), "x_cue": (2,), "x_mass": ()}
CASES = [
    (convolutional_network, SIGNAL),
    (convolutional_network, IMAGE),
    (dense_network, NUMBERS),
    (dense_network, IMAGE),
]


def inputs_of(shapes: dict[str, tuple[int, ...]], n: int = 5) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: generator.normal(size=(n, *shape)).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize(("build", "shapes"), CASES)
def test_every_input_reaches_the_output(build, shapes: dict[str, tuple[int, ...]]) -> None:
    network = build(shapes, 3, start_at_zero=False)
    inputs = inputs_of(shapes)
    output = np.array(network(inputs))
    assert output.shape == (5, 3)
    for name in shapes:
        moved = np.array(network(inputs | {name: inputs[name] * 2 + 1}))
        assert np.abs(moved - output).max() > 1e-4, name


@pytest.mark.parametrize(("build", "shapes"), CASES)
def test_it_starts_at_the_guess_and_its_seed_fixes_the_weights(build, shapes: dict[str, tuple[int, ...]]) -> None:
    assert not np.any(build(shapes, 2)(inputs_of(shapes)))
    outputs = [np.array(build(shapes, 2, start_at_zero=False, seed=seed)(inputs_of(shapes))) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert not np.allclose(outputs[0], outputs[2])


@pytest.mark.parametrize(("build", "shapes"), CASES)
def test_networks_save_and_load(build, shapes: dict[str, tuple[int, ...]], tmp_path: Path) -> None:
    network = build(shapes, 2, start_at_zero=False)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(inputs_of(shapes)), network(inputs_of(shapes)))


def test_the_paper_s_layers() -> None:
    names = [type(layer).__name__ for layer in convolutional_network({"y": (256,)}, 1).layers]
    block = ["Convolution", "BatchStatistics", "ReLU", "MaxPooling"]
    assert names == ["InputLayer", "Reshape", *block * 5, "Flatten", "Dense", "Dense"]
    dense = [layer for layer in dense_network(NUMBERS, 2).layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.activation.__name__ for layer in dense] == ["sigmoid"] * 3 + ["linear"]
    assert [layer.units for layer in dense] == [64, 64, 64, 2]
    plain = dense_network(NUMBERS, 2, widths=(8,), activation="relu", frequencies=0)
    assert "PositionalEncoding" not in [type(layer).__name__ for layer in plain.layers]


def test_inputs_of_the_images_space_join_it_as_channels() -> None:
    """Two channels of y, the field x_start, and the profile x_wall along the last axis; the numbers come later."""
    network = convolutional_network(IMAGE, 1, widths=(5,), hidden=7)
    convolution = next(layer for layer in network.layers if type(layer).__name__ == "Convolution")
    assert convolution.kernel.shape == (9 * (2 + 1 + 1), 5)
    dense = next(layer for layer in network.layers if isinstance(layer, keras.layers.Dense))
    assert dense.kernel.shape == (8 * 8 * 5 + 3 + 1, 7)


def test_periodic_axes_reach_the_convolutions() -> None:
    network = convolutional_network({"y": (16,)}, 1, widths=(8,), periodic=(0,), start_at_zero=False)
    convolution = keras.Model(network.inputs, network.layers[2].output)
    y = inputs_of({"y": (16,)})["y"]
    rolled = convolution({"y": np.roll(y, 3, axis=1)})
    np.testing.assert_allclose(rolled, np.roll(convolution({"y": y}), 3, axis=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shapes", "space"),
    [
        ({"y": (256,)}, (256,)),
        ({"y": (64, 3)}, (64,)),
        ({"y": (2, 48)}, (2, 48)),
        ({"y": (64, 64)}, (64, 64)),
        ({"y": (64, 64, 2), "x_a": (64,)}, (64, 64)),
        ({"y": (4,), "x_a": (32,)}, (32,)),
        ({"y": (15,)}, ()),
        ({"y": ()}, ()),
        ({"y": (8, 8, 8, 8)}, ()),
    ],
)
def test_the_network_suits_the_inputs(shapes: dict[str, tuple[int, ...]], space: tuple[int, ...]) -> None:
    assert image_space(shapes) == space
    assert suitable_network(shapes) == ("convolutional" if space else "dense")
    if not space:
        with pytest.raises(ArgumentError, match="network: expected 'dense'"):
            convolutional_network(shapes, 1)
