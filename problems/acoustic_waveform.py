"""Acoustic waveform inversion: find a map of the wave speed under the ground from recorded shots."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.checks import check_count, check_draw, check_number
from kerasjoint.errors import ArgumentError
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.problems.noisy import observe, prior_generator, truth_generator
from kerasjoint.time_loop import Parameters, integrate
from kerasjoint.unknown import Unknown

FloatArray = NDArray[np.float64]

CELLS, SPACING = 32, 20.0
# Cells beyond the map on each side that absorb, and how strongly at their outer end, in 1/s.
SPONGE, ABSORPTION = 10, 60.0
KNOTS = (12, 8)
# In m/s: the guess from the top down, and the bounds. Then the deviation of a layer's logarithm from that trend.
TOP, BOTTOM = 1800.0, 3200.0
SLOWEST, FASTEST = 1200.0, 4800.0
CONTRAST = 0.25
PRIOR_REACH = 1.5
# Layers between interfaces, and the amplitude of their folds as a share of the depth.
LAYERS, FOLD = 5, 0.08
STABLE = 0.6
# Of a source, so that the root mean square of the traces over the guess is about 1.
STRENGTH = 36.0
DELAY = 1.2
MOST_STEPS, MOST_SHOTS = 5_000, CELLS
# Samples a period of the dominant frequency; the spectrum ends at three times it.
SAMPLES_A_PERIOD = 8


class AcousticWaveform(InverseProblem):
    """Find the wave speed under an area 640 m wide and deep from what receivers at the top record of several shots.

    ``p_tt + 2 d p_t + d^2 p = c^2 (p_xx + p_zz + s)``

    Full waveform inversion in two dimensions in the manner of OpenFWI (Deng et al., 2022): layered and folded ground,
    sources and receivers in a line at the top. Pressure p is simulated on 32 x 32 cells of 20 m, with 10 more on every
    side where d > 0 absorbs it, at the top too. A shot s is a point source, a Ricker wavelet. ``y`` are the traces of
    16 receivers, in every second cell of the top row, (n, shots, times, 16), with white noise, in units of the root
    mean square of the traces over the guess. No condition.

    Parameters
    ----------
    shots
        How many sources, equally spaced in the top row.
    frequency
        Dominant frequency of the wavelet in Hz, at most 15. Its peak is after 1.2 periods.
    end
        How long is recorded, in s.
    dt
        Time step in s; at most 0.6 * 20 m / (4800 m/s), where the scheme is stable.
    noise
        Standard deviation of the white Gaussian noise on each sample.

    Notes
    -----
    *Scheme.* Second-order central differences in time and fourth-order ones in space; d rises as the square of the
    distance from the map, to 60/s. Traces are sampled about eight times in a period.

    *Unknown*: ``speed`` in m/s at 12 x 8 knots, depth by width, 96 numbers; between knots the speed is bilinear. Its
    bounds are 1200 and 4800 m/s. The guess is smooth, a trend from 1800 m/s at the top to 3200 m/s at the bottom. The
    prior has five layers: depths of interfaces uniform and sorted, each folded along the width by a sine of its own
    phase and of one half to one and a half waves, common to all, of at most 8 % of the depth; the logarithm of each
    layer's speed deviates by 0.25 from the trend at its middle, cut off at 1.5 deviations. The truth takes that map at
    the knots. *Solved*: the loss is at most that of the true speeds, plus 1e-9. The minimum beside it fits the noise as
    well and is lower.

    *Landscape*: cycle skipping (Virieux and Operto, 2009), as in ``LayeredGround``, here with folds and several
    directions. A reflection from the bottom takes about half a second; a speed that is off by 25 % shifts it by more
    than half a period of 10 Hz. Where little light falls, at the sides below, the speeds are ill determined.

    *Baseline* of the light twin, n = 8, seed 0 (``python tests/validation/starts.py acoustic-waveform-light --n 8
    --seed 0``, which takes hours): 200 iterations of L-BFGS solve 25 % from the guess, where they end at 0.95 to 3
    times the loss of the truth, and all from the truth with noise of 0.02 or 0.1 on each normalised coordinate. More
    starts were not measured: a descent takes half a minute of a core.

    *References*: C. Deng et al., "OpenFWI: large-scale multi-structural benchmark datasets for full waveform
    inversion", NeurIPS 2022; A. Tarantola, "Inversion of seismic reflection data in the acoustic approximation",
    Geophysics 49, 1984; J. Virieux and S. Operto, "An overview of full-waveform inversion in exploration geophysics",
    Geophysics 74, 2009.

    Example
    -------
    >>> problem_set = AcousticWaveform().sample(8, seed=0)
    >>> problem_set.y.shape
    (8, 4, 80, 16)
    """

    chunk = 2

    def __init__(
        self, shots: int = 4, frequency: float = 10.0, end: float = 1.0, dt: float = 0.0025, noise: float = 0.02
    ) -> None:
        for name, value in (("frequency", frequency), ("end", end), ("dt", dt)):
            check_number(name, value, "a positive number", above=0)
        if not check_number("noise", noise) >= 0:
            raise ArgumentError("noise", "a number not below 0", noise)
        if frequency > 15:
            raise ArgumentError("frequency", "at most 15 Hz, which the cells resolve", frequency)
        if dt > STABLE * SPACING / FASTEST:
            raise ArgumentError("dt", f"at most {STABLE * SPACING / FASTEST:g} s, where the scheme is stable", dt)
        if not 1 / frequency <= end <= MOST_STEPS * dt:
            raise ArgumentError("end", f"at least a period of the wavelet, and at most {MOST_STEPS:,} steps", end)
        self.shots = check_count("shots", shots, most=MOST_SHOTS)
        self.frequency, self.end, self.dt, self.noise = float(frequency), float(end), float(dt), float(noise)
        self._stride = max(1, round(1 / (SAMPLES_A_PERIOD * frequency * dt)))
        self._times = max(1, round(end / (dt * self._stride)))
        trend = np.linspace(TOP, BOTTOM, KNOTS[0])[:, None] + np.zeros(KNOTS)
        self.unknowns = (Unknown("speed", KNOTS, lower=SLOWEST, upper=FASTEST, guess=trend),)
        self._down, self._across = interpolation(CELLS, KNOTS[0]), interpolation(CELLS, KNOTS[1])
        self.sources: NDArray[np.intp] = np.round((np.arange(self.shots) + 0.5) * CELLS / self.shots - 0.5).astype(int)
        self.receivers: NDArray[np.intp] = np.arange(0, CELLS, 2)

    @classmethod
    def light(cls) -> AcousticWaveform:
        """Return a twin for quick runs: two shots, and less time."""
        return cls(shots=2, end=0.8)

    @property
    def times(self) -> FloatArray:
        """The times of the samples in s, (times,)."""
        return self.dt * self._stride * np.arange(1, self._times + 1, dtype=np.float64)

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the traces without noise, (n, shots, times, 16)."""
        dtype, dt = xi["speed"].dtype, self.dt
        down, across = tf.constant(self._down, dtype), tf.constant(self._across, dtype)
        damping = tf.constant(sponge(), dtype)
        size = CELLS + 2 * SPONGE
        place = np.zeros((self.shots, size, size))
        place[np.arange(self.shots), SPONGE, SPONGE + self.sources] = STRENGTH / SPACING**2
        shot = tf.constant(place, dtype)

        def initial(parameters: Parameters) -> tuple[tf.Tensor, ...]:
            speed = tf.matmul(tf.matmul(down, parameters["speed"]), across, transpose_b=True)
            square = tf.square(extend(speed) * dt)[:, None]
            still = 0 * square + tf.zeros((self.shots, 1, 1), dtype)
            return still, still, square, tf.zeros_like(speed[:, 0, 0])

        def step(state: tuple[tf.Tensor, ...], _: Parameters) -> tuple[tf.Tensor, ...]:
            now, before, square, time = state
            angle = tf.square(np.pi * (self.frequency * time - DELAY))
            wavelet = ((1 - 2 * angle) * tf.exp(-angle))[:, None, None, None]
            moved = (2 - tf.square(damping * dt)) * now - (1 - damping * dt) * before
            after = (moved + square * (laplacian(now) + wavelet * shot)) / (1 + damping * dt)
            return after, now, square, time + dt

        steps = self._times * self._stride
        pressure, _, _, _ = integrate(initial, step, xi, steps, store_every=self._stride)
        top = tf.gather(pressure[:, :, :, SPONGE], SPONGE + self.receivers, axis=3)
        return tf.transpose(top, (0, 2, 1, 3))

    def prior(self, n: int, seed: int) -> FloatArray:
        """Draw layered and folded ground at the knots, (n, 96)."""
        n, seed = check_draw(n, seed)
        return self._draw(n, prior_generator(seed))

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw ground from the prior, and add white Gaussian noise to its traces."""
        n, seed = check_draw(n, seed)
        return observe(self, self._draw(n, truth_generator(seed)), self.noise, seed)

    def _draw(self, n: int, generator: np.random.Generator) -> FloatArray:
        depth, width = np.meshgrid(np.linspace(0, 1, KNOTS[0]), np.linspace(0, 1, KNOTS[1]), indexing="ij")
        phase, waves = generator.uniform(0, 2 * np.pi, n), generator.uniform(0.5, 1.5, n)
        height = generator.uniform(0, FOLD, n)
        fold = np.sin(2 * np.pi * waves[:, None, None] * width + phase[:, None, None])
        unfolded = depth + height[:, None, None] * fold
        interfaces = np.sort(generator.uniform(0, 1, (n, LAYERS - 1)), axis=1)
        layer = np.sum(unfolded[:, None] > interfaces[:, :, None, None], axis=1)
        edges = np.concatenate([np.zeros((n, 1)), interfaces, np.ones((n, 1))], axis=1)
        trend = TOP + (BOTTOM - TOP) * (edges[:, 1:] + edges[:, :-1]) / 2
        deviation = generator.standard_normal((n, LAYERS)).clip(-PRIOR_REACH, PRIOR_REACH)
        speeds = trend * np.exp(CONTRAST * deviation)
        return np.take_along_axis(speeds, layer.reshape(n, -1), axis=1)


def interpolation(cells: int, knots: int) -> FloatArray:
    """Return the matrix (cells, knots) of linear interpolation, with knots in the first and the last cell."""
    place = np.linspace(0, knots - 1, cells)
    return np.maximum(0.0, 1 - np.abs(place[:, None] - np.arange(knots)))


def sponge() -> FloatArray:
    """Return the damping d in 1/s of every cell, those that absorb included."""
    place = np.arange(CELLS + 2 * SPONGE)
    beyond = np.maximum(np.maximum(SPONGE - place, place - (SPONGE + CELLS - 1)), 0) / SPONGE
    distance: FloatArray = np.hypot(beyond[:, None], beyond)
    return ABSORPTION * np.minimum(distance, 1.0) ** 2


def extend(speed: tf.Tensor) -> tf.Tensor:
    """Return speeds (n, 32, 32) with those of the edge repeated outwards."""
    edges = np.clip(np.arange(CELLS + 2 * SPONGE) - SPONGE, 0, CELLS - 1)
    spread = tf.constant(np.eye(CELLS)[edges], speed.dtype)
    return tf.matmul(tf.matmul(spread, speed), spread, transpose_b=True)


def laplacian(pressure: tf.Tensor) -> tf.Tensor:
    """Return p_xx + p_zz of fields (..., rows, columns) to fourth order, with zeros outside."""
    size = pressure.shape[-1]
    padded = tf.pad(pressure, [[0, 0]] * (pressure.shape.rank - 2) + [[2, 2], [2, 2]])
    rows, columns = padded[..., 2:-2], padded[..., 2:-2, :]
    total = -5.0 * pressure
    for offset, weight in ((0, -1 / 12), (1, 4 / 3), (3, 4 / 3), (4, -1 / 12)):
        total += weight * (rows[..., offset : offset + size, :] + columns[..., offset : offset + size])
    return total / SPACING**2
