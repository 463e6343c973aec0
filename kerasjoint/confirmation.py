"""How sure it is that an instance's best minimum is the lowest: minima that independent descents found, and odds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, comb, gammaincinv  # scipy.stats takes most of a second to import

FloatArray = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]

# An instance is confirmed if a better minimum was missed with at most this probability.
CONFIRMED = 0.05
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
# So many wrong agreements beside those counted, of as many expected ones.
UNSURE = 0.5


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


@dataclass(frozen=True, eq=False)
class Others:
    """What the instances of a set say about each other.

    Attributes
    ----------
    wrong
        Losses of all minima that are not the best of their instance, (k,).
    clear
        Which instances are solved for all that their own random starts say, (n,).
    tail
        What ``noise_tail`` says of each, (n,).
    """

    wrong: FloatArray
    clear: Mask
    tail: FloatArray


def noise_tail(level: FloatArray, residuals: Counts, floor: FloatArray) -> FloatArray:
    """Return how probable, for a solved instance, a loss at least as high as that of each instance is, (n,).

    A solved instance's sum of squares is the noise's: a multiple of a chi-square number with as many degrees of freedom
    as there are ``residuals`` (n,), whose size follows from the best 2 % of all instances. Where these are 0, for an
    objective that is no sum of squares: 1 up to 1.5 times the loss of the best ones, and 0 above. With fewer than eight
    instances nothing is known: 1.

    Parameters
    ----------
    level
        The losses per residual, (n,).
    residuals
        Their number, (n,).
    floor
        Differences of levels that do not count, (n,): what is not above has no noise at all.

    Example
    -------
    >>> looks_unsolved = noise_tail(solution.loss / 256, np.full(n, 256), np.full(n, 1e-9)) < 0.1
    """
    if np.isfinite(level).sum() < FEWEST:
        return np.ones(len(level))
    nothing = level <= floor
    level, count = level + floor, np.maximum(residuals, 1)
    rank = int(np.ceil(SERVED_BETTER * len(level)))
    best = np.argpartition(level, rank - 1)[rank - 1]
    freedom, served = float(residuals[best]), float(level[best])
    if not freedom:
        return (level <= served + (RATIO - 1) * abs(served)).astype(np.float64)
    # The noise's variance, for which as many instances as these have so low a loss.
    variance = served * freedom / (2 * gammaincinv(freedom / 2, rank / (len(level) + 1)))
    return np.where(nothing, 1.0, chdtrc(count, level * count / variance)) if variance > 0 else np.ones(len(level))


def missed_by(starts: Counts, minima: Counts) -> FloatArray:
    """Return the probability that independent descents missed a minimum better than their best, by themselves alone.

    ``starts`` descents from one distribution ended in ``minima`` different minima, (n,) each. Boender and Rinnooy Kan
    (1987, Mathematical Programming 37, 59-80) give the posterior of the number k of minima; the best of k is among
    those found with probability minima / k, if ranks say nothing about basins. What is missing to 1 is, in the mean,
    minima / (starts - 1).

    Example
    -------
    >>> missed_by(np.array([9]), np.array([1]))
    array([0.125])
    """
    return np.where(starts >= minima + 2, minima / np.maximum(starts - 1, 1), 1.0)


def several_share(several: Mask, tried: Mask) -> float:
    """Return what share of instances has several minima, from those ``tried`` often enough to tell, (n,) each.

    With fewer than eight instances: a half.

    Example
    -------
    >>> several_share(np.array([True] * 3 + [False] * 7), np.ones(10, dtype=bool))    # (3 + 1) / (10 + 2)
    0.3333333333333333
    """
    if len(several) < FEWEST:
        return 0.5
    return float(_share(np.count_nonzero(several & tried), np.count_nonzero(tried), 0.5))


def too_sure(hits: Counts, best: Mask) -> float:
    """Return how much oftener descents that agree are wrong than ``missed_by`` says, from the instances themselves.

    Had an instance only half of its descents, how probably would all of these agree, and in a minimum that is not its
    best? That is summed over the instances, and compared with what ``missed_by`` would have said then. Without
    evidence: 1.

    Parameters
    ----------
    hits
        How many descents ended in each minimum, (n, k).
    best
        Which minima are the best of their instance, whichever starts found it, (n, k).

    Example
    -------
    >>> too_sure(np.array([[6, 0], [4, 2]]), np.array([[True, False], [False, True]]))    # (1/5 + 1/2) / (4/5 + 1/2)
    """
    starts = hits.sum(axis=1)
    half = starts // 2
    rows = half >= 2
    hits, best, starts, half = hits[rows], best[rows], starts[rows], half[rows]
    agree = comb(hits, half[:, None]) / comb(starts, half)[:, None]
    wrong = np.where(best, 0.0, agree).sum()
    expected = (agree.sum(axis=1) * missed_by(half, np.ones_like(half))).sum()
    return float((wrong + UNSURE) / (expected + UNSURE))


def confirm(own: FloatArray, loss: FloatArray, zero: FloatArray, others: Others) -> FloatArray:
    """Return the probability that a better minimum than the best one was missed, for each of n instances.

    What an instance's own descents say is changed by how its loss compares with those of the others, which share the
    simulator: how many wrong minima are as low as this, and how many right ones as high? Shares are estimated by
    Laplace's rule of succession.

    Where the objective is a sum of squares nothing is below zero, and so no better minimum exists at ``zero``.

    Parameters
    ----------
    own
        The odds that each instance's own descents give, (n,).
    loss
        The best loss of each instance, (n,).
    zero
        What counts as zero, (n,); minus infinity if there is no lower bound.
    others
        What the set says.

    Example
    -------
    >>> confirm(np.array([0.1]), np.array([2.5]), np.array([-np.inf]), others)
    """
    odds = own
    if np.isfinite(loss).sum() >= FEWEST:
        as_low = np.searchsorted(np.sort(others.wrong), loss, side="right")
        by_level = own * _share(as_low, len(others.wrong), 0.5)
        right = np.maximum(others.tail, EXCEEDING)
        # Of what is clear, each counts by how probable it is in view of its loss.
        order = np.argsort(loss)
        weight = np.where(others.clear, 1 / (1 + by_level / right), 0.0)[order]
        as_high = np.cumsum(weight[::-1])[::-1][np.searchsorted(loss[order], loss, side="left")]
        odds = by_level / _share(as_high, weight.sum(), right)
    probability = np.where(np.isinf(odds), 1.0, odds / (1 + np.where(np.isinf(odds), 0.0, odds)))
    return np.where(loss <= zero, 0.0, np.where(np.isfinite(loss), probability, 1.0))


def odds_of(probability: Any) -> Any:
    """Return p / (1 - p)."""
    with np.errstate(divide="ignore"):
        return probability / (1 - probability)


def _share(count: Any, total: Any, prior: Any) -> Any:
    """Return the expected share of what happened ``count`` of ``total`` times, with two more at the prior's share."""
    return (count + 2 * prior) / (total + 2)
