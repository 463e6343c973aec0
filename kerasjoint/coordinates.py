"""Normalised coordinates z of numbers with two bounds, one bound or none: formulas, derivatives, inverses.

At z = 0 is the guess, and d xi / d z there is half the width of two bounds, else the unknown's ``scale``, unless the
guess is very near a bound (``STRETCH_MAX``). The same lines compute with NumPy and, compiled and differentiable, with
TensorFlow.
"""

from __future__ import annotations

from copy import copy
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# The largest stretch: that of a guess whose distance to a bound is 5 % of the width, or a tenth of the scale. Nearer to
# the bound, a unit step of z multiplies the distance to it by at most exp(10.5), and the slope at the guess is smaller.
SPREAD_MIN = 0.05 * 0.95
STRETCH_MAX = 0.5 / SPREAD_MIN

# Up to this change of t, xi is computed from its distance to the guess, beyond it from its distance to a bound.
NEAR = 0.69

# From here on exp(-t) adds nothing to 1.
NEGLIGIBLE = 40.0

NAMES = ("abs", "exp", "expm1", "log", "log1p", "maximum", "minimum")
NUMPY = SimpleNamespace(where=np.where, **{name: getattr(np, name) for name in NAMES})


@cache
def _tensorflow() -> SimpleNamespace:
    import tensorflow as tf

    return SimpleNamespace(where=tf.where, **{name: getattr(tf.math, name) for name in NAMES})


