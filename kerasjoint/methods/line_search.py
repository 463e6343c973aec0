"""A line search for many instances at once: each has its own bracket, and every call moves all of them one trial on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasjoint.methods.lockstep import Rows

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]
Trials = NDArray[np.void]

SUFFICIENT_DECREASE = 1e-4
CURVATURE = 0.9
SMALLEST_BRACKET = 0.1
EVALUATIONS = 20
BACK_OFF = 0.25
ROUNDING = 1e-12

_TRIAL = np.dtype([("step", "f8"), ("loss", "f8"), ("slope", "f8")])
_SEARCH = np.dtype(
    [
        ("start", _TRIAL),
        ("near", _TRIAL),
        ("far", _TRIAL),
        ("step", "f8"),
        ("wall", "f8"),
        ("width", "f8"),
        ("width_before", "f8"),
        ("first_stage", "?"),
        ("bracketed", "?"),
        ("evaluations", "i4"),
    ]
)


class LineSearch(Rows):
    """The strong-Wolfe search of Moré and Thuente (ACM Transactions on Mathematical Software 20, 1994) in lockstep.

    ``near`` is the best trial of an instance so far and ``far`` the other end of its bracket. A loss that is not finite
    is a wall: the search stays before it. Where two losses differ by rounding alone, the slopes tell the difference,
    which makes the conditions the approximate ones of Hager and Zhang (SIAM Journal on Optimization 16, 2005).

    Parameters
    ----------
    loss, slope
        At the start, (m,); slopes are negative. The first step is 1.

    Example
    -------
    >>> search = LineSearch(loss, slope)
    >>> improved, ended = search.advance(*evaluate(search.step))
    """

    def __init__(self, loss: FloatArray, slope: FloatArray) -> None:
        self._state = _begin(loss, slope)

    @property
    def step(self) -> FloatArray:
        """The step to evaluate next, (m,)."""
        return self._state["step"]

    @property
    def decreased(self) -> Mask:
        """Where the best trial so far decreases the loss sufficiently, (m,)."""
        near = self._state["near"]
        return (near["step"] > 0) & (near["loss"] <= _allowed(self._state["start"], near["step"]))

    def restart(self, rows: NDArray[np.intp], loss: FloatArray, slope: FloatArray) -> None:
        """Begin anew for the instances ``rows`` (k,), with their ``loss`` and ``slope`` (k,)."""
        self._state[rows] = _begin(loss, slope)

    def advance(self, loss: FloatArray, slope: FloatArray) -> tuple[Mask, Mask]:
        """Take in loss and slope (m,) at ``step``; return where this trial is the best now, and where the search ended.

        ``decreased`` says whether it ended well.
        """
        state = self._state
        here = _trials(state["step"], loss, slope)
        state["evaluations"] += 1
        finite = np.isfinite(loss)
        with np.errstate(all="ignore"):
            here["loss"] = _without_rounding(state["near"], here)
            low_enough = here["loss"] <= _allowed(state["start"], here["step"])
            wolfe = finite & low_enough & (np.abs(slope) <= -CURVATURE * state["start"]["slope"])
            if wolfe.all():
                state["near"] = here
                return wolfe, wolfe
            state["first_stage"] &= ~(low_enough & (slope >= 0))
            improved = wolfe.copy()
            searching = np.flatnonzero(finite & ~wolfe)
            improved[searching] = self._narrow(searching, here[searching])
        state["near"][wolfe] = here[wolfe]
        state["wall"][~finite] = here["step"][~finite]
        near, far = state["near"]["step"], state["far"]["step"]
        beyond = ~finite | (state["step"] >= state["wall"])
        state["step"][beyond] = (near + BACK_OFF * (state["wall"] - near))[beyond]
        low, high = np.minimum(near, far), np.maximum(near, far)
        outside = (state["step"] <= low) | (state["step"] >= high)
        collapsed = state["bracketed"] & (outside | (high - low <= SMALLEST_BRACKET * high))
        return improved, wolfe | collapsed | (state["evaluations"] >= EVALUATIONS)

    def _narrow(self, rows: NDArray[np.intp], here: Trials) -> Mask:
        """Move bracket and step of the instances ``rows`` (k,) by their trial (k,); return where it became the best."""
        state = self._state[rows]
        start, near, far = state["start"], state["near"], state["far"]
        # Before a step with sufficient decrease and positive slope is seen: search on the loss without that decrease.
        tilts = state["first_stage"] & (here["loss"] <= near["loss"]) & (here["loss"] > _allowed(start, here["step"]))
        tilt = np.where(tilts, SUFFICIENT_DECREASE * start["slope"], 0.0)
        tilted = [_trials(t["step"], t["loss"] - t["step"] * tilt, t["slope"] - tilt) for t in (near, far, here)]
        step, higher, turned = _interpolate(tilted[0], tilted[1], tilted[2], state["bracketed"])
        far[higher], far[turned] = here[higher], near[turned]
        near[~higher] = here[~higher]
        state["bracketed"] |= higher | turned
        narrowed, span = state["bracketed"], far["step"] - near["step"]
        slow = narrowed & (np.abs(span) >= 0.66 * state["width_before"])
        state["step"] = np.where(slow, near["step"] + 0.5 * span, step)
        state["width_before"][narrowed] = state["width"][narrowed]
        state["width"][narrowed] = np.abs(span)[narrowed]
        self._state[rows] = state
        return ~higher


def _begin(loss: FloatArray, slope: FloatArray) -> NDArray[np.void]:
    state = np.zeros(len(loss), dtype=_SEARCH)
    for name in ("start", "near", "far"):
        state[name] = _trials(np.zeros_like(loss), loss, slope)
    state["step"] = 1.0
    state["first_stage"] = True
    for name in ("wall", "width", "width_before"):
        state[name] = np.inf
    return state


def _allowed(start: Trials, step: FloatArray) -> FloatArray:
    """Return the largest loss at ``step`` that is a sufficient decrease."""
    return start["loss"] + SUFFICIENT_DECREASE * step * start["slope"]


def _trials(step: FloatArray, loss: FloatArray, slope: FloatArray) -> Trials:
    trials = np.empty(len(step), dtype=_TRIAL)
    trials["step"], trials["loss"], trials["slope"] = step, loss, slope
    return trials


def _without_rounding(near: Trials, here: Trials) -> FloatArray:
    """Return the losses of ``here``; where rounding alone separates them from ``near``, the slopes' integral."""
    from_slopes = near["loss"] + 0.5 * (near["slope"] + here["slope"]) * (here["step"] - near["step"])
    equal = np.abs(here["loss"] - near["loss"]) <= ROUNDING * np.abs(near["loss"])
    return np.where(equal, from_slopes, here["loss"])


