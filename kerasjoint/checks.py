"""Checks of arguments that several rooms share."""

from __future__ import annotations

import numpy as np

from kerasjoint.errors import ArgumentError, describe

MOST_INSTANCES = 10**7


def check_count(argument: str, n: int, most: int = 2**63 - 1) -> int:
    """Return ``n`` as an int if it is a whole number from one to ``most``."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= most:
        raise ArgumentError(argument, "a positive integer" + _at_most(most), describe(n))
    return int(n)


def check_seed(seed: int) -> int:
    """Return the seed as an int if it is a whole number not below 0."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise ArgumentError("seed", "a whole number not below 0, of at most 64 bits", describe(seed))
    return int(seed)


def check_draw(n: int, seed: int) -> tuple[int, int]:
    """Return the arguments of ``sample`` as ints: a number of instances and a seed.

    Example
    -------
    >>> n, seed = check_draw(n, seed)
    """
    return check_count("n", n, most=MOST_INSTANCES), check_seed(seed)


def check_number(argument: str, value: float, expected: str = "a number", *, above: float = -np.inf) -> float:
    """Return a finite real number greater than ``above``; ``expected`` says so in the message."""
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, np.complexfloating))
    if not (number and above < value and abs(value) <= np.finfo(np.float64).max):
        raise ArgumentError(argument, expected, describe(value))
    return value


def _at_most(most: int) -> str:
    return "" if most == 2**63 - 1 else f" of at most {most:,}"
