"""How sure it is that an instance's best minimum is the lowest: minima that independent descents found, and odds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, gammaincinv  # scipy.stats takes most of a second to import

FloatArray = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]

# An instance is confirmed if a better minimum was missed with at most this probability.
CONFIRMED = 0.05
# Of the median loss at the guess: smaller differences count as none, and so small a sum of squares as zero.
NEGLIGIBLE, ZERO = 1e-9, 1e-12
# Fewer instances tell nothing about each other.
FEWEST = 8
# The noise is judged by the instance that this share serves better: one that is solved even if most are not.
SERVED_BETTER = 0.02
# Without residuals: a solved instance has up to so many times the loss of that one.
RATIO = 1.5
# An instance clearly solved, by its own descents.
CLEARLY = 0.1
# The share of solved instances whose loss is expected far above the noise of others: their noise may differ.
EXCEEDING = 0.05


@dataclass(frozen=True, eq=False)
class Minima:
    """The distinct minima found, k in all, by instance and then by loss.

    Attributes
    ----------
    instance
        Of which instance each is, (k,).
    z
        Where it lies, in normalised coordinates (k, d).
    loss
        Its loss, (k,).
    hits
        How many descents ended there, (k,).
    """

    instance: NDArray[np.intp]
    z: FloatArray
    loss: FloatArray
    hits: Counts


@dataclass(frozen=True, eq=False)
class Confirmation:
    """What independent descents say about the best minimum of each of n instances.

    Attributes
    ----------
    starts
        How many descents an instance had, (n,).
    hits
        How many of them ended in its best minimum, (n,).
    missed
        The probability that a better minimum was missed, (n,); see ``confirm``.
    minima
        The distinct minima.
    """

    starts: Counts
    hits: Counts
    missed: FloatArray
    minima: Minima

    @property
    def confirmed(self) -> Mask:
        """Where a better minimum was missed with a probability of at most 5 %, (n,).

        A minimum found only once counts as confirmed if nothing can be lower.
        """
        return (self.missed <= CONFIRMED) & ((self.hits > 1) | (self.missed == 0))


def noise_tail(loss: FloatArray, residuals: int, at_guess: float) -> FloatArray:
    """Return how probable, for a solved instance, a loss at least as high as that of each instance is, (n,).

    A solved instance's sum of squares is the noise's: a multiple of a chi-square number with as many degrees of freedom
    as there are ``residuals``, whose size follows from the best 2 % of all instances. ``residuals`` = 0, for an
    objective that is no sum of squares: 1 up to 1.5 times the loss of the best ones, and 0 above. With fewer than eight
    instances nothing is known: 1.

    Example
    -------
    >>> looks_unsolved = noise_tail(solution.loss, residuals=256, at_guess=25.0) < 0.1
    """
    if np.isfinite(loss).sum() < FEWEST:
        return np.ones(len(loss))
    rank = int(np.ceil(SERVED_BETTER * len(loss)))
    served = float(np.partition(loss, rank - 1)[rank - 1])
    floor = NEGLIGIBLE * at_guess
    if not residuals:
        return (loss <= served + (RATIO - 1) * abs(served) + floor).astype(np.float64)
    scale = (served + floor) / (2 * gammaincinv(residuals / 2, rank / (len(loss) + 1)))
    return chdtrc(residuals, (loss + floor) / scale if scale > 0 else loss)


def confirm(
    starts: Counts, minima: Counts, several: Mask, wrong: FloatArray, loss: FloatArray, tail: FloatArray, zero: float
) -> FloatArray:
    """Return the probability that a better minimum than the best one was missed, for each of n instances.

    For itself, an instance in which ``starts`` independent descents from one distribution ended in ``minima`` different
    minima has missed a better one with probability minima / (starts - 1): Boender and Rinnooy Kan (1987, Mathematical
    Programming 37, 59-80) give the posterior of their number k, and the best of k is among those found with probability
    minima / k if ranks say nothing about basins. Two facts about the other instances, which share the simulator, change
    these odds. How often does an instance have several minima at all, if this one showed one only? And how does its
    loss compare: how many wrong minima are as low as this, and how many right ones as high? Shares are estimated by
    Laplace's rule of succession.

    Where the objective is a sum of squares nothing is below zero, and so no better minimum exists at ``zero``.

    Parameters
    ----------
    starts, minima
        Of one distribution of starts, (n,).
    several
        Which instances have shown several minima, whatever the starts, (n,).
    wrong
        Losses of all minima that are not the best of their instance, (k,).
    loss
        The best loss of each instance, (n,).
    tail
        What ``noise_tail`` says of it, (n,).
    zero
        What counts as zero; minus infinity if there is no lower bound.

    Example
    -------
    >>> one = np.array([9])
    >>> confirm(one, one // 9, one > 9, np.zeros(0), np.array([2.5]), np.ones(1), -np.inf)    # alone: 1 of 8
    array([0.125])
    """
    known = starts >= minima + 2
    missed = np.where(known, minima / np.maximum(starts - 1, 1), 1.0)
    with np.errstate(divide="ignore"):
        odds = missed / (1 - missed)
    if np.isfinite(loss).sum() >= FEWEST:
        tried = starts >= 3
        share = _share(np.count_nonzero(several & tried), int(tried.sum()), 0.5)
        odds = np.where(several, odds, odds * share / (1 - share))
        as_low = np.searchsorted(np.sort(wrong), loss, side="right")
        clear = np.sort(loss[missed <= CLEARLY])
        as_high = len(clear) - np.searchsorted(clear, loss, side="left")
        right = _share(as_high, len(clear), np.maximum(tail, EXCEEDING))
        odds = odds * _share(as_low, len(wrong), 0.5) / right
    probability = np.where(np.isinf(odds), 1.0, odds / (1 + np.where(np.isinf(odds), 0.0, odds)))
    return np.where(loss <= zero, 0.0, np.where(np.isfinite(loss), probability, 1.0))


def _share(count: Any, total: int, prior: Any) -> Any:
    """Return the expected share of what happened ``count`` of ``total`` times, with two more at the prior's share."""
    return (count + 2 * prior) / (total + 2)
