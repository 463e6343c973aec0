"""Carbon dioxide: find trend and cycles in windows of the record of Mauna Loa."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.checks import check_draw, check_number
from kerasjoint.problem import Instances, InverseProblem
from kerasjoint.problem_set import ProblemSet
from kerasjoint.problems.noisy import prior_generator, truth_generator
from kerasjoint.unknown import Unknown

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]

WINDOW, HELD_OUT = 300, 75
CYCLES = 3
# In 1/year; the guess is spread over them, since cycles that are equal stay so.
SLOWEST, FASTEST, GUESS = 0.1, 4.0, (0.7, 1.7, 2.7)
# In ppm, ppm/year and ppm/year^2.
AMPLITUDE, LEVEL, RISE, RISE_SPREAD, BEND = 2.0, 1.0, 1.3, 0.5, 0.05
# Of the weekly values about a smooth curve, in ppm.
NOISE = 0.4


class CarbonDioxide(InverseProblem):
    """Find the trend and three cycles of unknown frequency in six years of measured carbon dioxide.

    ``c(t) = level + rise t + bend t^2 + sum_k (a_k cos(2 pi f_k t) + b_k sin(2 pi f_k t))``, k = 1, 2, 3

    Real data: the weekly means of the concentration in the air on Mauna Loa, Hawaii, from March 1958 to December 2001
    (Keeling and Whorf, 2004; in the public domain; 2225 weeks in ``weekly.csv`` beside this file). An instance is a
    window of 300 weeks with data, chosen at random, of which 75, chosen at random too, are held out. ``y`` is the
    concentration in the other 225, less their mean, (n, 225), in ppm. The condition is ``time``, (n, 225), in years
    from the middle of the window, and ``first``, (n,), the number of the window's first week in the record.

    Parameters
    ----------
    tolerance
        Root mean square error, in ppm, that predictions of the weeks held out may have in a solution.

    Notes
    -----
    *Unknowns*: ``frequency``, (3,), between 0.05 and 5 per year; ``cosine`` and ``sine``, (3,) each, in
    ppm; ``level``, ``rise`` and ``bend``, in ppm, ppm/year and ppm/year^2. Priors: frequencies uniform from 0.1 to 4
    per year; the others normal, with deviation 2 ppm for a and b, 1 for the level, 0.5 about a rise of 1.3, and 0.05
    for the bend. Nobody knows the true unknowns, so a problem set has no truth. ``sample_training`` simulates: unknowns
    from the prior, times of real windows, white noise of 0.4 ppm.

    *Solved* is a matter of prediction: the weeks held out, which no method sees, are predicted with a root mean square
    error of at most 0.55 ppm. With frequencies fixed at 1 and 2 per year, linear least squares reaches 0.44 ppm (median
    of 40 windows; 90 % below 0.52); with 1 per year alone, at best 0.59. So it takes the season's second harmonic, of
    0.8 ppm, beside its first, of 3 ppm. Weather makes a few windows unsolvable.

    *Landscape*: that of line spectra. In six years a cycle is felt within 0.15 per year of its frequency; elsewhere the
    gradient leads to a side lobe, or to a fit of the noise.

    *Baseline*. ``python tests/validation/starts.py carbon-dioxide --n 32 --seed 0 --starts 100``, share solved by
    L-BFGS:

    =============================================  ======
    start                                          seed 0
    =============================================  ======
    guess, 200 or 1500 iterations                  0.00
    1500 evaluations, starts from the prior        0.28
    ``MultiStart(1500)``                           0.12
    100 random starts: of the starts               0.04
    100 random starts: instances, by at least one  1.00
    =============================================  ======

    *References*: C. D. Keeling and T. P. Whorf, "Atmospheric CO2 concentrations derived from flask air samples at sites
    in the SIO network", in Trends: A Compendium of Data on Global Change, CDIAC, Oak Ridge, 2004; P. Stoica and
    R. Moses, "Spectral Analysis of Signals", Prentice Hall, 2005, chapter 4.

    Example
    -------
    >>> problem_set = CarbonDioxide().sample(64, seed=0)
    >>> problem_set.y.shape
    (64, 225)
    """

    unknowns = (
        Unknown("frequency", (CYCLES,), lower=SLOWEST / 2, upper=FASTEST + 1, guess=GUESS),
        Unknown("cosine", (CYCLES,), guess=AMPLITUDE / 4, scale=AMPLITUDE),
        Unknown("sine", (CYCLES,), scale=AMPLITUDE),
        Unknown("level", scale=LEVEL),
        Unknown("rise", guess=RISE, scale=RISE_SPREAD),
        Unknown("bend", scale=BEND),
    )

    def __init__(self, tolerance: float = 0.55) -> None:
        self.tolerance = float(check_number("tolerance", tolerance, "a positive number", above=0))

    def forward(self, xi: dict[str, tf.Tensor], x: dict[str, tf.Tensor]) -> tf.Tensor:
        """Return the concentration at ``x["time"]``, (n, times)."""
        time = x["time"]
        angle = 2 * np.pi * xi["frequency"][:, None, :] * time[:, :, None]
        cycles = xi["cosine"][:, None, :] * tf.cos(angle) + xi["sine"][:, None, :] * tf.sin(angle)
        level, rise, bend = (xi[name][:, None] for name in ("level", "rise", "bend"))
        return level + (rise + bend * time) * time + tf.reduce_sum(cycles, axis=2)

    def prior(self, n: int, seed: int) -> FloatArray:
        """Draw unknowns, (n, 12)."""
        n, seed = check_draw(n, seed)
        return self._draw(n, prior_generator(seed))

    def sample(self, n: int, seed: int) -> ProblemSet:
        """Draw windows of the record, and the weeks of each that are held out; there is no truth."""
        n, seed = check_draw(n, seed)
        first, seen = _windows(n, truth_generator(seed))
        values = record()[1][seen]
        return ProblemSet(self, _condition(first, seen), values - values.mean(axis=1, keepdims=True))

    def sample_training(self, n: int, seed: int) -> ProblemSet:
        """Draw unknowns from the prior and simulate them with white noise, at the times of real windows."""
        n, seed = check_draw(n, seed)
        generator = np.random.default_rng(np.random.SeedSequence([seed, 5]))
        condition, truth = _condition(*_windows(n, generator)), self._draw(n, generator)
        signal = self.simulate(truth, condition)
        return ProblemSet(self, condition, signal + NOISE * generator.standard_normal(signal.shape), truth)

    def solved(self, loss: FloatArray, xi: FloatArray, problem_set: Instances) -> NDArray[np.bool_]:
        """Return for which instances the weeks held out are predicted within ``tolerance``."""
        return np.isfinite(loss) & (self.prediction_error(xi, problem_set) <= self.tolerance)

    def prediction_error(self, xi: FloatArray, problem_set: Instances) -> FloatArray:
        """Return the root mean square error of the predictions for the weeks held out in ppm, (n,), at ``xi`` (n, 12).

        Example
        -------
        >>> windows = CarbonDioxide().sample(4, seed=0)
        >>> CarbonDioxide().prediction_error(windows.guess, windows).shape
        (4,)
        """
        time, values = record()
        first = problem_set.x["first"].astype(np.intp)
        weeks = first[:, None] + np.arange(WINDOW)
        since = time[weeks] - _middle(first)[:, None]
        # A time of a week that was seen is one of the condition's, to the last bit.
        place = np.array(
            [np.isin(all_weeks, seen) for all_weeks, seen in zip(since, problem_set.x["time"], strict=True)]
        )
        mean = np.mean(values[weeks][place].reshape(len(first), -1), axis=1)
        held = ~place
        predicted = self.simulate(xi, {"time": since[held].reshape(len(first), -1), "first": problem_set.x["first"]})
        errors = predicted + mean[:, None] - values[weeks][held].reshape(len(first), -1)
        return np.sqrt(np.mean(errors**2, axis=1))

    def _draw(self, n: int, generator: np.random.Generator) -> FloatArray:
        frequency = generator.uniform(SLOWEST, FASTEST, (n, CYCLES))
        normal = generator.standard_normal((n, 2 * CYCLES + 3))
        spreads = np.repeat([AMPLITUDE, LEVEL, RISE_SPREAD, BEND], [2 * CYCLES, 1, 1, 1])
        means = np.repeat([0.0, RISE, 0.0], [2 * CYCLES + 1, 1, 1])
        return np.concatenate([frequency, means + spreads * normal], axis=1)


@cache
def record() -> tuple[FloatArray, FloatArray]:
    """Return the times in years since 1958 and the concentrations in ppm of all weeks with data, (2225,) each."""
    text = (files("kerasjoint.problems.carbon_dioxide") / "weekly.csv").read_text(encoding="utf-8")
    rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")]
    days = np.array([date for date, _ in rows], dtype="datetime64[D]") - np.datetime64("1958-01-01")
    return days.astype(np.float64) / 365.25, np.array([value for _, value in rows], dtype=np.float64)


def _windows(n: int, generator: np.random.Generator) -> tuple[Rows, Rows]:
    """Draw the first week of each window (n,), and the weeks of it that are seen (n, 225), in order."""
    first = generator.integers(len(record()[0]) - WINDOW + 1, size=n)
    shuffled = generator.permuted(np.tile(np.arange(WINDOW), (n, 1)), axis=1)
    return first, first[:, None] + np.sort(shuffled[:, HELD_OUT:], axis=1)


def _condition(first: Rows, seen: Rows) -> dict[str, FloatArray]:
    return {"time": record()[0][seen] - _middle(first)[:, None], "first": first.astype(np.float64)}


def _middle(first: Rows) -> FloatArray:
    time = record()[0]
    return (time[first] + time[first + WINDOW - 1]) / 2
