"""What is sought: named unknowns, their bounds, and the normalised coordinates in which everything is optimised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasjoint.errors import ArgumentError

RESERVED = ("instance", "loss", "status", "evaluations", "iterations", "non_finite", "solved")


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
        Bounds, enforced by a scaled tanh. Both or none; numbers or arrays of ``shape``.
    guess
        Where every optimiser starts, strictly inside the bounds. Default: their midpoint, or 0 without bounds.
    scale
        Typical size of a change, needed when there are no bounds and refused when there are
        (half the width of the bounds then takes its place).

    Example
    -------
    >>> Unknown("rate", lower=0.0, upper=5.0, guess=1.0)
    >>> Unknown("offset", shape=(3,), scale=0.1)
    """

    name: str
    shape: tuple[int, ...] = ()
    lower: ArrayLike | None = None
    upper: ArrayLike | None = None
    guess: ArrayLike | None = None
    scale: ArrayLike | None = None

    def __post_init__(self) -> None:
        """Refuse what no optimiser could use."""
        where = f"Unknown({self.name!r})"
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ArgumentError("Unknown name", "a Python identifier", repr(self.name))
        if self.name in RESERVED:
            raise ArgumentError("Unknown name", "none of the columns that every solution's table has", self.name)
        if not isinstance(self.shape, tuple) or any(not isinstance(size, int) or size < 1 for size in self.shape):
            raise ArgumentError(f"{where} shape", "a tuple of positive integers", self.shape)
        if (self.lower is None) != (self.upper is None):
            raise ArgumentError(f"{where} bounds", "both lower and upper, or none", f"{self.lower} and {self.upper}")
        if self.bounded and self.scale is not None:
            raise ArgumentError(f"{where} scale", "no scale beside bounds", self.scale)
        if not self.bounded and self.scale is None:
            raise ArgumentError(f"{where} scale", "a scale, since there are no bounds", None)
        lower, upper, guess, scale = (self._flat(name) for name in ("lower", "upper", "guess", "scale"))
        if self.bounded and not np.all(np.isfinite(lower) & np.isfinite(upper)):
            raise ArgumentError(f"{where} bounds", "finite numbers, or no bounds", f"{self.lower} and {self.upper}")
        if not np.all(lower < upper):
            raise ArgumentError(f"{where} bounds", "lower below upper", f"{self.lower} and {self.upper}")
        if not np.all((lower < guess) & (guess < upper)):
            raise ArgumentError(f"{where} guess", f"a value strictly inside {self.lower} to {self.upper}", self.guess)
        if not np.all((scale > 0) & np.isfinite(scale)):
            raise ArgumentError(f"{where} scale", "a positive finite number", self.scale)

    @property
    def bounded(self) -> bool:
        """Whether the unknown has bounds."""
        return self.lower is not None and self.upper is not None

    @property
    def size(self) -> int:
        """Numbers per instance."""
        return int(np.prod(self.shape, dtype=int))

    @property
    def labels(self) -> list[str]:
        """One column name per number: ``rate`` or ``v0[0]``, ``v0[1]``."""
        if not self.shape:
            return [self.name]
        return [f"{self.name}[{','.join(map(str, index))}]" for index in np.ndindex(self.shape)]

    def _flat(self, attribute: str) -> NDArray[np.float64]:
        value = getattr(self, attribute)
        if value is None:
            value = {"lower": -np.inf, "upper": np.inf, "guess": 0.0, "scale": 1.0}[attribute]
            if self.bounded and attribute in ("guess", "scale"):
                low, high = self._flat("lower"), self._flat("upper")
                return (low + high) / 2 if attribute == "guess" else (high - low) / 2
        try:
            return np.broadcast_to(np.asarray(value, dtype=np.float64), self.shape).reshape(-1)
        except (TypeError, ValueError):
            raise ArgumentError(
                f"Unknown({self.name!r}) {attribute}", f"a number or an array of shape {self.shape}", value
            ) from None


