"""Instances of a batch must not change each other's loss, as a reduction over all axes makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError
from kerasjoint.unknown import UnknownSpace

Rows = NDArray[np.intp]

# Step sizes that a batch shares change a loss by less than this share, means over a batch by more; and by less than
# that share of the losses around.
DIFFERENT, DIFFERENT_AROUND = 1e-2, 1e-4
# How far the unknowns of the others are moved, in scales: all to one side, since means see that too.
LEAST_MOVED, MOST_MOVED = 0.5, 1.5
# How different the instances of a batch are: how much of them mixing up can be seen by.
SAME_INSTANCE, SAME_CONDITION, DIFFERENT_CONDITIONS = 1, 2, 3
MOST_KNOWN = 1000


class Separation:
    """Refuses problems in which the loss of an instance changes with the others of its batch.

    Parameters
    ----------
    name
        What the message calls the problem.
    space
        The unknowns.

    Example
    -------
    >>> separation = Separation("Decay", problem.space)
    >>> separation.check(evaluate, evaluate(xi, tf.constant(rows), x, y), xi, rows, x, y)
    """

    def __init__(self, name: str, space: UnknownSpace) -> None:
        self._name, self._space = name, space
        self._seen = 0
        # Batches that show no more than was seen, by their condition and whether their ends are one instance.
        self._known: set[tuple[int, bool]] = set()

    def check(
        self, evaluate: Callable[..., Any], found: Any, xi: tf.Tensor, rows: Rows, x: dict[str, tf.Tensor], y: Any
    ) -> None:
        """Look at a batch, if it is more different than those before and has a finite loss.

        The first and the last instance of finite loss are evaluated again, in their places, among copies of themselves
        whose unknowns are moved.

        Parameters
        ----------
        evaluate
            Maps ``xi``, ``rows``, ``x`` and ``y`` to losses (m,), alone or with what else was computed.
        found
            What it returned for these arguments.
        rows
            An array, since this is asked before every evaluation, and a tensor's items take a fifth of a millisecond.

        Raises
        ------
        ArgumentError
            If that loss differs by more than one percent, and is the same each time for the same batch.
        """
        if self._seen == DIFFERENT_CONDITIONS or len(rows) == 1:
            return
        known = (id(x), bool(rows[0] == rows[-1]))
        if known in self._known:
            return
        different = _difference(rows, x)
        losses = _losses(found)
        finite = np.flatnonzero(np.isfinite(losses))
        if self._seen < different and finite.size:

            def again(at: NDArray[Any], rows: Rows) -> NDArray[Any]:
                return _losses(evaluate(tf.constant(at), tf.constant(rows, tf.int32), x, y))

            # Two, since one of them may have what a reduction over the batch takes: a maximum.
            for k in {int(finite[0]), int(finite[-1])}:
                self._check(k, losses[k], again, xi.numpy(), rows)
            self._seen = different
        if self._seen >= different:
            if len(self._known) == MOST_KNOWN:
                self._known.clear()
            self._known.add(known)

    def _check(self, k: int, loss: float, evaluate: Callable[..., NDArray[Any]], xi: NDArray[Any], rows: Rows) -> None:
        at, space = xi[k], self._space
        away = space.scale * np.random.default_rng(0).uniform(LEAST_MOVED, MOST_MOVED, xi.shape)
        others = space.move_inside(np.where(space.upper - at >= at - space.lower, at + away, at - away))
        others[k] = at
        among = evaluate(others.astype(xi.dtype), np.full_like(rows, rows[k]))
        around = np.median(np.abs(among[np.isfinite(among)])) if np.isfinite(among[k]) else 0.0
        if np.isclose(among[k], loss, rtol=DIFFERENT, atol=DIFFERENT_AROUND * around):
            return
        if evaluate(xi, rows)[k] == loss:
            expected = "losses of which none depends on the others of its batch: no reduction over the first axis"
            got = f"{loss:.6g} for an instance among some others, {among[k]:.6g} among different ones"
            raise ArgumentError(f"{self._name}, forward, residuals or misfit", expected, got)


def _losses(found: Any) -> NDArray[Any]:
    return np.asarray(tf.nest.flatten(found)[0])


def _difference(rows: Rows, x: dict[str, tf.Tensor]) -> int:
    """Return how different the instances ``rows`` (m,) are, judged by the first, a middle and the last one.

    Without a condition, other instances are as different as any.
    """
    some = rows[[0, len(rows) // 2, -1]]
    if not np.ptp(some):
        return SAME_INSTANCE
    differ = not x or any(np.ptp(tf.gather(array, some), axis=0).any() for array in x.values())
    return DIFFERENT_CONDITIONS if differ else SAME_CONDITION
