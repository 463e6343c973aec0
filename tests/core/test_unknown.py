from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasjoint import ArgumentError, Unknown
from kerasjoint.unknown import UnknownSpace

MIXED = (
    Unknown("rate", lower=-1.0, upper=3.0, guess=0.5),
    Unknown("offset", shape=(2,), scale=(0.1, 10.0), guess=(5.0, -3.0)),
    Unknown("field", shape=(2, 2), lower=0.0, upper=[[1.0, 2.0], [3.0, 4.0]]),
)


@pytest.fixture(scope="module")
def space() -> UnknownSpace:
    return UnknownSpace(MIXED)


def test_defaults_of_guess_and_scale(space: UnknownSpace) -> None:
    assert space.size == 7
    assert space.guess.tolist() == [0.5, 5.0, -3.0, 0.5, 1.0, 1.5, 2.0]
    assert space.scale.tolist() == [2.0, 0.1, 10.0, 0.5, 1.0, 1.5, 2.0]
    assert space.labels == ["rate", "offset[0]", "offset[1]", *(f"field[{i},{j}]" for i in (0, 1) for j in (0, 1))]
    assert UnknownSpace([Unknown("a", scale=2)]).guess.tolist() == [0.0]


def test_z_zero_is_the_guess_with_unit_slope(space: UnknownSpace) -> None:
    guess = np.stack([space.guess, space.guess + 0.2 * space.scale])
    xi, slope = space.to_xi_and_slope(np.zeros_like(guess), guess)
    np.testing.assert_allclose(xi, guess, rtol=1e-14)
    np.testing.assert_allclose(slope, np.tile(space.scale, (2, 1)), rtol=1e-14)
    assert not space.to_z(guess, guess).any()


def test_the_map_is_the_documented_tanh() -> None:
    z = np.linspace(-3, 3, 7)[:, None]
    got = UnknownSpace([Unknown("a", lower=-1.0, upper=3.0, guess=2.0)]).to_xi(z, np.full_like(z, 2.0))
    np.testing.assert_allclose(got, 1 + 2 * np.tanh(np.arctanh(0.5) + z / (1 - 0.5**2)), rtol=1e-14)


def test_round_trip_slope_and_bounds(space: UnknownSpace) -> None:
    z = np.random.default_rng(0).uniform(-2, 2, (50, space.size))
    guess = np.tile(space.guess, (50, 1))
    xi, slope = space.to_xi_and_slope(z, guess)
    np.testing.assert_allclose(space.to_z(xi, guess), z, rtol=1e-9, atol=1e-12)
    difference = (space.to_xi(z + 1e-6, guess) - space.to_xi(z - 1e-6, guess)) / 2e-6
    np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-8)
    for z in (1e3, -1e3):
        far = space.to_xi(np.full((1, space.size), z), space.guess[None])
        assert np.all((far <= space.upper) & (far >= space.lower))


def test_no_rounding_carries_a_saturated_tanh_over_a_bound() -> None:
    """Half the width and the middle of these bounds round so that their difference lies below -0.6."""
    space = UnknownSpace([Unknown("a", lower=-0.6, upper=0.5)])
    assert space.to_xi(np.full((1, 1), -1e3), space.guess[None]) == -0.6
    assert space.to_xi(tf.constant([[-1e3]], tf.float64), tf.constant(space.guess[None])) == -0.6


@pytest.mark.parametrize(("dtype", "tolerance"), [(tf.float64, 1e-14), (tf.float32, 1e-6)])
def test_tensors_map_like_arrays_in_their_dtype(space: UnknownSpace, dtype: tf.DType, tolerance: float) -> None:
    z = np.random.default_rng(1).uniform(-1, 1, (5, space.size))
    guess = np.tile(space.guess, (5, 1))
    mapped = space.to_xi_and_slope(tf.constant(z, dtype), tf.constant(guess, dtype))
    for tensor, array in zip(mapped, space.to_xi_and_slope(z, guess), strict=True):
        assert tensor.dtype == dtype
        np.testing.assert_allclose(tensor, array, rtol=tolerance, atol=tolerance)