class UnknownSpace:
    """All unknowns of a problem as one flat vector of length d, and its normalised coordinates z.

    A bounded unknown is ``xi = mid + half * tanh(atanh(g) + z / (1 - g**2))`` with ``g = (guess - mid) / half``, an
    unbounded one ``xi = guess + scale * z``. So ``z = 0`` is the guess, and a unit step of z there is half the width of
    the bounds, or the scale. The guess may differ between instances.
    """

    def __init__(self, unknowns: Sequence[Unknown]) -> None:
        unknowns = tuple(unknowns)
        if not unknowns or not all(isinstance(unknown, Unknown) for unknown in unknowns):
            raise ArgumentError("unknowns", "a non-empty sequence of Unknown", unknowns)
        names = [unknown.name for unknown in unknowns]
        if len(set(names)) != len(names):
            raise ArgumentError("unknowns", "different names", names)
        self.unknowns = unknowns
        self.size = sum(unknown.size for unknown in unknowns)
        self.labels = [label for unknown in unknowns for label in unknown.labels]
        self.lower, self.upper, self.guess, self.scale = (
            np.concatenate([unknown._flat(name) for unknown in unknowns])
            for name in ("lower", "upper", "guess", "scale")
        )
        self.bounded = np.isfinite(self.lower)
        self._middle = np.where(self.bounded, self.upper - self.scale, 0.0)

    def flatten(self, xi: Mapping[str, ArrayLike] | ArrayLike, argument: str = "xi") -> NDArray[np.float64]:
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

    def check_inside(self, xi: NDArray[np.float64], argument: str) -> None:
        """Refuse unknowns on or outside their bounds, naming the instances."""
        outside = np.flatnonzero(np.any((xi <= self.lower) | (xi >= self.upper), axis=1))
        if outside.size:
            bounds = f"values strictly inside {self.lower.tolist()} to {self.upper.tolist()}"
            raise ArgumentError(argument, bounds, f"instances {name_instances(outside)} outside")

    def to_z(self, xi: NDArray[np.float64], guess: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map unknowns strictly inside their bounds to normalised coordinates, both (n, d)."""
        offset = (guess - self._middle) / self.scale
        bounded_offset = np.where(self.bounded, offset, 0.0)
        position = np.where(self.bounded, (xi - self._middle) / self.scale, 0.0)
        tanh_z = (np.arctanh(position) - np.arctanh(bounded_offset)) * (1 - bounded_offset**2)
        return np.where(self.bounded, tanh_z, (xi - guess) / self.scale)

    def to_xi(self, z: Any, guess: Any) -> Any:
        """Map normalised coordinates to unknowns; float64 arrays or TensorFlow tensors, (n, d)."""
        return self.to_xi_and_slope(z, guess)[0]

    def to_xi_and_slope(self, z: Any, guess: Any) -> tuple[Any, Any]:
        """Map normalised coordinates to unknowns, beside the derivative d xi / d z, each (n, d)."""
        tanh: Any = np.tanh
        arctanh: Any = np.arctanh
        where: Any = np.where
        clip: Any = np.clip
        scale, middle, bounded, zero = self.scale, self._middle, self.bounded, np.zeros(self.size)
        lower, upper = self.lower, self.upper
        if not isinstance(z, np.ndarray):
            import tensorflow as tf

            tanh, arctanh, where, clip = tf.tanh, tf.atanh, tf.where, tf.clip_by_value
            arrays = (scale, middle, zero, lower, upper)
            scale, middle, zero, lower, upper = (tf.constant(values, z.dtype) for values in arrays)
        offset = where(bounded, (guess - middle) / scale, zero)
        stretch = 1 - offset * offset
        position = tanh(arctanh(offset) + z / stretch)
        # Rounding can carry a saturated tanh one bit over a bound.
        xi = clip(where(bounded, middle + scale * position, guess + scale * z), lower, upper)
        slope = where(bounded, scale * (1 - position * position) / stretch, scale + 0 * z)
        return xi, slope


def as_float_array(argument: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return ``values`` as a float64 array; refuse text, objects and complex numbers."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise ArgumentError(argument, "a regular array of numbers", "rows of different lengths") from None
    if array.dtype.kind not in "fiub":
        raise ArgumentError(argument, "real numbers", f"dtype {array.dtype}")
    return array.astype(np.float64)


def name_instances(indices: NDArray[np.intp], most: int = 8) -> str:
    """Spell out instance indices for a message, at most the first few."""
    listed = ", ".join(map(str, indices[:most]))
    return f"{listed} and {len(indices) - most} more" if len(indices) > most else listed
