"""Instances of a batch must not change each other's loss, as a reduction over all axes makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from kerasjoint.errors import ArgumentError

# Step sizes that a batch shares change a loss by less than this share, means over a batch by more.
DIFFERENT = 1e-2


def check_separate(
    name: str, evaluate: Callable[..., Any], found: Any, xi: tf.Tensor, rows: tf.Tensor, *data: Any
) -> bool:
    """Refuse a problem in which the loss of an instance changes with the others; return whether that could be seen.

    It can once a batch has different unknowns and a finite loss. The first and the last such instance are evaluated
    again, in their places, among copies of themselves.

    Parameters
    ----------
    name
        What the message calls the problem.
    evaluate
        Maps ``xi``, ``rows`` and ``data`` to losses (m,), alone or with what else was computed.
    found
        What it returned for these arguments.

    Raises
    ------
    ArgumentError
        If that loss differs by more than one percent, and is the same each time for the same batch.
    """
    losses = tf.nest.flatten(found)[0].numpy()
    finite = np.flatnonzero(np.isfinite(losses))
    if not finite.size or not np.ptp(xi, axis=0).any():
        return False

    def again(k: int, chosen: Any) -> float:
        return float(tf.nest.flatten(evaluate(tf.gather(xi, chosen), tf.gather(rows, chosen), *data))[0][k])

    # Two, since one of them may have what a reduction over the batch takes: a maximum.
    for k in {int(finite[0]), int(finite[-1])}:
        alone = again(k, np.full(len(losses), k))
        if not np.isclose(alone, losses[k], rtol=DIFFERENT, atol=0) and again(k, np.arange(len(losses))) == losses[k]:
            expected = "losses of which none depends on the others of its batch: no reduction over the first axis"
            got = f"{losses[k]:.6g} for an instance among others, {alone:.6g} among copies of itself"
            raise ArgumentError(f"{name}, forward, residuals or misfit", expected, got)
    return True
