"""Checks of arguments that several rooms share."""

from __future__ import annotations

import numpy as np

from kerasjoint.errors import ArgumentError


def check_count(argument: str, n: int) -> int:
    """Return ``n`` as an int if it is a whole number of at least one."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ArgumentError(argument, "a positive integer", repr(n))
    return int(n)


def check_seed(seed: int) -> int:
    """Return the seed as an int if it is a whole number not below 0."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ArgumentError("seed", "a whole number not below 0", repr(seed))
    return int(seed)


def check_positive(**values: float) -> None:
    """Refuse arguments that are not positive numbers, by name."""
    for name, value in values.items():
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not (number and 0 < value < np.inf):
            raise ArgumentError(name, "a positive number", repr(value))