class NormalizedCoordinates:
    """Maps between d numbers xi and their normalised coordinates z.

    With two bounds, a = guess - lower, b = upper - guess, w = upper - lower::

        t = log(a) - log(b) + k z        xi = lower + w sigmoid(t) = upper - w sigmoid(-t)
        k = 1 / (2 (a / w) (b / w))      d xi / d z = k w sigmoid(t) sigmoid(-t)

    which is ``mid + w / 2 * tanh(atanh(c) + z / (1 - c**2))`` with ``c = 2 (guess - mid) / w``.

    With one bound, g = abs(guess - bound) / scale, s = 1 for a lower bound and -1 for an upper one::

        t = log(exp(g) - 1) + s k z      xi = bound + s scale softplus(t)
        k = 1 / (1 - exp(-g))            d xi / d z = k scale sigmoid(t)

    Without bounds ``xi = guess + scale z``. No stretch k exceeds ``STRETCH_MAX``, 10.5.

    Parameters
    ----------
    lower, upper
        Bounds, (d,), infinite where there is none.
    scale
        Half the width of two bounds, else the typical size of a change, (d,).

    Attributes
    ----------
    two, one
        Which numbers have two bounds, and which have one, (d,).
    """

    def __init__(self, lower: FloatArray, upper: FloatArray, scale: FloatArray) -> None:
        above, below = np.isfinite(lower), np.isfinite(upper)
        self.two, self.one = above & below, above ^ below
        self._any_two, self._any_one = bool(self.two.any()), bool(self.one.any())
        self._all_two, self._all_one = bool(self.two.all()), bool(self.one.all())
        # Each formula gets harmless numbers in the place of other kinds, so that no branch of a `where` is ever NaN.
        self._scale, self._linear_scale = np.where(self.one, scale, 1.0), np.where(above | below, 1.0, scale)
        self._lower, self._upper = np.where(self.two, lower, -1.0), np.where(self.two, upper, 1.0)
        self._width = self._upper - self._lower
        self._bound = np.where(self.one, np.where(above, lower, upper), 0.0)
        self._sign = np.where(below, -1.0, 1.0)
        self._floors: tuple[FloatArray, FloatArray, FloatArray] | None = None
        self._set_limits()

    def to_xi_and_slope(self, z: Any, guess: Any) -> tuple[Any, Any]:
        """Return xi and d xi / d z, each (n, d): arrays or tensors as ``z`` and ``guess`` (n, d) are."""
        if isinstance(z, np.ndarray):
            return self._map(NUMPY, z, guess)
        return self._cast(z.dtype.as_numpy_dtype)._map(_tensorflow(), z, guess)

    def to_z(self, xi: FloatArray, guess: FloatArray) -> FloatArray:
        """Return the z of numbers strictly inside their bounds, both (n, d)."""
        z = (xi - guess) / self._linear_scale
        for kind, inverse in ((self.two, self._two_inverse), (self.one, self._one_inverse)):
            if kind.any():
                z[:, kind] = inverse(xi[:, kind], guess[:, kind])
        return z

    def _map(self, ops: SimpleNamespace, z: Any, guess: Any) -> tuple[Any, Any]:
        if self._all_two:
            return self._two_bounds(ops, z, guess)
        if self._all_one:
            return self._one_bound(ops, z, guess)
        xi, slope = guess + self._linear_scale * z, self._linear_scale + 0 * z
        if self._any_two:
            other = self._two_bounds(ops, z, ops.where(self.two, guess, 0.0))
            xi, slope = ops.where(self.two, other[0], xi), ops.where(self.two, other[1], slope)
        if self._any_one:
            other = self._one_bound(ops, z, ops.where(self.one, guess, self._sign))
            xi, slope = ops.where(self.one, other[0], xi), ops.where(self.one, other[1], slope)
        return xi, slope

    def _set_limits(self) -> None:
        """Note the last numbers inside the bounds: far out, rounding would lead onto the bound."""
        self._least, self._most = _next(self._lower, self._upper), _next(self._upper, self._lower)
        self._last = _next(self._bound, self._bound + self._sign * self._scale)

    def _two_bounds(self, ops: SimpleNamespace, z: Any, guess: Any) -> tuple[Any, Any]:
        a, b = guess - self._lower, self._upper - guess
        if self._floors is not None:
            a, b = ops.maximum(a, self._floors[0]), ops.maximum(b, self._floors[1])
        p0, q0 = a / self._width, b / self._width
        stretch = 0.5 / ops.maximum(p0 * q0, SPREAD_MIN)
        step = stretch * z
        t = ops.log(a) - ops.log(b) + step
        low = t <= 0
        tail = ops.exp(ops.where(low, t, -t))
        whole = 1 + tail
        distance = self._width * (tail / whole)
        far = ops.where(low, self._lower + distance, self._upper - distance)
        near = ops.abs(step) <= NEAR
        change = ops.expm1(ops.where(near, step, 0.0))
        xi = ops.where(near, guess + a * (q0 * change / (1 + p0 * change)), far)
        xi = ops.minimum(ops.maximum(xi, self._least), self._most)
        return xi, stretch * (distance / whole)

    def _one_bound(self, ops: SimpleNamespace, z: Any, guess: Any) -> tuple[Any, Any]:
        scale = self._scale * self._sign
        gap = (guess - self._bound) / scale
        if self._floors is not None:
            gap = ops.maximum(gap, self._floors[2])
        p0, q0 = -ops.expm1(-gap), ops.exp(-gap)
        stretch = 1 / ops.maximum(p0, 1 / STRETCH_MAX)
        step = stretch * (self._sign * z)
        t = gap + ops.log(p0) + step
        low = t <= 0
        tail = ops.exp(ops.where(low, t, -t))
        far = self._bound + scale * (ops.where(t > 0, t, 0.0) + ops.log1p(tail))
        # Two expressions of softplus(t) - gap: the second is accurate where the bound is more than a scale away.
        distant = gap > 1
        near = ops.where(distant, step >= -gap / 2, ops.abs(step) <= NEAR)
        step = ops.where(near, step, 0.0)
        close_step, distant_step = ops.where(gap <= 1, step, 0.0), ops.where(distant, step, 0.0)
        change = ops.log1p(p0 * ops.expm1(close_step)) + (
            distant_step + ops.log1p(q0 * ops.expm1(ops.minimum(-distant_step, NEGLIGIBLE)))
        )
        xi = ops.where(near, guess + scale * change, far)
        xi = ops.where(self._sign > 0, ops.maximum(xi, self._last), ops.minimum(xi, self._last))
        return xi, self._scale * (stretch * (ops.where(low, tail, 1.0) / (1 + tail)))

    def _two_inverse(self, xi: FloatArray, guess: FloatArray) -> FloatArray:
        lower, upper, width = (values[self.two] for values in (self._lower, self._upper, self._width))
        a, b = guess - lower, upper - guess
        stretch = 0.5 / np.maximum(a / width * (b / width), SPREAD_MIN)
        return (_log_ratio(xi - lower, a, xi - guess) - _log_ratio(upper - xi, b, guess - xi)) / stretch

    def _one_inverse(self, xi: FloatArray, guess: FloatArray) -> FloatArray:
        bound, sign = self._bound[self.one], self._sign[self.one]
        scale = sign * self._scale[self.one]
        gap, new_gap, change = (guess - bound) / scale, (xi - bound) / scale, (xi - guess) / scale
        p0 = -np.expm1(-gap)
        near = np.abs(change) <= np.minimum(gap, 1) / 2
        near_step = np.log1p(np.expm1(np.where(near, change, 0.0)) / p0)
        step = np.where(near, near_step, change + np.log(-np.expm1(-new_gap)) - np.log(p0))
        return sign * step * np.maximum(p0, 1 / STRETCH_MAX)

    def _cast(self, dtype: type[np.floating]) -> NormalizedCoordinates:
        """Return the same in a dtype, in which a guess may round onto its bound, and a bound may be out of range."""
        if dtype is np.float64:
            return self
        info, other = np.finfo(dtype), copy(self)
        most = float(info.max) / 100
        for name in ("_lower", "_upper", "_bound", "_sign"):
            setattr(other, name, np.clip(getattr(self, name), -most, most).astype(dtype))
        for name in ("_width", "_scale", "_linear_scale"):
            setattr(other, name, np.clip(getattr(self, name), float(info.tiny), most).astype(dtype))
        half_bit = float(info.eps) / 2
        with np.errstate(over="ignore"):
            scales = np.abs(self._bound) / self._scale
        other._floors = (
            np.clip(half_bit * np.abs(other._lower), info.tiny, other._width / 4),
            np.clip(half_bit * np.abs(other._upper), info.tiny, other._width / 4),
            np.clip(half_bit * scales, info.tiny, most).astype(dtype),
        )
        other._set_limits()
        return other


def _next(bound: FloatArray, towards: FloatArray) -> FloatArray:
    """Return the next normal number after a bound."""
    after, tiny = np.nextafter(bound, towards), np.finfo(bound.dtype).tiny
    return np.where(np.abs(after) < tiny, np.copysign(tiny, towards - bound), after)


def _log_ratio(new: FloatArray, old: FloatArray, change: FloatArray) -> FloatArray:
    """Return log(new / old), accurate also where new = old + change is near old."""
    near = np.abs(change) <= old / 2
    return np.where(near, np.log1p(np.where(near, change, 0.0) / old), np.log(new) - np.log(old))
