"""Kuramoto-Sivashinsky: find the forcing and the advection strength behind a chaotic trajectory."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError
from kerasjoint.problem import InverseProblem, check_count
from kerasjoint.problem_set import ProblemSet
from kerasjoint.time_loop import integrate
from kerasjoint.unknown import Unknown

FloatArray = NDArray[np.float64]

SOLVED_RELATIVE_LOSS = 1e-20
_FORCE = 0.5
_INITIAL_RMS = 2.0
_INITIAL_WAVENUMBER = 1.2
_RESOLVED = 2.5
_SPEED = 9.0
_TOLERATED_EXCESS = 1.01


class KuramotoSivashinsky(InverseProblem):
    """Doc."""

    unknowns = (Unknown("alpha", lower=-1.0, upper=1.0), Unknown("beta", lower=0.5, upper=1.5))
    chunk = 16

    def __init__(
        self, points: int = 64, length: float = 22.0, dt: float = 0.1, end: float = 25.0, stored: int = 50
    ) -> None:
        if isinstance(points, bool) or not isinstance(points, (int, np.integer)) or points < 8 or points % 2:
            raise ArgumentError("points", "an even number of at least 8", repr(points))
        for name, number in {"length": length, "dt": dt, "end": end}.items():
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number < np.inf:
                raise ArgumentError(name, "a positive number", repr(number))
        self.points, self.length, self.dt, self.end = int(points), float(length), float(dt), float(end)
        self.stored = check_count("stored", stored)
        interval = end / self.stored
        self._stride = round(interval / dt)
        if self._stride < 1 or abs(self._stride * dt - interval) > 1e-9 * interval:
            raise ArgumentError("dt", f"a divisor of the stored interval end / stored = {interval:g}", repr(dt))
        self.grid: FloatArray = np.arange(self.points) * self.length / self.points
        self.force: FloatArray = _FORCE * np.cos(2 * np.pi * self.grid / self.length)
        # Quadratic products of `waves` modes alias onto modes above `waves` only: the 2/3 rule.
        waves = (self.points - 1) // 3
        wavenumbers = 2 * np.pi * np.arange(waves + 1) / self.length
        if wavenumbers[-1] < _RESOLVED:
            raise ArgumentError(
                "points",
                f"an even number that resolves wavenumbers up to {_RESOLVED:g} after dealiasing on length {length:g}",
                f"{points}, which keeps those up to {wavenumbers[-1]:.3g}",
            )
        growth = wavenumbers**2 - wavenumbers**4
        excess = _excess_amplification(growth, wavenumbers, self.dt)
        if excess > _TOLERATED_EXCESS:
            raise ArgumentError(
                "dt",
                f"a step at which no mode carried at speed {_SPEED:g} grows faster than the equation lets it",
                f"{dt!r}, where one is amplified {excess:.3g} times too much in a step",
            )
        self._tables = self._tabulate(waves, wavenumbers, growth)

    @classmethod
    def light(cls) -> KuramotoSivashinsky:
        """Return a twin for quick runs: a shorter time, fewer points and a longer step, about a tenth of the cost."""
        return cls(points=48, dt=0.125, end=12.5, stored=25)

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Simulate from ``x["initial"]`` (n, points); return the trajectory (n, stored, points) without t = 0."""
        dtype = xi["alpha"].dtype
        table = {name: tf.constant(values, dtype=dtype) for name, values in self._tables.items()}
        initial = x["initial"] @ table["analyse"]

        def step(modes: tf.Tensor, parameters: dict[str, tf.Tensor]) -> tf.Tensor:
            force = parameters["alpha"][:, None] * table["force"]
            strength = parameters["beta"][:, None]

            def slope(modes: tf.Tensor) -> tf.Tensor:
                return force + strength * (tf.square(modes @ table["synthesise"]) @ table["advect"])

            first = slope(modes)
            half = table["half_decay"] * modes + table["half_step"] * first
            second = slope(half)
            third = slope(table["half_decay"] * modes + table["half_step"] * second)
            fourth = slope(table["half_decay"] * half + table["half_step"] * (2 * third - first))
            inner = table["weight_inner"] * (second + third)
            return table["decay"] * modes + table["weight_first"] * first + inner + table["weight_last"] * fourth

        # Every step is stored and thinned afterwards: in one flat loop XLA drops the tangents that a value does not use
        # (0.28 ms an instance), in the nested loop of store_every > 1 it keeps them (1.3 ms).
        history = integrate(lambda _: initial, step, xi, self._stride * self.stored, store_every=1)
        return history[:, self._stride - 1 :: self._stride] @ table["synthesise"]

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw ``n`` instances: unknowns uniform within their bounds, initial states of random long waves."""
        n = check_count("n", n)
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        truth = rng.uniform(self.space.lower, self.space.upper, size=(n, 2))
        mode = np.arange(1, int(_INITIAL_WAVENUMBER * self.length / (2 * np.pi)) + 1)
        phase = 2 * np.pi * np.outer(mode, self.grid) / self.length
        cosines, sines = rng.normal(size=(2, n, len(mode))) * _INITIAL_RMS / np.sqrt(len(mode))
        condition = {"initial": cosines @ np.cos(phase) + sines @ np.sin(phase)}
        return ProblemSet(self, condition, self.simulate(truth, condition), truth)

    def solved(self, loss: NDArray[Any], xi: NDArray[Any], problem_set: ProblemSet) -> NDArray[np.bool_]:
        """Tell which instances reproduce the observation to rounding: loss at most 1e-20 times its squared norm."""
        return loss <= SOLVED_RELATIVE_LOSS * np.sum(problem_set.y**2, axis=(1, 2))

    def _tabulate(self, waves: int, wavenumbers: FloatArray, growth: FloatArray) -> dict[str, FloatArray]:
        """Build the transforms as dense matrices and the coefficients of the scheme, in float64.

        The state is (mean, cosines, sines), of length 2 waves + 1, and rows multiply from the left.
        """
        phase = np.outer(wavenumbers, self.grid)
        synthesise = np.concatenate([np.cos(phase), np.sin(phase[1:])])
        analyse = synthesise.T * (2 / self.points)
        analyse[:, 0] /= 2
        derivative = np.zeros((2 * waves + 1, 2 * waves + 1))
        cosine, sine = np.arange(1, waves + 1), np.arange(waves + 1, 2 * waves + 1)
        derivative[cosine, sine], derivative[sine, cosine] = -wavenumbers[1:], wavenumbers[1:]
        scheme = _scheme(np.concatenate([growth, growth[1:]]), self.dt)
        transforms = {"synthesise": synthesise, "analyse": analyse, "advect": -0.5 * analyse @ derivative}
        return transforms | scheme | {"force": (self.force @ analyse)[None]}


def _scheme(growth: FloatArray, dt: float) -> dict[str, FloatArray]:
    """Return the coefficients of fourth-order exponential time differencing for the linear rates ``growth``."""
    one, two, three = _phi(growth * dt)
    return {
        "decay": np.exp(growth * dt),
        "half_decay": np.exp(growth * dt / 2),
        "half_step": dt / 2 * _phi(growth * dt / 2)[0],
        "weight_first": dt * (one - 3 * two + 4 * three),
        "weight_inner": dt * (2 * two - 4 * three),
        "weight_last": dt * (4 * three - two),
    }


def _phi(z: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return (e^z - 1) / z and its two successors as means over a unit circle around z, where nothing cancels.

    The functions are entire, so the mean over the circle is their value at z; 32 points of the upper half give all digits.
    """
    circle = z[:, None] + np.exp(1j * np.pi * (np.arange(32) + 0.5) / 32)
    one = (np.exp(circle) - 1) / circle
    two = (one - 1) / circle
    three = (two - 0.5) / circle
    return one.real.mean(axis=1), two.real.mean(axis=1), three.real.mean(axis=1)


def _excess_amplification(growth: FloatArray, wavenumbers: FloatArray, dt: float) -> float:
    """Largest factor per step by which a mode carried at ``_SPEED`` outgrows both itself in the equation and 1."""
    scheme = _scheme(growth, dt)
    speed = -1j * wavenumbers * _SPEED
    half = scheme["half_decay"] + scheme["half_step"] * speed
    third = scheme["half_decay"] + scheme["half_step"] * speed * half
    last = scheme["half_decay"] * half + scheme["half_step"] * speed * (2 * third - 1)
    slopes = scheme["weight_first"] + scheme["weight_inner"] * (half + third) + scheme["weight_last"] * last
    factor = scheme["decay"] + speed * slopes
    return float(np.max(np.abs(factor) / np.maximum(1.0, scheme["decay"])))