def _interpolate(near: Trials, far: Trials, here: Trials, bracketed: Mask) -> tuple[FloatArray, Mask, Mask]:
    """Return the next step of each instance, where the loss rose and where the slope turned: section 4's four cases."""
    at, span = here["step"], here["step"] - near["step"]
    rose = here["loss"] > near["loss"]
    turned = ~rose & (here["slope"] * np.sign(near["slope"]) < 0)
    flatter = np.abs(here["slope"]) < np.abs(near["slope"])
    furthest = at + 4 * span
    beside = np.where(flatter | turned, near, far)
    cubic = _cubic(np.where(rose, near, here), np.where(rose, here, beside))
    secant = at - here["slope"] / (here["slope"] - near["slope"]) * span

    quadratic = near["step"] + near["slope"] / ((near["loss"] - here["loss"]) / span + near["slope"]) / 2 * span
    nearer = np.abs(cubic - near["step"]) < np.abs(quadratic - near["step"])
    after_rise = np.where(nearer, cubic, (cubic + quadratic) / 2)

    after_turn = _farther(cubic, secant, at)

    ahead = np.where((cubic - at) * span > 0, cubic, furthest)
    farther = _farther(ahead, secant, at)
    limit = at + 0.66 * (far["step"] - at)
    closer = np.where(farther == ahead, secant, ahead)
    inside = np.where(span > 0, np.minimum(limit, closer), np.maximum(limit, closer))
    least = at + 1.1 * span
    outside = np.minimum(np.maximum(farther, np.minimum(least, furthest)), np.maximum(least, furthest))
    after_flattening = np.where(bracketed, inside, outside)

    otherwise = np.where(bracketed, cubic, furthest)

    step = np.where(rose, after_rise, np.where(turned, after_turn, np.where(flatter, after_flattening, otherwise)))
    middle = np.where(bracketed, (near["step"] + far["step"]) / 2, np.where(rose, near["step"] + span / 2, furthest))
    return np.where(np.isfinite(step), step, middle), rose, turned


def _farther(one: FloatArray, other: FloatArray, at: FloatArray) -> FloatArray:
    return np.where(np.abs(one - at) > np.abs(other - at), one, other)


def _cubic(one: Trials, other: Trials) -> Any:
    """Return where the cubic through two trials has its minimum."""
    span = other["step"] - one["step"]
    theta = 3 * (one["loss"] - other["loss"]) / span + one["slope"] + other["slope"]
    size = np.maximum(np.maximum(np.abs(theta), np.abs(one["slope"])), np.abs(other["slope"]))
    square = (theta / size) ** 2 - one["slope"] / size * (other["slope"] / size)
    root = np.sign(span) * size * np.sqrt(np.maximum(0.0, square))
    return one["step"] + (root - one["slope"] + theta) / (2 * root - one["slope"] + other["slope"]) * span
