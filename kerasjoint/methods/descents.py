"""Where descents of the same instances ended: distinct minima, and how often each was found from which starts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kerasjoint.confirmation import (
    CLEARLY,
    FEWEST,
    SERVED_BETTER,
    Confirmation,
    Minima,
    Others,
    confirm,
    missed_by,
    noise_tail,
    odds_of,
    several_share,
    too_sure,
)
from kerasjoint.loss_scale import LossScale
from kerasjoint.solution import Solution, Status

FloatArray = NDArray[np.float64]
Rows = NDArray[np.intp]
Mask = NDArray[np.bool_]

# Ends of descents are one minimum if the losses are the same, and no coordinate differs by more than CLOSE or no
# unknown by more than CLOSE_UNKNOWN of its scale: at a bound the coordinate goes on, but the unknown stays.
CLOSE, CLOSE_UNKNOWN = 1e-2, 1e-4
MOST_KEPT = 32
# Distributions that starts come from.
RANDOM, PROPOSED = range(2)
# Random starts that tell whether an instance has several minima.
TRIED = 3
SOURCES = (RANDOM,), (PROPOSED,), (RANDOM, PROPOSED)


class Descents:
    """The distinct minima of n instances, in slots of the instance, and counts of the descents that ended there.

    Descents that found no way to go, or no finite loss, count as starts but not as minima. Where one failed on its way
    counts as another minimum, which makes it harder to confirm the best.

    Parameters
    ----------
    from_guess
        Descents from the guess, a solution of all n instances: the first to be added.
    at_guess
        The losses there, (n,).

    Attributes
    ----------
    scale
        What differences of losses mean.

    Example
    -------
    >>> descents = Descents(LockstepLBFGS().solve(problem_set), problem_set.objective(problem_set.guess))
    >>> descents.add(rows, LockstepLBFGS().solve(problem_set[rows], start=starts), RANDOM)
    >>> descents.confirmation(best_loss).hits
    """

    def __init__(self, from_guess: Solution, at_guess: FloatArray) -> None:
        problem_set = from_guess.problem_set
        n, size = len(problem_set), problem_set.space.size
        self.scale = LossScale.of(problem_set, at_guess, from_guess.loss)
        self._starts = np.zeros(n, dtype=np.int64)
        self._apart = CLOSE_UNKNOWN * problem_set.space.scale
        self._z, self._xi, self._loss = np.zeros((n, 1, size)), np.zeros((n, 1, size)), np.full((n, 1), np.inf)
        self._hits = np.zeros((n, 1, 2), dtype=np.int64)
        # Minima beyond those kept.
        self._more = np.zeros((n, 2), dtype=np.int64)
        self.add(np.arange(n), from_guess, RANDOM)

    def add(self, rows: Rows, found: Solution, source: int) -> None:
        """Add descents of the instances ``rows`` (m,), an instance perhaps several times, from starts of a source."""
        np.add.at(self._starts, rows, 1)
        ended = np.isfinite(found.loss) & (found.status != Status.STATIONARY)
        for part in _each_once(rows[ended]):
            z, xi, loss = (array[ended][part] for array in (found.z, found.xi, found.loss))
            self._add(rows[ended][part], z, xi, loss, source)

    def confirmation(self, best: FloatArray) -> Confirmation:
        """Return what is known, given the best loss of each instance, (n,)."""
        filled, scale = self._filled, self.scale
        lowest = filled & scale.near(self._loss, best[:, None])
        wrong = filled & ~lowest
        several = np.asarray(wrong.any(axis=1) | self._more.any(axis=1))
        tried = self._hits[..., RANDOM].sum(axis=1) + self._more[:, RANDOM] >= TRIED
        common = odds_of(several_share(several, tried))
        alone = {sources: self._alone(sources, lowest, several, common) for sources in SOURCES}
        share = scale.comparable(best)
        # Proposals go where the network expects the minimum: that they agree says nothing of other instances.
        clear = alone[RANDOM,] <= CLEARLY
        others = Others((self._loss * share[:, None])[wrong], clear, self._tail(best, share))
        missed = np.ones(len(best))
        for odds in alone.values():
            missed = np.minimum(missed, confirm(odds, best * share, scale.zero * share, others))
        hits = np.where(lowest, self._hits.sum(axis=2), 0).sum(axis=1)
        return Confirmation(self._starts.copy(), hits, missed, self._minima())

    def _alone(self, sources: tuple[int, ...], lowest: Mask, several: Mask, common: float) -> FloatArray:
        """Return the odds that descents from these sources alone give, (n,); infinite where none found the lowest.

        ``common`` are the odds that an instance has several minima at all.
        """
        hits, more = self._hits[..., sources].sum(axis=2), self._more[:, sources].sum(axis=1)
        starts, found = hits.sum(axis=1) + more, (lowest & (hits > 0)).any(axis=1)
        odds = odds_of(missed_by(starts, (~lowest & (hits > 0)).sum(axis=1) + more + 1))
        factor = max(common, too_sure(np.column_stack([hits, more]), np.pad(lowest, ((0, 0), (0, 1)))))
        return np.where(found, np.where(several, odds, odds * factor), np.inf)

    def tail(self, best: FloatArray) -> FloatArray:
        """Return how probable losses as high as these are for solved instances, (n,)."""
        return self._tail(best, self.scale.comparable(best))

    def _tail(self, best: FloatArray, share: FloatArray) -> FloatArray:
        return noise_tail(best * share, self.scale.residuals, self.scale.floor * share)

    @property
    def knows_noise(self) -> bool:
        """Whether instances tell each other what a solved one's loss may be."""
        return bool(self.scale.residuals.any()) and len(self._starts) >= FEWEST

    def served(self, best: FloatArray) -> FloatArray:
        """Return a loss that few instances are below, as it would be for each of them, (n,)."""
        share = self.scale.comparable(best)
        return np.quantile(best * share, SERVED_BETTER, method="inverted_cdf") / share

    @property
    def _filled(self) -> Mask:
        return np.asarray(self._hits.any(axis=2))

    def _minima(self) -> Minima:
        order = np.argsort(self._loss, axis=1, kind="stable")
        instance, place = np.nonzero(np.take_along_axis(self._filled, order, axis=1))
        slot = order[instance, place]
        hits = self._hits[instance, slot].sum(axis=1)
        return Minima(instance, self._z[instance, slot], self._loss[instance, slot], hits)

    def _add(self, rows: Rows, z: FloatArray, xi: FloatArray, loss: FloatArray, source: int) -> None:
        """Add one descent of each of the instances ``rows``."""
        filled = self._filled[rows]
        close = np.abs(self._z[rows] - z[:, None]) <= CLOSE * np.maximum(np.abs(z), 1)[:, None]
        close |= np.abs(self._xi[rows] - xi[:, None]) <= self._apart
        same = filled & close.all(axis=2) & self.scale.near(self._loss[rows], loss[:, None], rows)
        slot = np.where(same.any(axis=1), same.argmax(axis=1), filled.sum(axis=1))
        if (slot == self._loss.shape[1]).any() and self._loss.shape[1] < MOST_KEPT:
            self._grow()
        full = np.flatnonzero(slot == self._loss.shape[1])
        self._drop_worst(full[loss[full] < self._loss[rows[full]].max(axis=1)], rows, slot)
        kept = slot < self._loss.shape[1]
        np.add.at(self._more, (rows[~kept], source), 1)
        rows, slot = rows[kept], slot[kept]
        self._hits[rows, slot, source] += 1
        lower = loss[kept] < self._loss[rows, slot]
        for array, found in ((self._z, z), (self._xi, xi), (self._loss, loss)):
            array[rows[lower], slot[lower]] = found[kept][lower]

    def _drop_worst(self, better: Rows, rows: Rows, slot: Rows) -> None:
        """Make room for what is better than the worst minimum kept, of which only the count stays."""
        worst = self._loss[rows[better]].argmax(axis=1)
        self._more[rows[better]] += self._hits[rows[better], worst]
        self._hits[rows[better], worst], self._loss[rows[better], worst] = 0, np.inf
        slot[better] = worst

    def _grow(self) -> None:
        slots = self._loss.shape[1]
        self._z, self._xi = (np.pad(array, ((0, 0), (0, slots), (0, 0))) for array in (self._z, self._xi))
        self._loss = np.pad(self._loss, ((0, 0), (0, slots)), constant_values=np.inf)
        self._hits = np.pad(self._hits, ((0, 0), (0, slots), (0, 0)))


def _each_once(rows: Rows) -> Iterator[Rows]:
    """Split positions in ``rows`` into parts in which no instance comes twice."""
    order = np.argsort(rows, kind="stable")
    first = np.searchsorted(rows[order], rows[order], side="left")
    turn = np.empty_like(rows)
    turn[order] = np.arange(len(rows)) - first
    for number in range(int(turn.max(initial=-1)) + 1):
        yield np.flatnonzero(turn == number)
