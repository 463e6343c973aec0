"""Lorenz-96: find the initial state of a chaotic system from observations of a quarter of its variables."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.checks import check_draw, check_number
from kerasjoint.errors import ArgumentError
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.problems.noisy import observe, prior_generator, truth_generator
from kerasjoint.problems.partly_observed import observation_steps
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
    """Find the initial state of the Lorenz-96 system from later, partial and noisy observations.

    ``d u_j / dt = (u_{j+1} - u_{j-2}) u_{j-1} - u_j + 8``, j = 1, ..., 40, periodic in j

    The 40 variables stand for a quantity at points of a circle of latitude; a unit of time is five days in Lorenz's
    reading. Everything is dimensionless. It is the textbook case of strong-constraint data assimilation (4D-Var without
    a background term): the model is exact, and the loss is the squared misfit of every fourth variable at 30 times,
    ``y`` of shape (n, 30, 10). No condition.

    Parameters
    ----------
    window
        How long is observed. Errors grow, and with them the number of minima: see the table.
    interval
        Time between observations, a divisor of ``window``; the first is one interval after the unknown state.
    every
        Of this many variables the first is observed; a divisor of 40.
    noise
        Standard deviation of the white Gaussian noise on each observation, 7 % of the variables' own deviation.
    dt
        Step of the classical Runge-Kutta scheme of fourth order, a divisor of ``interval``, at most 0.06. 0.05 is
        Lorenz's own; observations and predictions come from the same discrete map.

    Notes
    -----
    *Unknown*: ``state``, the 40 variables at t = 0, without bounds. Its prior is the climatology: white noise, left to
    itself for 10 units of time (50 days), which brings it onto the attractor. The guess is the climatological mean,
    2.34, the scale the climatological deviation, 3.64. *Solved*: the loss is at most that of the true state, plus 1e-9.
    The minimum beside it fits the noise as well and is lower, at 0.9 of it.

    *Landscape*: errors double in about 0.4 units of time (Lorenz and Emanuel, 1998); over the window a small one grows
    13-fold in a random direction, and 70-fold in the worst (medians). So the loss has ever more minima as the window
    becomes longer (Miller et al., 1994; Pires et al., 1996), in long valleys. Shares of 64 instances (seed 0) that
    L-BFGS solves from the true state plus white noise, in scales, and from the guess (the command below takes the
    constants as ``--options``; an instance more or less with the noise drawn):

    ======  =====  =====  ==========  =========  ==========  ===========
    window  every  noise  truth+0.02  truth+0.1  200 steps   1500 steps
    ======  =====  =====  ==========  =========  ==========  ===========
    1.5     4      0.25   1.00        0.81       0.02        0.08, chosen
    1.5     5      0.25   0.95        0.72       0.02        0.02
    2       4      0.25   0.91        0.53       0.00        0.05
    2       2      0.5    0.98        0.64       0.02        0.27 (2000)
    3       2      0.5    0.66        0.08       0.00        -
    ======  =====  =====  ==========  =========  ==========  ===========

    Twice the variables over a longer window make the valley of the truth narrower, while long descents from afar fail
    less often. At noise 1, every fourth variable leaves minima as low as the truth's far away from it. At 0.25 what is
    solved lies within 0.4 scales of it (root mean square over the variables), mostly within 0.15.

    *Baseline*. ``python tests/validation/starts.py lorenz-96 --seed 0`` (and 1), n = 64, share solved by L-BFGS:

    =======================================  ======  ======
    start                                    seed 0  seed 1
    =======================================  ======  ======
    truth + 0.02 scales, 50 iterations       1.00    0.98
    truth + 0.1 scales, 200 iterations       0.81    0.77
    truth + 0.2 scales, 200 iterations       0.58    0.39
    guess, 200 iterations                    0.02    0.00
    guess, 1500 iterations                   0.08    0.03
    1500 evaluations, starts from the prior  0.02    0.02
    ``MultiStart(1500)``                     0.02    0.00
    =======================================  ======  ======

    The median loss from the guess is 28 and 32 times that of the truth after 200 iterations and still 18 and 20 times
    after 1500, and 15 to 21 times at the best of the random starts. From near the truth 25 iterations solve 97 %;
    L-BFGS goes on for hundreds with less and less gain, since curvatures differ by a factor of 3e5.

    *References*: E. N. Lorenz, "Predictability: a problem partly solved", ECMWF Seminar on Predictability, 1996;
    E. N. Lorenz and K. A. Emanuel, J. Atmos. Sci. 55, 1998; R. N. Miller, M. Ghil and F. Gauthiez, "Advanced data
    assimilation in strongly nonlinear dynamical systems", J. Atmos. Sci. 51, 1994; C. Pires, R. Vautard and
    O. Talagrand, "On extending the limits of variational assimilation in nonlinear chaotic systems", Tellus 48A, 1996.

    Example
    -------
    >>> problem_set = Lorenz96().sample(64, seed=0)
    >>> problem_set.y.shape
    (64, 30, 10)
    """

    unknowns = (Unknown("state", shape=(SIZE,), guess=MEAN, scale=DEVIATION, periodic=(0,)),)
    chunk = 32
    periodic = (1,)

    def __init__(
        self, window: float = 1.5, interval: float = DT, every: int = 4, noise: float = 0.25, dt: float = DT
    ) -> None:
        if check_number("dt", dt, "a positive number", above=0) > LONGEST_DT:
            raise ArgumentError("dt", f"at most {LONGEST_DT:g}, beyond which the scheme is inaccurate", dt)
        self._stride, self._times = observation_steps(window, interval, every, noise, dt, SIZE)
        self.window, self.interval, self.every = float(window), float(interval), every
        self.noise, self.dt = float(noise), float(dt)

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
        n, seed = check_draw(n, seed)
        return self._draw(n, prior_generator(seed))

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw initial states from the prior, and add white Gaussian noise to what is observed."""
        n, seed = check_draw(n, seed)
        return observe(self, self._draw(n, truth_generator(seed)), self.noise, seed)

    def _draw(self, n: int, generator: np.random.Generator) -> FloatArray:
        noise = generator.standard_normal((n, SIZE))
        spin_up: FloatArray = Lorenz96(SPIN_UP, SPIN_UP, every=1).simulate(MEAN + DEVIATION * noise)
        return spin_up[:, -1]


def _slope(state: tf.Tensor) -> tf.Tensor:
    """Return the time derivative of states (40, n)."""
    ahead, behind, two_behind = (tf.roll(state, shift, axis=0) for shift in (-1, 1, 2))
    return (ahead - two_behind) * behind - state + FORCING
