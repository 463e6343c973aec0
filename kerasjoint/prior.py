"""Draws from a problem's own prior, checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError
from kerasjoint.hooks import call
from kerasjoint.problem import InverseProblem
from kerasjoint.unknown import check_finite

# A prior is refused if of so many draws more than this share of an unknown is outside of its bounds.
DRAWN, MOST_OUTSIDE = 64, 0.5


def draw_prior(problem: InverseProblem, n: int, seed: int) -> NDArray[np.float64] | None:
    """Return n unknowns (n, d) drawn by ``problem.prior``; ``None`` without one."""
    drawn = call(problem, "prior", n, seed)
    if drawn is None:
        return None
    name = problem.hook_name("prior")
    xi = check_finite(name, problem.space.flatten(drawn, name))
    if len(xi) != n:
        raise ArgumentError(name, f"{n} unknowns as asked for", f"{len(xi)}")
    return xi


def outside_bounds(problem: InverseProblem) -> tuple[str, str] | None:
    """Return what to say of a prior that draws most of an unknown beyond its bounds; a few are moved inside."""
    space, xi = problem.space, draw_prior(problem, DRAWN, 0)
    outside = np.zeros(space.size) if xi is None else np.mean((xi < space.lower) | (xi > space.upper), axis=0)
    worst = int(outside.argmax())
    if outside[worst] <= MOST_OUTSIDE:
        return None
    expected = f"most of its draws within the bounds {space.lower[worst]:g} to {space.upper[worst]:g}"
    return expected, f"{outside[worst]:.0%} of {space.labels[worst]} outside"
