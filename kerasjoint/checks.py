"""Checks of arguments that several rooms share."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasjoint.errors import ArgumentError, describe

MOST_INSTANCES = 10**7


def check_count(argument: str, n: int, expected: str = "a positive integer", *, most: int = 2**63 - 1) -> int:
    """Return ``n`` as an int if it is a whole number from one to ``most``; ``expected`` says so in the message."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= most:
        raise ArgumentError(argument, expected + (f" and at most {most:,}" if most < 2**63 - 1 else ""), describe(n))
    return int(n)


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return a hint at the nearest known name, in brackets, or nothing; ``cutoff`` as of ``difflib``.

    Example
    -------
    >>> did_you_mean("epoch", ("epochs", "verbose"))
    " (did you mean 'epochs'?)"
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f" (did you mean {close[0]!r}?)" if close else ""


def check_path(argument: str, path: object) -> Path:
    """Return the path that names a file or folder.

    Example
    -------
    >>> check_path("path", "solution.npz")
    PosixPath('solution.npz')
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentError(argument, "the name of a file or folder", describe(path))
    return Path(path)


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


def check_number(argument: str, value: float, expected: str = "a number", *, above: float = -float("inf")) -> float:
    """Return a finite real number greater than ``above``; ``expected`` says so in the message."""
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, np.complexfloating))
    try:
        with np.errstate(over="ignore"):
            good = number and above < value and math.isfinite(value)
    except OverflowError:  # An integer beyond float64.
        good = False
    if not good:
        raise ArgumentError(argument, expected, describe(value))
    return value


def check_choice(argument: str, value: str, choices: Sequence[str]) -> str:
    """Return ``value`` if it is one of the names ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ArgumentError(argument, f"one of {', '.join(choices)}", describe(value))
    return value


def check_divisor(argument: str, whole: float, part: float, of: str) -> int:
    """Return how many times ``part``, the argument, fits into ``whole``, which ``of`` names; refuse fractions."""
    count = round(whole / part)
    if count < 1 or abs(count * part - whole) > 1e-9 * whole:
        raise ArgumentError(argument, f"a divisor of {of} = {whole:g}", part)
    return count


def check_options(argument: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return options by name as a dict; ``None`` stands for none."""
    if options is not None and not (isinstance(options, Mapping) and all(isinstance(name, str) for name in options)):
        raise ArgumentError(argument, "a dict of options by name", describe(options))
    return dict(options or {})


def check_positive(**values: float) -> None:
    """Refuse arguments that are not positive numbers, by name."""
    for name, value in values.items():
        check_number(name, value, "a positive number", above=0)
