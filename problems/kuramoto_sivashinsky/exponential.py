"""Fourth-order exponential time differencing: its coefficients, and how far it amplifies what it should not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def coefficients(growth: FloatArray, dt: float) -> dict[str, FloatArray]:
    """Return the coefficients of a step ``dt`` for linear rates ``growth`` of any shape, each of that shape."""
    one, two, three = phi(growth * dt)
    return {
        "decay": np.exp(growth * dt),
        "half_decay": np.exp(growth * dt / 2),
        "half_step": dt / 2 * phi(growth * dt / 2)[0],
        "weight_first": dt * (one - 3 * two + 4 * three),
        "weight_inner": dt * (2 * two - 4 * three),
        "weight_last": dt * (4 * three - two),
    }


def phi(z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return (e^z - 1) / z and its two successors as means over a unit circle around z, where nothing cancels.

    The functions are entire, so the mean over the circle is their value at z; 32 points of its upper half are enough.
    """
    circle = z[..., None] + np.exp(1j * np.pi * (np.arange(32) + 0.5) / 32)
    one = (np.exp(circle) - 1) / circle
    two = (one - 1) / circle
    three = (two - 0.5) / circle
    return one.real.mean(axis=-1), two.real.mean(axis=-1), three.real.mean(axis=-1)


def excess_amplification(growth: FloatArray, wavenumbers: FloatArray, dt: float, speed: float) -> float:
    """Largest factor per step by which a mode carried at ``speed`` outgrows both itself in the equation and 1."""
    scheme = coefficients(growth, dt)
    carried = -1j * wavenumbers * speed
    half = scheme["half_decay"] + scheme["half_step"] * carried
    third = scheme["half_decay"] + scheme["half_step"] * carried * half
    last = scheme["half_decay"] * half + scheme["half_step"] * carried * (2 * third - 1)
    slopes = scheme["weight_first"] + scheme["weight_inner"] * (half + third) + scheme["weight_last"] * last
    factor = scheme["decay"] + carried * slopes
    return float(np.max(np.abs(factor) / np.maximum(1.0, scheme["decay"])))
