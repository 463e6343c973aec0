"""How many of the machine's cores simulations spread over."""

from __future__ import annotations

import os

from kerasjoint.checks import check_count

_chosen: int | None = None


def set_cores(count: int | None) -> None:
    """Set the number of CPU cores for problems with a ``chunk``; ``None``: all that this process may use.

    Results do not depend on it beyond rounding. Cheap problems run in one compiled loop, on one core, whatever is set.

    Example
    -------
    >>> kerasjoint.set_cores(1)
    """
    global _chosen
    _chosen = None if count is None else check_count("count", count)


def cores() -> int:
    """Return the number of cores in use."""
    return usable_cores() if _chosen is None else _chosen


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
