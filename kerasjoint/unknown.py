"""What is sought: named unknowns, their bounds, and the normalised coordinates in which everything is optimised."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasjoint.coordinates import FloatArray, NormalizedCoordinates
from kerasjoint.errors import ArgumentError, describe
from kerasjoint.slabs import slabs

RESERVED = (
    *("instance", "loss", "status", "at_bounds", "evaluations", "iterations", "non_finite"),
    *("starts", "hits", "missed", "confirmed", "solved"),
)

# In scales.
NEAR_BOUND = 1e-6
# Numbers of one unknown.
MOST, MOST_AXES = 2**22, 16


@dataclass(frozen=True, eq=False)
class Unknown:
    """One named unknown of an inverse problem: a scalar, a vector or a field.

    Parameters
    ----------
    name
        Key under which the simulator finds it.
    shape
        Shape per instance; ``()`` for a scalar.
    lower, upper
        Bounds, never reached: numbers or arrays of ``shape``. ``None`` or an infinity: no bound on that side. The
        components of a vector may differ in which bounds they have.
    guess
        Where every optimizer starts, strictly inside the bounds. Default: the middle of two bounds, one ``scale`` from
        a single bound, or 0 without bounds.
    scale
        Typical size of a change: needed by components without two bounds, refused for the others, where half the width
        takes its place. A number serves all components that need one; an array has NaN for the others.
    periodic
        The axis of a field that wraps around with the periodic axis of the observation, as a tuple of one: turning both
        by the same share of the circle gives another instance of the same problem. Networks may make use of it.

    Example
    -------
    >>> Unknown("rate", lower=0.0, upper=5.0, guess=1.0)
    >>> Unknown("variance", lower=0.0, scale=0.1)
    >>> Unknown("offset", shape=(3,), scale=0.1)
    >>> Unknown("state", shape=(40,), scale=1.0, periodic=(0,))
    """

    name: str
    shape: tuple[int, ...] = ()
    lower: ArrayLike | None = None
    upper: ArrayLike | None = None
    guess: ArrayLike | None = None
    scale: ArrayLike | None = None
    periodic: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no optimizer could use."""
        if not isinstance(self.name, str) or not self.name.isidentifier() or len(self.name) > 100:
            raise ArgumentError("Unknown name", "a Python identifier of at most 100 characters", describe(self.name))
        if self.name in RESERVED:
            raise ArgumentError("Unknown name", "none of the columns that every solution's table has", self.name)
        sizes = self.shape if isinstance(self.shape, tuple) else (0,)
        if any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes):
            raise ArgumentError(f"Unknown({self.name!r}) shape", "a tuple of positive integers", describe(self.shape))
        if len(sizes) > MOST_AXES or self.size > MOST:
            expected = f"at most {MOST_AXES} axes and {MOST:,} numbers"
            raise ArgumentError(f"Unknown({self.name!r}) shape", expected, describe(self.shape))
        if not isinstance(self.periodic, tuple) or self.periodic not in [(), *((axis,) for axis in range(len(sizes)))]:
            expected = f"() or a tuple of one axis of shape {self.shape}, counted from 0"
            raise ArgumentError(f"Unknown({self.name!r}) periodic", expected, describe(self.periodic))
        _ = self.arrays

    @property
    def size(self) -> int:
        """Numbers per instance."""
        return math.prod(self.shape)

    @property
    def labels(self) -> list[str]:
        """One column name per number: ``rate`` or ``v0[0]``, ``v0[1]``."""
        if not self.shape:
            return [self.name]
        return [f"{self.name}[{','.join(map(str, index))}]" for index in np.ndindex(self.shape)]

    @cached_property
    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Lower, upper, guess and scale with all defaults, each flat (size,); an infinity for no bound."""
        lower, upper = self._flat("lower", -np.inf), self._flat("upper", np.inf)
        self._check("lower", ~np.isnan(lower), "a number, or None for no bound", "{0}", lower)
        self._check("upper", ~np.isnan(upper), "a number, or None for no bound", "{0}", upper)
        self._check("bounds", lower < upper, "lower below upper", "{0} and {1}", lower, upper)
        above, below = np.isfinite(lower), np.isfinite(upper)
        two, one = above & below, above ^ below
        with np.errstate(over="ignore", invalid="ignore"):
            half = (upper - lower) / 2
            good = ~two | np.isfinite(half)
            self._check("bounds", good, "a width that float64 holds, or infinities", "{0} and {1}", lower, upper)
            scale = self._scale_or_half(two, half)
            guess = self._flat("guess", 0.0)
            if self.guess is None:
                step = np.where(above, scale, -scale)
                guess = np.where(two, lower / 2 + upper / 2, np.where(one, np.where(above, lower, upper) + step, 0.0))
            good = (lower < guess) & (guess < upper)
            self._check("guess", good, "a value strictly inside {0} to {1}", "{2}", lower, upper, guess)
            scales = np.where(above, guess - lower, upper - guess) / scale
        good = ~one | np.isfinite(scales)
        self._check("bounds", good, "a bound fewer than 1e308 scales from the guess, or none", "{0}", scales)
        return lower, upper, guess, scale

    def _scale_or_half(self, two: NDArray[np.bool_], half: FloatArray) -> FloatArray:
        scale = self._flat("scale", np.nan)
        if self.scale is not None and np.ndim(self.scale) == 0:
            self._check("scale", ~two | ~two.all(), "no scale beside two bounds", "{0}", scale)
            scale = np.where(two, np.nan, scale)
        self._check("scale", ~two | np.isnan(scale), "no scale beside two bounds (in an array: NaN)", "{0}", scale)
        got = "None" if self.scale is None else "{0}"
        self._check("scale", two | ~np.isnan(scale), "a scale, since there are not two bounds", got, scale)
        self._check("scale", two | ((scale > 0) & np.isfinite(scale)), "a positive finite number", "{0}", scale)
        return np.where(two, half, scale)

    def _flat(self, attribute: str, default: float) -> FloatArray:
        value = getattr(self, attribute)
        array = as_float_array(f"Unknown({self.name!r}) {attribute}", default if value is None else value)
        try:
            return np.broadcast_to(array, self.shape).reshape(-1)
        except ValueError:
            expected = f"a number or an array of shape {self.shape}"
            raise ArgumentError(f"Unknown({self.name!r}) {attribute}", expected, f"shape {array.shape}") from None

    def _check(self, attribute: str, good: NDArray[np.bool_], expected: str, got: str, *arrays: FloatArray) -> None:
        """Refuse a false entry of ``good``, naming the first such component and its values in the arrays."""
        if not good.all():
            first = int(np.argmin(good))
            values = [float(array[first]) for array in arrays]
            component = f" for {self.labels[first]}" if self.shape else ""
            raise ArgumentError(
                f"Unknown({self.name!r}) {attribute}", expected.format(*values), got.format(*values) + component
            )


class UnknownSpace:
    """All unknowns of a problem as one flat vector of length d, and its normalised coordinates z.

    ``z = 0`` is the guess, and d xi / d z there is the scale, as ``NormalizedCoordinates`` states for each kind of
    number. The guess may differ between instances.

    Attributes
    ----------
    size, labels
        The length d, and a column name for each number.
    lower, upper, guess, scale
        Of each number, (d,): infinite where there is no bound; half the width where there are two.
    kinds
        ``"two"``, ``"lower"``, ``"upper"`` or ``"none"``: which finite bounds each number has, (d,).
    bounded
        Which numbers have two, (d,).
    """

    def __init__(self, unknowns: Sequence[Unknown]) -> None:
        if isinstance(unknowns, Unknown):
            raise ArgumentError("unknowns", "a tuple: unknowns = (Unknown(...),), with the comma", "a lone Unknown")
        given, unknowns = unknowns, tuple(unknowns) if isinstance(unknowns, Iterable) else ()
        if not unknowns or not all(isinstance(unknown, Unknown) for unknown in unknowns):
            raise ArgumentError("unknowns", "a non-empty sequence of Unknown", unknowns or given)
        names = [unknown.name for unknown in unknowns]
        if len(set(names)) != len(names):
            raise ArgumentError("unknowns", "different names", names)
        self.unknowns = unknowns
        self.size = sum(unknown.size for unknown in unknowns)
        self.labels = [label for unknown in unknowns for label in unknown.labels]
        self.lower, self.upper, self.guess, self.scale = (
            np.concatenate(parts) for parts in zip(*(unknown.arrays for unknown in unknowns), strict=True)
        )
        self._coordinates = NormalizedCoordinates(self.lower, self.upper, self.scale)
        self.bounded = self._coordinates.two
        above, below = np.isfinite(self.lower), np.isfinite(self.upper)
        self.kinds = np.select([self.bounded, above, below], ["two", "lower", "upper"], "none")

    def flatten(self, xi: Mapping[str, ArrayLike] | ArrayLike, argument: str = "xi") -> FloatArray:
        """Return the (n, d) float64 array of unknowns given as a dict or already flat; refuse other shapes."""
        if isinstance(xi, Mapping):
            names = [unknown.name for unknown in self.unknowns]
            if set(xi) != set(names):
                raise ArgumentError(argument, f"the unknowns {names}", sorted(xi))
            columns = []
            for unknown in self.unknowns:
                part = as_float_array(f"{argument}[{unknown.name!r}]", xi[unknown.name])
                if part.shape[1:] != unknown.shape or part.ndim == 0:
                    raise ArgumentError(f"{argument}[{unknown.name!r}]", f"shape (n, *{unknown.shape})", part.shape)
                columns.append(part.reshape(len(part), unknown.size))
            if len({len(column) for column in columns}) > 1:
                lengths = {unknown.name: len(c) for unknown, c in zip(self.unknowns, columns, strict=True)}
                raise ArgumentError(argument, "one n for all unknowns", lengths)
            return np.concatenate(columns, axis=1)
        flat = as_float_array(argument, xi)
        if flat.ndim != 2 or flat.shape[1] != self.size:
            raise ArgumentError(argument, f"shape (n, {self.size}) in the order {self.labels}", flat.shape)
        return flat

    def unflatten(self, flat: Any) -> dict[str, Any]:
        """Split an (n, d) array or tensor into the dict of shaped unknowns that a simulator takes."""
        if len(flat.shape) != 2 or flat.shape[1] != self.size:
            raise ArgumentError("flat", f"shape (n, {self.size}) in the order {self.labels}", flat.shape)
        parts, start = {}, 0
        for unknown in self.unknowns:
            part = flat[:, start : start + unknown.size]
            if isinstance(flat, np.ndarray):
                parts[unknown.name] = part.reshape(len(flat), *unknown.shape)
            else:
                import tensorflow as tf

                parts[unknown.name] = tf.reshape(part, (-1, *unknown.shape))
            start += unknown.size
        return parts

    def check_inside(self, xi: FloatArray, argument: str) -> None:
        """Refuse unknowns on or outside their bounds, naming the instances."""
        outside = np.flatnonzero(np.any((xi <= self.lower) | (xi >= self.upper), axis=1))
        if outside.size:
            bounds = f"values strictly inside {self.lower.tolist()} to {self.upper.tolist()}"
            raise ArgumentError(argument, bounds, f"instances {name_instances(outside)} outside")

    def at_bounds(self, xi: FloatArray) -> NDArray[np.int8]:
        """Return -1 where an unknown is at its lower bound, 1 at its upper one, else 0, (n, d).

        At a bound is what is nearer to it than a millionth of the scale: coordinates never get there exactly.
        """
        near = NEAR_BOUND * self.scale
        return (xi >= self.upper - near).astype(np.int8) - (xi <= self.lower + near).astype(np.int8)

    def move_inside(self, xi: FloatArray, share: float = 1e-3) -> FloatArray:
        """Move unknowns (n, d) that are outside of a bound, or near it, to ``share`` scales inside."""
        if not 0 < share < 1:
            raise ArgumentError("share", "a number between 0 and 1", share)
        low, high = self.lower + share * self.scale, self.upper - share * self.scale
        # Beside a large bound the share may round to nothing.
        low = np.where(np.isfinite(self.lower), np.maximum(low, np.nextafter(self.lower, np.inf)), -np.inf)
        high = np.where(np.isfinite(self.upper), np.minimum(high, np.nextafter(self.upper, -np.inf)), np.inf)
        return np.clip(xi, low, high)

    def draw(self, guess: FloatArray, generator: np.random.Generator) -> FloatArray:
        """Draw random starts in normalised coordinates for the instances with these guesses, both (n, d).

        Unknowns with two bounds are uniform between them; the ``z`` of others is standard normal.
        """
        normal = generator.standard_normal(guess.shape)
        share = generator.uniform(0.0, 1.0, guess.shape)
        lower, upper = np.where(self.bounded, self.lower, 0.0), np.where(self.bounded, self.upper, 0.0)
        inside = np.clip(lower + share * (upper - lower), np.nextafter(lower, upper), np.nextafter(upper, lower))
        return np.where(self.bounded, self.to_z(np.where(self.bounded, inside, guess), guess), normal)

    def to_z(self, xi: FloatArray, guess: FloatArray) -> FloatArray:
        """Map unknowns strictly inside their bounds to normalised coordinates, both (n, d)."""
        return self._coordinates.to_z(xi, guess)

    def to_xi(self, z: Any, guess: Any) -> Any:
        """Map normalised coordinates to unknowns; float64 arrays or TensorFlow tensors, (n, d)."""
        return self.to_xi_and_slope(z, guess)[0]

    def to_xi_and_slope(self, z: Any, guess: Any) -> tuple[Any, Any]:
        """Map normalised coordinates to unknowns, beside the derivative d xi / d z, each (n, d)."""
        return self._coordinates.to_xi_and_slope(z, guess)


def as_float_array(argument: str, values: ArrayLike) -> FloatArray:
    """Return ``values`` as a float64 array; refuse text, objects, complex and masked numbers."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        hint = " (what is missing: any number, and a weight of zero in residuals)" if argument == "y" else ""
        raise ArgumentError(argument, "numbers none of which is masked", f"a masked array{hint}")
    try:
        array = np.asarray(values)
    except ValueError:
        raise ArgumentError(argument, "a regular array of numbers", "rows of different lengths") from None
    except Exception as error:  # Of any kind, from objects that say how they become arrays.
        raise ArgumentError(argument, "an array of numbers", f"{type(error).__name__}: {error}") from error
    if array.dtype.kind == "O" and all(isinstance(value, int | float) for value in array.flat):
        # Integers beyond 64 bits.
        try:
            return array.astype(np.float64)
        except OverflowError:
            raise ArgumentError(argument, "real numbers", "an integer beyond float64") from None
    if array.dtype.kind not in "fiub":
        raise ArgumentError(argument, "real numbers", f"dtype {array.dtype}")
    with np.errstate(over="ignore"):
        return array.astype(np.float64)


def name_instances(indices: NDArray[np.intp], most: int = 8) -> str:
    """Spell out instance indices for a message, at most the first few."""
    listed = ", ".join(map(str, indices[:most]))
    return f"{listed} and {len(indices) - most} more" if len(indices) > most else listed


def check_finite(argument: str, array: FloatArray) -> FloatArray:
    """Return the array (n, ...), or refuse NaN and infinity, naming the instances."""
    parts = slabs(len(array), array.nbytes // max(len(array), 1))
    axes = tuple(range(1, array.ndim))
    bad = np.flatnonzero(np.concatenate([~np.isfinite(array[part]).all(axis=axes) for part in parts]))
    if bad.size:
        hint = " (what is missing: any number, and a weight of zero in residuals)" if argument == "y" else ""
        raise ArgumentError(argument, "finite numbers", f"NaN or infinity in instances {name_instances(bad)}{hint}")
    return array
