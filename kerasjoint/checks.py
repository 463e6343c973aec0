"""Checks of arguments that several rooms share."""

from __future__ import annotations

import numpy as np

from kerasjoint.errors import ArgumentError


def check_count(argument: str, n: int) -> int:
    """Return ``n`` as an int if it is a whole number of at least one."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ArgumentError(argument, "a positive integer", repr(n))
    return int(n)
