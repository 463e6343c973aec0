"""Kuramoto-Sivashinsky's initial state: find it from later, partly observed, noisy states."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.checks import check_draw
from kerasjoint.errors import ArgumentError
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.problems.kuramoto_sivashinsky.exponential import coefficients, excess_amplification
from kerasjoint.problems.kuramoto_sivashinsky.problem import (
    advance,
    advance_with_tangents,
    derivative_factors,
    growth,
)
from kerasjoint.problems.kuramoto_sivashinsky.spectrum import Spectrum
from kerasjoint.problems.noisy import observe, prior_generator, truth_generator
from kerasjoint.problems.partly_observed import observation_steps
from kerasjoint.time_loop import Parameters, integrate
from kerasjoint.unknown import Unknown

FloatArray = NDArray[np.float64]

POINTS = 64
LENGTH = 60.0
# Of the climatology: what the state's deviation is.
DEVIATION = 1.3
SPIN_UP = 150.0
FASTEST, TOLERATED = 5.0, 1.01


class KuramotoSivashinskyState(InverseProblem):
    """Find the initial state of the Kuramoto-Sivashinsky equation from later, partial and noisy observations.

    ``u_t = -u_ss - u_ssss - u u_s``, periodic in s with the length 60, mean 0

    Strong-constraint data assimilation in a field: the model is exact, and the loss is the squared misfit of every
    fourth of 64 grid points at 20 times, ``y`` of shape (n, 20, 16). No condition. Everything is dimensionless.

    Parameters
    ----------
    window
        How long is observed.
    interval
        Time between observations, a divisor of ``window``; the first is one interval after the unknown state.
    every
        Of this many grid points the first is observed; a divisor of 64.
    noise
        Standard deviation of the white Gaussian noise on each observation. The state's is 1.3.
    dt
        Time step, a divisor of ``interval``.

    Notes
    -----
    *Scheme.* That of ``KuramotoSivashinsky``, with the 31 waves that 64 points carry, the fastest with k =
    3.2; the mean is removed from the state. It is refused where a wave carried at speed 5 would grow faster than the
    equation lets it.

    *Unknown*: ``state``, u at the 64 points, without bounds. Its prior is the climatology: white noise, left to itself
    for 150 units of time, which brings it onto the attractor. The guess is 0, the scale the climatological deviation.
    *Solved*: the loss is at most that of the true state, plus 1e-9. The minimum beside it fits the noise as well and is
    lower. Short waves die out before the first observation, so they are free; the waves below k = 1.5 are not.

    *Landscape*: six waves grow by themselves, and about 60 of length holds five to six chaotic cells; a small error
    grows e-fold in some 11 units of time (Edson et al., 2019). The longer the window, the more minima.

    *Baseline*. ``python tests/validation/starts.py kuramoto-sivashinsky-state --n 16 --seed 0``, solved by L-BFGS:

    =======================================  ======
    start                                    seed 0
    =======================================  ======
    truth + 0.02 scales, 25 iterations       1.00
    truth + 0.1 scales, 200 iterations       0.81
    truth + 0.2 scales, 200 iterations       0.69
    guess, 200 iterations                    0.06
    guess, 1500 iterations                   0.19
    1500 evaluations, starts from the prior  0.12
    ``MultiStart(1500)``                     0.06
    =======================================  ======

    *References*: R. A. Edson, J. E. Bunder, T. W. Mattner and A. J. Roberts, "Lyapunov exponents of the
    Kuramoto-Sivashinsky PDE", ANZIAM Journal 61, 2019; C. Pires, R. Vautard and O. Talagrand, "On extending the limits
    of variational assimilation in nonlinear chaotic systems", Tellus 48A, 1996.

    Example
    -------
    >>> problem_set = KuramotoSivashinskyState().sample(64, seed=0)
    >>> problem_set.y.shape
    (64, 20, 16)
    """

    unknowns = (Unknown("state", shape=(POINTS,), scale=DEVIATION, periodic=(0,)),)
    chunk = 16
    periodic = (1,)

    def __init__(
        self, window: float = 20.0, interval: float = 1.0, every: int = 4, noise: float = 0.1, dt: float = 0.25
    ) -> None:
        self._stride, self._times = observation_steps(window, interval, every, noise, dt, POINTS)
        self.window, self.interval, self.every = float(window), float(interval), int(every)
        self.noise, self.dt = float(noise), float(dt)
        self._spectrum = Spectrum((POINTS - 1) // 2)
        wavenumbers: FloatArray = 2 * np.pi * self._spectrum.modes.astype(np.float64) / LENGTH
        excess = excess_amplification(growth(wavenumbers), wavenumbers, self.dt, FASTEST)
        if not excess <= TOLERATED:
            expected = f"a step at which no wave carried at speed {FASTEST:g} grows faster than the equation lets it"
            raise ArgumentError("dt", expected, dt)
        self._scheme = coefficients(growth(wavenumbers), self.dt)
        analyse = self._spectrum.analyse(POINTS).reshape(*self._spectrum.modes.shape, POINTS)
        # The mean is conserved, and zero.
        analyse[self._spectrum.modes == 0] = 0.0
        self._analyse: FloatArray = analyse
        observed = 2 * np.pi * np.arange(0, POINTS, self.every) / POINTS
        self._synthesise: FloatArray = self._spectrum.evaluate(observed).reshape(-1, len(observed))

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the observed points at each observation time, (n, times, 64 / every)."""
        dtype, spectrum = xi["state"].dtype, self._spectrum
        scheme = {name: tf.constant(values[:, :, None], dtype) for name, values in self._scheme.items()}
        analyse = tf.constant(self._analyse.reshape(-1, POINTS), dtype)

        def initial(parameters: Parameters) -> tf.Tensor:
            flat = tf.matmul(analyse, parameters["state"], transpose_b=True)
            return tf.reshape(flat, (*spectrum.modes.shape, -1))

        def step(modes: tf.Tensor, _: Parameters) -> tf.Tensor:
            return advance(modes, scheme, lambda modes: -np.pi / LENGTH * spectrum.slope_of_square(modes))

        def linearized(
            modes: tf.Tensor, tangents: tf.Tensor, _: Parameters, __: Parameters
        ) -> tuple[tf.Tensor, tf.Tensor]:
            # The slope of u^2 has the derivative 2 (u w)_s in the direction w.
            strengths = -np.pi / LENGTH * derivative_factors(1 + tangents.shape[-1] // modes.shape[-1], dtype)
            return advance_with_tangents(
                modes, tangents, scheme, lambda both: strengths * spectrum.slope_of_products(both)
            )

        history = integrate(
            initial,
            step,
            xi,
            self._times * self._stride,
            store_every=self._stride,
            linearized=linearized,
            instances_last=True,
        )
        flat = tf.reshape(tf.transpose(history, (3, 0, 1, 2)), (-1, self._times, spectrum.modes.size))
        return tf.matmul(flat, tf.constant(self._synthesise, dtype))

    def prior(self, n: int, seed: int) -> FloatArray:
        """Draw states from the attractor, (n, 64): white noise of its deviation, left to itself for 150."""
        n, seed = check_draw(n, seed)
        return self._draw(n, prior_generator(seed))

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw initial states from the prior, and add white Gaussian noise to what is observed."""
        n, seed = check_draw(n, seed)
        return observe(self, self._draw(n, truth_generator(seed)), self.noise, seed)

    def _draw(self, n: int, generator: np.random.Generator) -> FloatArray:
        noise = DEVIATION * generator.standard_normal((n, POINTS))
        spin_up: FloatArray = KuramotoSivashinskyState(SPIN_UP, SPIN_UP, every=1).simulate(noise)
        return spin_up[:, -1]
