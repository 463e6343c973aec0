"""Stagnation test and termination status."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kerasjoint.methods.lockstep import Rows
from kerasjoint.solution import Status

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Where the objective has kinks, a line search finds decreases in the last digits for hundreds of iterations.
STAGNATION = 1e-9
IDLE_ITERATIONS = 5
SMALL_GRADIENT = 1e-4


class Stagnation(Rows):
    """Finds which instances had five idle iterations since they last gained ``least_gain``, 1e-9, of their loss.

    Idle is an iteration that gains no more than the one before. Where gains grow, an optimiser leaves a plateau, such
    as a bound in normalised coordinates, with longer and longer steps: these are waited for.
    """

    def __init__(self, loss: FloatArray, least_gain: float = STAGNATION) -> None:
        self._least_gain = least_gain
        self._reference, self._previous = loss.copy(), loss.copy()
        self._gain = np.zeros(len(loss))
        self._idle = np.zeros(len(loss), dtype=int)

    def update(self, loss: FloatArray, moved: Mask) -> Mask:
        """Record the losses (m,) of instances after an iteration, where ``moved``; return where nothing happens."""
        gained = moved & (self._reference - loss > self._least_gain * np.abs(self._reference))
        self._reference = np.where(gained, loss, self._reference)
        gain = self._previous - loss
        idle = moved & ~(gain > self._gain)
        self._gain, self._previous = np.where(moved, gain, self._gain), np.where(moved, loss, self._previous)
        self._idle = np.where(gained, 0, self._idle + idle)
        return self._idle >= IDLE_ITERATIONS


def stalled_status(largest: FloatArray) -> NDArray[np.int8]:
    """Return the status of instances that find no decrease: ``PRECISION`` if the gradient is small, else ``FAILED``.

    ``largest`` is the largest component of the gradient over that at the start.
    """
    return np.where(largest <= SMALL_GRADIENT, Status.PRECISION, Status.FAILED).astype(np.int8)
