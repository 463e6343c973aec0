"""Epidemic: find how the contact rate changed from the daily counts of new cases."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.checks import check_count, check_draw, check_number
from kerasjoint.errors import ArgumentError
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.problems.noisy import prior_generator, truth_generator
from kerasjoint.time_loop import Parameters, integrate
from kerasjoint.unknown import Unknown

FloatArray = NDArray[np.float64]

POPULATION = 1e6
# Contacts and recoveries per day; the logarithm of the first walks from knot to knot.
CONTACT, CONTACT_SPREAD, CONTACT_STEP = 0.4, 0.5, 0.5
RECOVERY, RECOVERY_SPREAD = 0.125, 0.2
INFECTED, INFECTED_SPREAD = 100.0, 1.0
REACH = 3.0
STEPS_A_DAY = 2
MOST_DAYS, MOST_KNOTS = 2000, 200
# Anscombe's: with it the root of a Poisson count has the variance 1/4 almost whatever its mean.
OFFSET = 0.375


class Epidemic(InverseProblem):
    """Find a changing contact rate, the recovery rate and the first infected from the daily counts of new cases.

    The SIR model of Kermack and McKendrick, in shares of a million people::

        s' = -b(t) s i,  i' = b(t) s i - r i,  s(0) = 1 - i(0)

    with the contact rate b in 1/day, whose logarithm is linear between 12 knots, equally spaced over 160 days.
    ``y`` is the number of new infections of each day, (n, 160), drawn from Poisson's distribution. No condition.

    Parameters
    ----------
    days
        How long is observed.
    knots
        How many knots the contact rate has.
    reported
        Share of the infections that are counted, known.

    Notes
    -----
    *Scheme.* The classical Runge-Kutta scheme of fourth order with two steps a day; a day's count is what
    the susceptibles lose in it. Residuals are twice the differences of the roots of observed and predicted counts, each
    plus 3/8 (Anscombe, 1948): of unit variance whatever the count is, so that the misfit behaves as chi squared.

    *Unknowns*: ``contact``, the logarithms of the contact rate at the knots; ``recovery`` and ``infected``, logarithms
    of the recovery rate in 1/day and of the number of infected people at t = 0. Their priors are normal: the first two
    are those of the task SIR of sbibm (Lueckmann et al., 2021), log 0.4 with deviation 0.5 for the contact rate at the
    first knot, log 1/8 with deviation 0.2 for the recovery; from knot to knot the logarithm of the contact rate returns
    half way to its mean and moves on by a normal step of deviation 0.43, which keeps its deviation of 0.5; 100 are
    infected at first, within a factor of e. All are cut off at three deviations; the bounds are at 3.5. The guess is
    the mean. *Solved*: the loss is at most that of the true unknowns, plus 1e-9. The minimum beside it fits the noise
    as well and is lower, at about 0.9 of it.

    *Landscape*: while few are infected cases grow exponentially, and a rate that is wrong early is multiplied into
    everything later: an epidemic that is over too soon, or never starts, does not feel the later rates.

    *Baseline*. ``python tests/validation/starts.py epidemic --n 32 --seed 0``, share solved by L-BFGS:

    ========================================  ======
    start                                     seed 0
    ========================================  ======
    truth + 0.02, 0.1 or 0.2, 200 iterations  1.00
    guess, 200 iterations                     0.94
    guess, 1500 iterations                    1.00
    1500 evaluations, starts from the prior   1.00
    ``MultiStart(1500)``                      1.00
    ========================================  ======

    So the difficulty is the conditioning, not the minima: L-BFGS uses up hundreds of iterations, since rates after the
    epidemic hardly matter.

    *References*: W. O. Kermack and A. G. McKendrick, "A contribution to the mathematical theory of epidemics", Proc.
    Royal Society A 115, 1927; J.-M. Lueckmann et al., "Benchmarking simulation-based inference", AISTATS 2021;
    F. J. Anscombe, "The transformation of Poisson, binomial and negative-binomial data", Biometrika 35, 1948.

    Example
    -------
    >>> problem_set = Epidemic().sample(64, seed=0)
    >>> problem_set.y.shape
    (64, 160)
    """

    chunk = 32

    def __init__(self, days: int = 160, knots: int = 12, reported: float = 1.0) -> None:
        self.days = check_count("days", days, most=MOST_DAYS)
        if check_count("knots", knots, "a whole number of at least 2", most=MOST_KNOTS) < 2:
            raise ArgumentError("knots", "a whole number of at least 2", knots)
        if check_number("reported", reported, "a number above 0, at most 1", above=0) > 1:
            raise ArgumentError("reported", "a number above 0, at most 1", reported)
        self.knots, self.reported = int(knots), float(reported)
        self.unknowns = (
            _logarithm("contact", (self.knots,), CONTACT, CONTACT_SPREAD),
            _logarithm("recovery", (), RECOVERY, RECOVERY_SPREAD),
            _logarithm("infected", (), INFECTED, INFECTED_SPREAD),
        )

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the expected count of each day, (n, days)."""
        dtype, dt = xi["contact"].dtype, 1 / STEPS_A_DAY
        knots = tf.range(self.knots, dtype=dtype)
        spacing = self.days / (self.knots - 1)

        def start(parameters: Parameters) -> tuple[tf.Tensor, ...]:
            infected = tf.exp(parameters["infected"]) / POPULATION
            return 1 - infected, infected, tf.zeros_like(infected)

        def step(state: tuple[tf.Tensor, ...], parameters: Parameters) -> tuple[tf.Tensor, ...]:
            susceptible, infected, time = state
            recovery = tf.exp(parameters["recovery"])

            def contact(time: tf.Tensor) -> tf.Tensor:
                weights = tf.nn.relu(1 - tf.abs(time[:, None] / spacing - knots))
                return tf.exp(tf.reduce_sum(weights * parameters["contact"], axis=1))

            def slope(rate: tf.Tensor, s: tf.Tensor, i: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                new = rate * s * i
                return -new, new - recovery * i

            before, between, after = (contact(time + part * dt) for part in (0.0, 0.5, 1.0))
            first = slope(before, susceptible, infected)
            second = slope(between, susceptible + dt / 2 * first[0], infected + dt / 2 * first[1])
            third = slope(between, susceptible + dt / 2 * second[0], infected + dt / 2 * second[1])
            fourth = slope(after, susceptible + dt * third[0], infected + dt * third[1])
            moved = (dt / 6 * (a + 2 * (b + c) + d) for a, b, c, d in zip(first, second, third, fourth, strict=True))
            lost, gained = moved
            return susceptible + lost, infected + gained, time + dt

        susceptible, _, _ = integrate(start, step, xi, self.days * STEPS_A_DAY, store_every=STEPS_A_DAY)
        before = tf.concat([start(xi)[0][:, None], susceptible[:, :-1]], axis=1)
        return self.reported * POPULATION * (before - susceptible)

    def residuals(self, prediction: tf.Tensor, y: tf.Tensor, x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return twice the differences of the roots of counts plus 3/8, (n, days)."""
        # Single precision can lose a count of less than one among a million susceptibles.
        return 2 * (tf.sqrt(tf.nn.relu(prediction) + OFFSET) - tf.sqrt(y + OFFSET))

    def prior(self, n: int, seed: int) -> FloatArray:
        """Draw unknowns, (n, knots + 2)."""
        n, seed = check_draw(n, seed)
        return self._draw(n, prior_generator(seed))

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw unknowns from the prior, and counts from Poisson's distribution."""
        n, seed = check_draw(n, seed)
        truth = self._draw(n, truth_generator(seed))
        generator = np.random.default_rng(np.random.SeedSequence([seed, 1]))
        counts = generator.poisson(np.maximum(self.simulate(truth), 0)).astype(np.float64)
        return ProblemSet(self, y=counts, truth=truth)

    def _draw(self, n: int, generator: np.random.Generator) -> FloatArray:
        normal = generator.standard_normal((n, self.knots + 2))
        walk = normal[:, : self.knots]
        for k in range(1, self.knots):
            walk[:, k] = CONTACT_STEP * walk[:, k - 1] + np.sqrt(1 - CONTACT_STEP**2) * walk[:, k]
        spreads = self.space.scale / (REACH + 0.5)
        return self.space.guess + spreads * normal.clip(-REACH, REACH)


def _logarithm(name: str, shape: tuple[int, ...], mean: float, spread: float) -> Unknown:
    middle, reach = np.log(mean), (REACH + 0.5) * spread
    return Unknown(name, shape, lower=middle - reach, upper=middle + reach, guess=np.full(shape, middle))
