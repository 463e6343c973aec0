from __future__ import annotations

import pickle

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from kerasjoint import ArgumentError, Unknown
from kerasjoint.coordinates import STRETCH_MAX
from kerasjoint.unknown import UnknownSpace

INF, NAN = np.inf, np.nan
BITS = np.finfo(np.float64).eps

MIXED = (
    Unknown("rate", lower=-1.0, upper=3.0, guess=0.5),
    Unknown("offset", shape=(2,), scale=(0.1, 10.0), guess=(5.0, -3.0)),
    Unknown("field", shape=(2, 2), lower=0.0, upper=[[1.0, 2.0], [3.0, 4.0]]),
)
# One component of each kind, then guesses near bounds, far from them and beside wide ones.
EVERY = (
    Unknown("two", lower=-1.0, upper=3.0, guess=0.5),
    Unknown("mixed", shape=(4,), lower=[0, -2, -INF, -INF], upper=[4, INF, 1, INF], scale=[NAN, 0.5, 0.1, 2.0]),
    Unknown("near", shape=(3,), lower=[0.0, 0.0, -INF], upper=[1e17, INF, 0.0], guess=[1, 1e-9, -1e-9], scale=3.0),
    Unknown("far", shape=(3,), lower=[-1e17, -1e6, -INF], upper=[1e17, INF, 1e17], guess=[1, 2, 3], scale=0.01),
)
SPACES = {
    "two": EVERY[:1],
    "lower": (Unknown("a", shape=(2,), lower=(0.0, -1.0), scale=(1.0, 0.2), guess=(3.0, -0.9)),),
    "upper": (Unknown("a", shape=(2,), upper=(0.0, -1.0), scale=(1.0, 0.2), guess=(-3.0, -1.1)),),
    "none": MIXED[1:2],
    "two and none": MIXED,
    "two, lower, upper and none": EVERY[:2],
    "extremes": EVERY,
}


@pytest.fixture(scope="module")
def space() -> UnknownSpace:
    return UnknownSpace(MIXED)


@pytest.fixture(scope="module", params=SPACES)
def any_space(request: pytest.FixtureRequest) -> UnknownSpace:
    return UnknownSpace(SPACES[request.param])


def one(**arguments: object) -> UnknownSpace:
    return UnknownSpace([Unknown("a", **arguments)])


def column(*values: float) -> np.ndarray:
    return np.array(values)[:, None]


def random_spaces(count: int = 60) -> list[UnknownSpace]:
    """Of 12 components each: bounds around 0 or elsewhere, 1e-3 to 1e17 wide, and guesses down to 1e-15 from them."""
    generator, spaces = np.random.default_rng(3), []
    while len(spaces) < count:
        centre = generator.choice([0, 1, -1], 12) * 10 ** generator.uniform(-3, 6, 12)
        width = 10 ** generator.uniform(-3, 17, 12)
        kinds = generator.choice(4, 12)
        lower = np.where(kinds % 2 == 0, centre - width * generator.choice([0, 1], 12), -INF)
        upper = np.where(kinds < 2, centre + width, INF)
        two = kinds == 0
        scale = np.where(two, (upper - centre) / 2, 10 ** generator.uniform(-3, 3, 12))
        with np.errstate(invalid="ignore"):
            gap = np.minimum(10 ** generator.uniform(-15, 6, 12) * scale, np.where(two, (upper - lower) / 2, INF))
            guess = np.select([kinds == 1, np.isfinite(lower)], [upper - gap, lower + gap], centre)
        if np.all((lower < guess) & (guess < upper)):
            unknown = Unknown("a", (12,), lower, upper, guess, np.where(two, NAN, scale))
            spaces.append(UnknownSpace([unknown]))
    return spaces


def test_defaults_of_guess_and_scale(space: UnknownSpace) -> None:
    assert space.size == 7
    assert space.guess.tolist() == [0.5, 5.0, -3.0, 0.5, 1.0, 1.5, 2.0]
    assert space.scale.tolist() == [2.0, 0.1, 10.0, 0.5, 1.0, 1.5, 2.0]
    assert space.labels == ["rate", "offset[0]", "offset[1]", *(f"field[{i},{j}]" for i in (0, 1) for j in (0, 1))]
    assert one(scale=2).guess.tolist() == [0.0]


