"""Layered ground: find the wave speeds of a stack of layers from the echo of a pulse."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.checks import check_draw, check_number
from kerasjoint.errors import ArgumentError
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.problems.noisy import observe, prior_generator, truth_generator
from kerasjoint.time_loop import Parameters, integrate
from kerasjoint.unknown import Unknown

FloatArray = NDArray[np.float64]
State = tuple[tf.Tensor, ...]

LAYERS = 16
THICKNESS = 25.0
WATER, BEDROCK = 1500.0, 4000.0
TREND = np.linspace(1800.0, 3000.0, LAYERS)
SAMPLES = 192
INTERVAL = 0.0025
LOWEST, HIGHEST = 1 / (SAMPLES * INTERVAL), 0.5 / INTERVAL
# In deviations of the logarithm of the speed.
PRIOR_REACH, BOUNDS_REACH = 3.0, 3.5
# Of the pulse, in periods of its dominant frequency, and of its spectrum, in dominant frequencies.
DELAY, BAND = 1.5, 3.2


class LayeredGround(InverseProblem):
    """Find the wave speeds of 16 layers under the sea floor from the echo of a pulse.

    One-dimensional waveform inversion at normal incidence. Pressure p and velocity v obey the acoustic wave equation
    ``p_t = -rho c^2 v_z``, ``rho v_t = -p_z`` with constant density and a speed c that is constant in each layer. A
    pulse comes down through the water (1500 m/s) and meets 16 layers of 25 m each over bedrock (4000 m/s), which
    absorbs what reaches it: nothing returns from below. ``y`` is the echo at the sea floor, (n, 192), every 2.5 ms from
    0 to 0.48 s, in units of the pulse's peak, with white noise. Water absorbs too: no echo from its surface. No
    condition.

    Parameters
    ----------
    frequency
        Dominant frequency of the pulse, a Ricker wavelet, in Hz. Its peak passes the sea floor after 1.5 periods.
        Half its period, 7 ms, is what an echo may be off without skipping a cycle.
    spread
        Standard deviation of each layer's logarithmic speed about the trend.
    noise
        Standard deviation of the white Gaussian noise on each sample. The echo's root mean square is 0.05.

    Notes
    -----
    *Scheme.* The exact reflectivity method: at each frequency, p and v are carried from the bedrock to the sea floor by
    the closed-form solution in every layer, all reverberations included; the reflection coefficient times the pulse's
    spectrum gives the echo. Frequencies reach 3.2 times the dominant one, and a period of 0.96 s folds back what
    rattles on for longer: together below 1e-3 of the pulse's peak, a tenth of the noise.

    *Unknown*: ``speed``, of each layer in m/s. Its prior is log-normal, independent for each layer, about a trend that
    rises from 1800 to 3000 m/s, cut off at three deviations; the bounds are at 3.5. The guess is the trend. *Solved*:
    the loss is at most that of the true speeds, plus 1e-9. The minimum beside it fits the noise as
    well and is lower, at 0.9 of it.

    *Landscape*: cycle skipping (Virieux and Operto, 2009). The echo of an interface comes 2 * 25 m / c later for every
    layer above: under the prior its time deviates by 5.6 ms after the first layer and by 17 ms at the bedrock, more
    than half a period of the pulse. Where it is off by more, the gradient pulls it towards the wrong cycle. Amplitudes
    tell the speeds from the top downwards, so the echo determines all of them: what is solved lies within
    0.02 of the truth (root mean square over the layers, in units of half the bounds' width).

    *Baseline*. ``python tests/validation/starts.py layered-ground --seed 0`` (and 1), n = 64, share solved by L-BFGS:

    =======================================  ======  ======
    start                                    seed 0  seed 1
    =======================================  ======  ======
    truth + 0.02, 25 iterations              1.00    1.00
    truth + 0.1, 200 iterations              0.58    0.45
    truth + 0.2, 200 iterations              0.20    0.16
    guess, 200 or 1500 iterations            0.00    0.00
    1500 evaluations, starts from the prior  0.05    0.02
    ``MultiStart(1500)``                     0.02    0.00
    =======================================  ======  ======

    The truth's neighbours are at white noise in normalised coordinates, where 0.1 is about 8 % of the speed. From the
    guess L-BFGS converges within some 60 iterations, to a median of 13 and 14 times the loss of the truth. At 60 Hz
    starts from the prior solved 5 and 9 %; at 50 Hz, with bounds from 1200 to 5000 m/s, 23 % (seed 0).

    *References*: B. L. N. Kennett, "Seismic Wave Propagation in Stratified Media", Cambridge University Press, 1983;
    A. Tarantola, "Inversion of seismic reflection data in the acoustic approximation", Geophysics 49, 1984; J. Virieux
    and S. Operto, "An overview of full-waveform inversion in exploration geophysics", Geophysics 74, 2009.

    Example
    -------
    >>> problem_set = LayeredGround().sample(64, seed=0)
    >>> problem_set.y.shape
    (64, 192)
    """

    chunk = 8

    def __init__(self, frequency: float = 70.0, spread: float = 0.2, noise: float = 0.01) -> None:
        for name, value in (("frequency", frequency), ("spread", spread)):
            check_number(name, value, "a positive number", above=0)
        if not LOWEST <= frequency <= HIGHEST:
            raise ArgumentError("frequency", f"{LOWEST:g} to {HIGHEST:g} Hz, which the samples resolve", frequency)
        if spread > 1:
            raise ArgumentError("spread", "at most 1, a factor of e", spread)
        if not check_number("noise", noise) >= 0:
            raise ArgumentError("noise", "a number not below 0", noise)
        self.frequency, self.spread, self.noise = float(frequency), float(spread), float(noise)
        reach = np.exp(BOUNDS_REACH * spread)
        self.unknowns = (Unknown("speed", (LAYERS,), lower=TREND / reach, upper=TREND * reach, guess=TREND),)
        period = 2 * SAMPLES * INTERVAL
        tones = np.arange(1, math.ceil(BAND * frequency * period) + 1) / period
        ratio = (tones / frequency) ** 2
        ricker = 4 / np.sqrt(np.pi) * ratio * np.exp(-ratio) / (frequency * period)
        phase = np.outer(2 * np.pi * tones, self.times - DELAY / frequency)
        self._angular: FloatArray = 2 * np.pi * tones
        self._cosines, self._sines = ricker[:, None] * np.cos(phase), ricker[:, None] * np.sin(phase)

    @property
    def times(self) -> FloatArray:
        """The times of the samples in s, (192,)."""
        return INTERVAL * np.arange(SAMPLES, dtype=np.float64)

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the echo without noise, (n, 192)."""
        dtype = xi["speed"].dtype
        angle = tf.constant(THICKNESS * self._angular, dtype)

        def bottom(parameters: Parameters) -> State:
            zero = tf.zeros_like(parameters["speed"][:, :1] * angle)
            return zero + BEDROCK, zero, zero + 1, zero, parameters["speed"]

        def ascend(state: State, _: Parameters) -> State:
            # Pressure over density p + i q and velocity v + i w, from the bottom of the last layer to its top.
            p, q, v, w, speeds = state
            speed = speeds[:, -1:]
            cos, sin = tf.cos(angle / speed), tf.sin(angle / speed)
            return (
                cos * p - speed * sin * w,
                cos * q + speed * sin * v,
                cos * v - sin / speed * q,
                cos * w + sin / speed * p,
                tf.roll(speeds, 1, axis=1),
            )

        p, q, v, w, _ = integrate(bottom, ascend, xi, LAYERS)
        # The reflection coefficient (p - c v) / (p + c v) of the whole stack, c being the speed in the water.
        up, up_i, down, down_i = p - WATER * v, q - WATER * w, p + WATER * v, q + WATER * w
        energy = down * down + down_i * down_i
        real, imaginary = (up * down + up_i * down_i) / energy, (up_i * down - up * down_i) / energy
        return real @ tf.constant(self._cosines, dtype) - imaginary @ tf.constant(self._sines, dtype)

    def prior(self, n: int, seed: int) -> FloatArray:
        """Draw unknowns around the trend, (n, 16): every layer's logarithm is normal, cut off at three deviations."""
        n, seed = check_draw(n, seed)
        return self._draw(n, prior_generator(seed))

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw speeds from the prior, and add white Gaussian noise to their echoes."""
        n, seed = check_draw(n, seed)
        return observe(self, self._draw(n, truth_generator(seed)), self.noise, seed)

    def _draw(self, n: int, generator: np.random.Generator) -> FloatArray:
        deviation = generator.standard_normal((n, LAYERS)).clip(-PRIOR_REACH, PRIOR_REACH)
        return TREND * np.exp(self.spread * deviation)
