from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kerasjoint import Status
from kerasjoint.methods.stopping import Stagnation, stalled_status


def iterations_until_it_ends(gains: NDArray[np.float64], loss: float = 2000.0) -> int | None:
    """Feed the gains one by one; return after how many iterations they are called stagnation."""
    stagnation = Stagnation(np.array([loss]))
    for k, gain in enumerate(gains, start=1):
        loss -= gain
        if stagnation.update(np.array([loss]), np.array([True]))[0]:
            return k
    return None


def test_five_iterations_without_a_gain_are_the_end() -> None:
    assert iterations_until_it_ends(np.zeros(20)) == 5
    assert iterations_until_it_ends(np.r_[1.0, np.zeros(20)]) == 6
    assert iterations_until_it_ends(1e-8 * 0.5 ** np.arange(20)) == 6, "the first gains more than zero"


def test_gains_in_the_last_digits_end_where_they_do_not_grow() -> None:
    noise = np.random.default_rng(0).uniform(1e-10, 1e-8, 100)
    ended = iterations_until_it_ends(noise)
    assert ended is not None
    assert ended <= 20


def test_gains_that_grow_are_waited_for() -> None:
    """Kuramoto-Sivashinsky at the bound of beta: thirteen iterations from 1e-13 of the loss to a step down."""
    assert iterations_until_it_ends(2e-10 * 2.2 ** np.arange(13)) is None


def test_instances_count_for_themselves_and_only_where_they_moved() -> None:
    stagnation, loss = Stagnation(np.full(3, 10.0)), np.full(3, 10.0)
    for k in range(5):
        loss[1] -= 1.0
        ended = stagnation.update(loss, np.array([True, True, k > 0]))
    assert ended.tolist() == [True, False, False]
    stagnation.keep(~ended)
    assert stagnation.update(loss[1:], np.array([True, True])).tolist() == [False, True]


def test_what_stalled_on_a_slope_has_failed() -> None:
    found = stalled_status(np.array([1e-5, 1e-3]))
    assert found.tolist() == [Status.PRECISION, Status.FAILED]