def test_flatten_and_unflatten(space: UnknownSpace) -> None:
    flat = np.arange(21.0).reshape(3, 7)
    named = space.unflatten(flat)
    assert {name: part.shape for name, part in named.items()} == {"rate": (3,), "offset": (3, 2), "field": (3, 2, 2)}
    np.testing.assert_array_equal(named["field"][1], [[10, 11], [12, 13]])
    np.testing.assert_array_equal(space.flatten(dict(reversed(named.items()))), flat)
    np.testing.assert_array_equal(space.flatten(flat.tolist()), flat)
    for name, tensor in space.unflatten(tf.constant(flat)).items():
        np.testing.assert_array_equal(tensor, named[name])


@pytest.mark.parametrize(
    ("xi", "message"),
    [
        (np.zeros(7), r"xi: expected shape \(n, 7\).*got \(7,\)"),
        (np.zeros((3, 6)), r"got \(3, 6\)"),
        ({"rate": [0.0]}, "the unknowns"),
        ({"rate": [0.0], "offset": np.zeros((1, 2)), "fields": np.zeros((1, 2, 2))}, "fields"),
        ({"rate": 0.0, "offset": np.zeros((1, 2)), "field": np.zeros((1, 2, 2))}, r"xi\['rate'\]"),
        ({"rate": [0.0], "offset": np.zeros((1, 3)), "field": np.zeros((1, 2, 2))}, r"xi\['offset'\]"),
        ({"rate": [0.0, 1.0], "offset": np.zeros((1, 2)), "field": np.zeros((1, 2, 2))}, "one n for all"),
        ([["a"] * 7], "dtype <U1"),
        (np.zeros((3, 7), dtype=complex), "complex128"),
        ([[0.0], [0.0, 1.0]], "different lengths"),
    ],
)
def test_unusable_unknowns_are_refused(space: UnknownSpace, xi: object, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        space.flatten(xi)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lower": 0.0}, "both lower and upper"),
        ({"upper": 0.0}, "both lower and upper"),
        ({"lower": -np.inf, "upper": 1.0, "guess": 0.0}, "finite"),
        ({"lower": 0.0, "upper": np.inf, "guess": 1.0}, "finite"),
        ({"lower": 2.0, "upper": 1.0}, "lower below upper"),
        ({"lower": 1.0, "upper": 1.0}, "lower below upper"),
        ({"lower": np.nan, "upper": 1.0}, "finite"),
        ({"lower": 0.0, "upper": 1.0, "guess": 2.0}, "guess: expected a value strictly inside"),
        ({"lower": 0.0, "upper": 1.0, "guess": 1.0}, "strictly inside"),
        ({"lower": 0.0, "upper": 1.0, "guess": np.nan}, "strictly inside"),
        ({"lower": 0.0, "upper": 1.0, "scale": 1.0}, "no scale beside bounds"),
        ({}, "a scale"),
        ({"scale": 0.0}, "positive"),
        ({"scale": -1.0}, "positive"),
        ({"scale": np.inf}, "positive"),
        ({"scale": "wide"}, "a number or an array"),
        ({"shape": (2,), "scale": (1.0, 2.0, 3.0)}, r"shape \(2,\)"),
        ({"shape": (0,), "scale": 1.0}, "positive integers"),
        ({"shape": (2.0,), "scale": 1.0}, "positive integers"),
        ({"shape": 2, "scale": 1.0}, "positive integers"),
        ({"name": "not a name", "scale": 1.0}, "Python identifier"),
        ({"name": 3, "scale": 1.0}, "Python identifier"),
        ({"name": "loss", "scale": 1.0}, "none of the columns"),
    ],
)
def test_an_impossible_unknown_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Unknown(**{"name": "a"} | arguments)


@pytest.mark.parametrize("unknowns", [(), ("rate",), (MIXED[0], MIXED[0])])
def test_an_impossible_space_is_refused(unknowns: tuple[object, ...]) -> None:
    with pytest.raises(ArgumentError, match="unknowns"):
        UnknownSpace(unknowns)


def test_a_guess_on_a_bound_names_its_instances(space: UnknownSpace) -> None:
    guess = np.tile(space.guess, (3, 1))
    guess[[0, 2], 0] = 3.0, -1.5
    with pytest.raises(ArgumentError, match="instances 0, 2 outside"):
        space.check_inside(guess, "guess")