def test_kinds_defaults_and_scales_of_components_with_different_bounds() -> None:
    mixed = UnknownSpace(EVERY[:2])
    assert mixed.kinds.tolist() == ["two", "two", "lower", "upper", "none"]
    assert mixed.bounded.tolist() == [True, True, False, False, False]
    assert mixed.lower.tolist() == [-1, 0, -2, -INF, -INF]
    assert mixed.upper.tolist() == [3, 4, INF, 1, INF]
    assert mixed.guess.tolist() == [0.5, 2.0, -1.5, 0.9, 0.0]
    assert mixed.scale.tolist() == [2.0, 2.0, 0.5, 0.1, 2.0]
    assert one(shape=(2,), lower=(0, 0), upper=(1, INF), scale=3).scale.tolist() == [0.5, 3.0]
    assert one(lower=-INF, upper=None, scale=1).kinds.tolist() == ["none"]
    assert one(lower=0, upper=10**20).scale.tolist() == [5e19]
    assert one(lower=1e308, upper=1.5e308).guess.tolist() == [1.25e308]


def test_z_zero_is_the_guess_with_unit_slope(space: UnknownSpace) -> None:
    guess = np.stack([space.guess, space.guess + 0.2 * space.scale])
    xi, slope = space.to_xi_and_slope(np.zeros_like(guess), guess)
    np.testing.assert_array_equal(xi, guess)
    np.testing.assert_allclose(slope, np.tile(space.scale, (2, 1)), rtol=1e-14)
    assert not space.to_z(guess, guess).any()
    half_bounded = one(shape=(2,), lower=(0, -INF), upper=(INF, 0), scale=(2.0, 3.0))
    for guess in ([[0.3, -0.4]], [[2.0, -3.0]], [[1e5, -1e7]]):
        xi, slope = half_bounded.to_xi_and_slope(np.zeros((1, 2)), np.array(guess))
        np.testing.assert_array_equal(xi, guess)
        np.testing.assert_allclose(slope, [[2.0, 3.0]], rtol=1e-14)


