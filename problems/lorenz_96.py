"""Lorenz-96: find the initial state of a chaotic system from observations of half of its variables."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.checks import check_count
from kerasjoint.errors import ArgumentError
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.time_loop import Parameters, integrate
from kerasjoint.unknown import Unknown

FloatArray = NDArray[np.float64]

SIZE = 40
FORCING = 8.0
MEAN, DEVIATION = 2.34, 3.64
DT = 0.05
LONGEST_DT = 0.06
SPIN_UP = 10.0


class Lorenz96(InverseProblem):
    """DOC"""

    unknowns = (Unknown("state", shape=(SIZE,), guess=MEAN, scale=DEVIATION),)
    chunk = 32
    periodic = (1,)

    def __init__(
        self, window: float = 2.0, interval: float = DT, every: int = 2, noise: float = 0.5, dt: float = DT
    ) -> None:
        for name, value in (("window", window), ("interval", interval), ("dt", dt)):
            if not 0 < value < np.inf:
                raise ArgumentError(name, "a positive number", value)
        if not noise >= 0:
            raise ArgumentError("noise", "a number not below 0", noise)
        if SIZE % check_count("every", every):
            raise ArgumentError("every", f"a divisor of {SIZE}", every)
        if dt > LONGEST_DT:
            raise ArgumentError("dt", f"at most {LONGEST_DT:g}, beyond which the scheme is inaccurate", dt)
        self.window, self.interval, self.every = float(window), float(interval), every
        self.noise, self.dt = float(noise), float(dt)
        self._stride = _ratio("dt", interval, dt, "interval")
        self._times = _ratio("interval", window, interval, "window")

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the observed variables at each observation time, (n, times, 40 / every)."""
        dt = self.dt

        def step(state: tf.Tensor, _: Parameters) -> tf.Tensor:
            first = _slope(state)
            second = _slope(state + dt / 2 * first)
            third = _slope(state + dt / 2 * second)
            fourth = _slope(state + dt * third)
            return state + dt / 6 * (first + 2 * (second + third) + fourth)

        states = integrate(
            lambda parameters: tf.transpose(parameters["state"]),
            step,
            xi,
            self._times * self._stride,
            store_every=self._stride,
            instances_last=True,
        )
        return tf.transpose(states[:, :: self.every], (2, 0, 1))

    def prior(self, n: int, seed: int) -> FloatArray:
        """Draw unknowns from the attractor, (n, 40): white noise of its mean and deviation, left to itself for 10."""
        generator = np.random.default_rng(np.random.SeedSequence(seed))
        noise = generator.standard_normal((check_count("n", n), SIZE))
        spin_up: FloatArray = Lorenz96(SPIN_UP, SPIN_UP, every=1).simulate(MEAN + DEVIATION * noise)
        return spin_up[:, -1]

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw initial states from the prior, and add white Gaussian noise to what is observed."""
        truth = self.prior(n, seed)
        signal = self.simulate(truth)
        generator = np.random.default_rng(np.random.SeedSequence([seed, 1]))
        return ProblemSet(self, y=signal + self.noise * generator.standard_normal(signal.shape), truth=truth)


def _slope(state: tf.Tensor) -> tf.Tensor:
    """Return the time derivative of states (40, n)."""
    ahead, behind, two_behind = (tf.roll(state, shift, axis=0) for shift in (-1, 1, 2))
    return (ahead - two_behind) * behind - state + FORCING


def _ratio(name: str, whole: float, part: float, of: str) -> int:
    """Return how many times ``part`` fits into ``whole``; refuse fractions."""
    count = round(whole / part)
    if count < 1 or abs(count * part - whole) > 1e-9 * whole:
        raise ArgumentError(name, f"a divisor of {of} = {whole:g}", part)
    return count