def test_two_bounds_are_the_documented_tanh() -> None:
    z = np.linspace(-4, 4, 41)[:, None] * [[1.0, 1.0, 1.0, 1.0, 1.0]]
    guess = np.tile(-1 + 4 * np.array([0.05, 0.3, 0.5, 0.8, 0.95]), (41, 1))
    two = one(shape=(5,), lower=-1.0, upper=3.0)
    xi, slope = two.to_xi_and_slope(z, guess)
    offset = (guess - 1) / 2
    position = np.tanh(np.arctanh(offset) + z / (1 - offset**2))
    np.testing.assert_allclose(xi, 1 + 2 * position, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(slope, 2 * (1 - position**2) / (1 - offset**2), rtol=1e-9, atol=1e-12)
    bent = np.abs(position) < 0.99
    inverse = (np.arctanh((xi - 1) / 2, where=bent, out=z.copy()) - np.arctanh(offset)) * (1 - offset**2)
    np.testing.assert_allclose(two.to_z(np.where(bent, xi, guess), guess)[bent], inverse[bent], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gap", [0.11, 0.5, 1.0, 1.1, 4.0, 30.0])
def test_one_bound_is_the_documented_softplus(gap: float) -> None:
    z = np.linspace(-4, 4, 81)[:, None]
    guess = np.full_like(z, -1 + 0.3 * gap)
    t = np.log(np.expm1(gap)) + z / (1 - np.exp(-gap))
    xi, slope = one(lower=-1, scale=0.3).to_xi_and_slope(z, guess)
    np.testing.assert_allclose(xi, -1 + 0.3 * np.logaddexp(0, t), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(slope, 0.3 / (1 - np.exp(-gap)) * expit(t), rtol=1e-12)
    mirrored, mirrored_slope = one(upper=1, scale=0.3).to_xi_and_slope(-z, -guess)
    np.testing.assert_array_equal(mirrored, -xi)
    np.testing.assert_array_equal(mirrored_slope, slope)


def test_the_stretch_has_a_limit_near_a_bound() -> None:
    """There the coordinate is logarithmic: a step of z multiplies the distance to the bound by exp(10.5)."""
    for near, distance in ((one(lower=0, upper=1e17, guess=1e-3), 1e-3), (one(lower=0, scale=1, guess=1e-9), 1e-9)):
        xi, slope = near.to_xi_and_slope(column(-1.0, 0.0, 0.3), np.full((3, 1), distance))
        np.testing.assert_allclose(slope, STRETCH_MAX * xi, rtol=1e-6)
        np.testing.assert_allclose(xi, distance * np.exp(STRETCH_MAX * column(-1.0, 0.0, 0.3)), rtol=1e-6)
    at_limit = one(lower=0, upper=1, guess=0.05).to_xi_and_slope(column(0.0), column(0.05))
    np.testing.assert_allclose(at_limit[1], 0.5, rtol=1e-14)


def test_round_trip_slope_and_bounds(any_space: UnknownSpace) -> None:
    z = np.random.default_rng(0).uniform(-2, 2, (50, any_space.size))
    guess = np.tile(any_space.guess, (50, 1))
    xi, slope = any_space.to_xi_and_slope(z, guess)
    rounding = 30 * BITS * (np.abs(xi) + np.abs(xi - guess)) / slope
    assert np.all(np.abs(any_space.to_z(xi, guess) - z) <= 1e-13 + rounding)
    step = 1e-5
    difference = (any_space.to_xi(z + step, guess) - any_space.to_xi(z - step, guess)) / (2 * step)
    rounding = 30 * BITS * (np.abs(xi) + np.abs(xi - guess)) / step
    assert np.all(np.abs(slope - difference) <= 1e-7 * slope + rounding)
    for z in (1e3, -1e3, 1e6, -1e6):
        far, slope = any_space.to_xi_and_slope(np.full((1, any_space.size), z), any_space.guess[None])
        assert np.all((far <= any_space.upper) & (far >= any_space.lower))
        assert np.all(np.isfinite(far) & np.isfinite(slope))


@pytest.mark.parametrize("bounds", [{"lower": -1, "upper": 2}, {"lower": -1, "scale": 1}, {"upper": 2, "scale": 1}])
def test_small_coordinates_survive_the_round_trip(bounds: dict[str, float]) -> None:
    z = column(1e-20, -1e-9, 1e-3, -0.1, 0.4)
    space, guess = one(guess=0, **bounds), np.zeros_like(z)
    np.testing.assert_allclose(space.to_z(space.to_xi(z, guess), guess), z, rtol=1e-14)


def test_random_bounds_and_guesses() -> None:
    z = np.sort(np.random.default_rng(4).uniform(-20, 20, (400, 12)), axis=0)
    for space in random_spaces():
        guess = np.tile(space.guess, (400, 1))
        np.testing.assert_array_equal(space.to_xi(0 * z, guess), guess)
        xi, slope = space.to_xi_and_slope(z, guess)
        assert np.all((xi >= space.lower) & (xi <= space.upper))
        assert np.all(np.isfinite(slope) & (slope > 0))
        reach = np.abs(xi) + np.abs(xi - guess)
        assert np.all(np.diff(xi, axis=0) >= -30 * BITS * reach[1:])
        inside = (xi > space.lower) & (xi < space.upper)
        back = space.to_z(np.where(inside, xi, guess), guess)
        rounding = 30 * BITS * reach / slope
        assert np.all(~inside | (np.abs(back - z) <= 1e-13 + rounding))


@pytest.mark.parametrize(
    "arguments",
    [
        {"lower": 0, "upper": 1e17, "guess": 1},
        {"lower": 0, "upper": 1e15, "guess": 1e-3},
        {"lower": -1e17, "upper": 0, "guess": -1},
        {"lower": -1e17, "upper": 1e17, "guess": 1},
        {"lower": 0, "upper": 1.7e308, "guess": 1},
        {"lower": -8e307, "upper": 8e307, "guess": 1e-3},
        {"lower": -1e17, "scale": 1, "guess": 1e-3},
        {"upper": 1e300, "scale": 1e-3, "guess": -1},
        {"lower": 0, "scale": 1, "guess": 1e-300},
    ],
)
def test_a_wide_or_near_bound_does_not_lose_the_guess(arguments: dict[str, float]) -> None:
    wide, guess = one(**arguments), np.array([[arguments["guess"]]])
    sizes = [abs(value) for value in arguments.values() if value]
    for dtype in (np.float64, np.float32) if max(sizes) < 1e30 and min(sizes) > 1e-30 else (np.float64,):
        for z, like in ((np.zeros((1, 1)), guess), (tf.zeros((1, 1), dtype), tf.constant(guess, dtype))):
            np.testing.assert_allclose(wide.to_xi(z, like), guess, rtol=4 * np.finfo(dtype).eps)
    z = np.linspace(-20, 20, 4001)[:, None]
    xi, slope = wide.to_xi_and_slope(z, np.full_like(z, arguments["guess"]))
    assert np.all(np.isfinite(xi) & np.isfinite(slope))
    assert np.all(np.diff(xi, axis=0) >= 0)
    assert np.all(np.diff(xi[1990:2010], axis=0) > 0)


def test_components_of_other_kinds_do_not_overflow() -> None:
    mixed = UnknownSpace([Unknown("a", lower=-8e307, upper=8e307), Unknown("b", scale=1e-310), *EVERY])
    z = np.linspace(-20, 20, 41)[:, None] * np.ones(mixed.size)
    xi, slope = mixed.to_xi_and_slope(z, np.tile(mixed.guess, (41, 1)))
    assert np.all(np.isfinite(xi) & np.isfinite(slope))


def test_no_rounding_carries_a_saturated_tanh_over_a_bound() -> None:
    """Half the width and the middle of these bounds round so that their difference lies below -0.6."""
    space = one(lower=-0.6, upper=0.5)
    least = np.nextafter(-0.6, 0)
    assert space.to_xi(np.full((1, 1), -1e3), space.guess[None]) == least
    assert space.to_xi(tf.constant([[-1e3]], tf.float64), tf.constant(space.guess[None])) == least


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_bounds_are_never_reached(dtype: type[np.floating]) -> None:
    space = UnknownSpace(
        [
            Unknown("around", lower=-1.0, upper=3.0),
            Unknown("zero", lower=0.0, upper=1e-3),
            Unknown("above", lower=-2.0, scale=0.1),
            Unknown("positive", lower=0.0, scale=1.0),
            Unknown("below", upper=1e3, scale=1.0),
        ]
    )
    z = np.array([[-1e4], [-800.0], [-40.0], [-17.0], [17.0], [40.0], [800.0], [1e4]]).repeat(space.size, axis=1)
    guess = np.tile(space.guess, (len(z), 1)).astype(dtype)
    lower, upper = space.lower.astype(dtype), space.upper.astype(dtype)
    compiled = tf.function(space.to_xi, jit_compile=True)(tf.constant(z.astype(dtype)), tf.constant(guess)).numpy()
    assert ((compiled > lower) & (compiled < upper)).all()
    if dtype is np.float64:
        xi = space.to_xi(z, guess)
        assert ((xi > lower) & (xi < upper)).all()
        space.check_inside(xi, "xi")


def mapped_by_tensorflow(space: UnknownSpace, z: tf.Tensor, guess: tf.Tensor, compiled: bool) -> list[tf.Tensor]:
    """Values, slopes and gradients."""

    @tf.function(jit_compile=compiled)
    def run(z: tf.Tensor, guess: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(z)
            xi, slope = space.to_xi_and_slope(z, guess)
        return [xi, slope, tape.gradient(xi, z)]

    return run(z, guess)


@pytest.mark.parametrize("compiled", [False, True])
def test_tensors_map_and_differentiate_like_arrays(any_space: UnknownSpace, compiled: bool) -> None:
    z = np.concatenate([np.zeros((1, any_space.size)), np.random.default_rng(1).uniform(-3, 3, (20, any_space.size))])
    guess = np.tile(any_space.guess, (21, 1))
    xi, slope = any_space.to_xi_and_slope(z, guess)
    tensor, tensor_slope, gradient = mapped_by_tensorflow(any_space, tf.constant(z), tf.constant(guess), compiled)
    assert np.all(np.abs(tensor - xi) <= 1e-13 * (np.abs(xi) + np.abs(xi - guess)))
    np.testing.assert_array_equal(tensor[0], guess[0])
    np.testing.assert_allclose(tensor_slope, slope, rtol=1e-13)
    np.testing.assert_allclose(gradient, slope, rtol=1e-10)


@pytest.mark.parametrize("bounds", [{"upper": 1.0}, {"scale": 1.0}])
def test_the_gradient_is_right_where_formulas_change(bounds: dict[str, float]) -> None:
    space, guess = one(lower=0.0, guess=0.2, **bounds), 0.2
    if "upper" in bounds:
        zero, stretch = np.log(0.2) - np.log(0.8), 3.125
    else:
        zero, stretch = np.log(np.expm1(0.2)), 1 / -np.expm1(-0.2)
    z = -zero / stretch + np.spacing(zero / stretch) * column(*range(-16, 17))
    xi, _, gradient = mapped_by_tensorflow(space, tf.constant(z), tf.constant(np.full_like(z, guess)), False)
    np.testing.assert_allclose(xi, np.full_like(z, 0.5 if "upper" in bounds else np.log(2)), rtol=1e-14)
    np.testing.assert_allclose(gradient, np.full_like(z, stretch / (4 if "upper" in bounds else 2)), rtol=1e-12)


@pytest.mark.parametrize("compiled", [False, True])
def test_float32_stays_accurate_and_finite(any_space: UnknownSpace, compiled: bool) -> None:
    guess = np.float32(np.tile(any_space.guess, (9, 1)))
    z = np.tile(np.float32([[0], [0.5], [-0.5], [3], [-3], [1e3], [-1e3], [1e6], [-1e6]]), any_space.size)
    tensor, slope, gradient = mapped_by_tensorflow(any_space, tf.constant(z), tf.constant(guess), compiled)
    assert {part.dtype for part in (tensor, slope, gradient)} == {tf.float32}
    assert np.all(np.isfinite(tensor) & np.isfinite(slope) & np.isfinite(gradient))
    np.testing.assert_array_equal(tensor[0], guess[0])
    np.testing.assert_allclose(gradient[:5], slope[:5], rtol=1e-4)
    exact, exact_slope = any_space.to_xi_and_slope(z[:5].astype(np.float64), guess[:5].astype(np.float64))
    assert np.all(np.abs(tensor[:5] - exact) <= 3e-5 * (np.abs(exact) + np.abs(exact - guess[:5])))
    np.testing.assert_allclose(slope[:5], exact_slope, rtol=1e-4)


def test_float32_survives_a_guess_that_rounds_onto_its_bound_and_bounds_out_of_range() -> None:
    arguments = (
        {"lower": 1e6, "upper": 2e6, "guess": 1e6 + 1e-3},
        {"lower": 1e6, "upper": 1e6 + 1e-3},
        {"lower": -1e200, "upper": 1e300, "guess": 1},
        {"lower": 1e6, "scale": 1e-3},
        {"upper": 1e300, "guess": 1, "scale": 1e-5},
        {"scale": 1e-60},
    )
    for space in (one(**given) for given in arguments):
        z, guess = tf.constant(column(0, 1, -1, 1e6, -1e6), tf.float32), tf.constant(np.tile(space.guess, (5, 1)))
        parts = mapped_by_tensorflow(space, z, tf.cast(guess, tf.float32), compiled=True)
        assert all(np.all(np.isfinite(part)) for part in parts), (space.unknowns, parts)
        assert parts[1][0] > 0, space.unknowns


def test_move_inside(any_space: UnknownSpace) -> None:
    low, high = any_space.lower, any_space.upper
    far = np.stack([any_space.guess - 1e20, any_space.guess + 1e20])
    moved = any_space.move_inside(far, 0.01)
    any_space.check_inside(moved, "moved")
    below, above = low + 0.01 * any_space.scale, high - 0.01 * any_space.scale
    expected = np.where(np.isfinite(low), below, far[0]), np.where(np.isfinite(high), above, far[1])
    np.testing.assert_allclose(moved, expected, rtol=4 * BITS)
    inside = np.clip(any_space.guess, below, above)
    np.testing.assert_allclose(any_space.move_inside(inside[None], 0.01)[0], inside, rtol=4 * BITS)


def test_move_inside_where_the_share_rounds_to_nothing() -> None:
    tiny = one(shape=(2,), lower=(1e17, -INF), upper=(INF, 1e17), guess=(2e17, 0), scale=1)
    tiny.check_inside(tiny.move_inside(np.array([[0.0, 2e17]])), "moved")
    for share in (0.0, 1.0, NAN):
        with pytest.raises(ArgumentError, match="share"):
            tiny.move_inside(tiny.guess[None], share)


def test_random_starts_are_uniform_within_two_bounds_and_normal_otherwise() -> None:
    mixed = UnknownSpace(EVERY[:2])
    guess = np.tile(mixed.guess, (4000, 1))
    z = mixed.draw(guess, np.random.default_rng(0))
    generator = np.random.default_rng(0)
    normal, share = generator.standard_normal(guess.shape), generator.uniform(0.0, 1.0, guess.shape)
    np.testing.assert_array_equal(z[:, 2:], normal[:, 2:])
    expected = mixed.lower[:2] + share[:, :2] * (mixed.upper - mixed.lower)[:2]
    np.testing.assert_allclose(mixed.to_xi(z, guess)[:, :2], expected, rtol=1e-12, atol=1e-13)


def test_unknowns_pass_between_processes() -> None:
    copy = UnknownSpace(pickle.loads(pickle.dumps(EVERY)))
    for name in ("lower", "upper", "guess", "scale", "kinds"):
        np.testing.assert_array_equal(getattr(copy, name), getattr(UnknownSpace(EVERY), name))


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
        ({"lower": 0.0}, r"Unknown\('a'\) scale: expected a scale, since there are not two bounds, got None"),
        ({"upper": 0.0}, "a scale"),
        ({"lower": -INF, "upper": 1.0, "guess": 0.0}, "a scale"),
        ({"shape": (2,), "lower": 0.0, "upper": (1.0, INF)}, r"a scale.*got None for a\[1\]"),
        ({"shape": (2,), "lower": 0.0, "upper": (1.0, INF), "scale": (NAN, NAN)}, r"a scale.*got nan for a\[1\]"),
        ({"shape": (2,), "lower": 0.0, "upper": (1.0, INF), "scale": (1.0, 1.0)}, r"no scale.*got 1.0 for a\[0\]"),
        ({"lower": 0.0, "upper": 1.0, "scale": 1.0}, "no scale beside two bounds, got 1.0"),
        ({"lower": 0.0, "upper": 1.0, "scale": NAN}, "no scale beside two bounds"),
        ({"shape": (2,), "lower": 0.0, "upper": 1.0, "scale": 2.0}, "no scale beside two bounds"),
        ({"lower": 2.0, "upper": 1.0}, "lower below upper, got 2.0 and 1.0"),
        ({"lower": 1.0, "upper": 1.0}, "lower below upper"),
        ({"lower": INF, "scale": 1.0}, "lower below upper"),
        ({"upper": -INF, "scale": 1.0}, "lower below upper"),
        ({"lower": NAN, "upper": 1.0}, "lower: expected a number"),
        ({"upper": NAN, "scale": 1.0}, "upper: expected a number"),
        ({"lower": -1e308, "upper": 1e308}, "a width that float64 holds"),
        ({"lower": -1e308, "scale": 1e-3, "guess": 1e308}, "fewer than 1e308 scales"),
        ({"lower": 10**400, "scale": 1.0}, "beyond float64"),
        ({"scale": 10**400}, "beyond float64"),
        ({"lower": "low", "upper": 1.0}, "lower: expected real numbers"),
        ({"lower": 1j, "upper": 1.0}, "complex128"),
        ({"shape": (1,), "lower": [None], "scale": 1.0}, "dtype object"),
        ({"lower": 0.0, "upper": 1.0, "guess": 2.0}, "guess: expected a value strictly inside 0.0 to 1.0, got 2.0"),
        ({"lower": 0.0, "upper": 1.0, "guess": 1.0}, "strictly inside"),
        ({"lower": 0.0, "upper": 1.0, "guess": NAN}, "strictly inside"),
        ({"lower": 0.0, "scale": 1.0, "guess": 0.0}, "strictly inside"),
        ({"upper": 0.0, "scale": 1.0, "guess": 1.0}, "strictly inside"),
        ({"lower": 1e17, "scale": 1.0}, "strictly inside"),
        ({"lower": 1e308, "scale": 1e308}, "strictly inside"),
        ({"lower": 0.0, "upper": 5e-324}, "strictly inside"),
        ({"guess": INF, "scale": 1.0}, "strictly inside"),
        ({}, "a scale"),
        ({"scale": 0.0}, "positive"),
        ({"scale": -1.0}, "positive"),
        ({"scale": INF}, "positive"),
        ({"shape": (2,), "scale": (1.0, -1.0)}, r"positive finite number, got -1.0 for a\[1\]"),
        ({"scale": "wide"}, "real numbers"),
        ({"shape": (2,), "scale": (1.0, 2.0, 3.0)}, r"shape \(2,\)"),
        ({"shape": (0,), "scale": 1.0}, "positive integers"),
        ({"shape": (2.0,), "scale": 1.0}, "positive integers"),
        ({"shape": (True,), "scale": 1.0}, "positive integers"),
        ({"shape": 2, "scale": 1.0}, "positive integers"),
        ({"shape": (10**5, 10**5), "scale": 1.0}, "at most 16 axes and 4,194,304 numbers"),
        ({"shape": (10**5000,), "scale": 1.0}, "at most 16 axes and 4,194,304 numbers"),
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
