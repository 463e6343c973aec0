"""Sets that are larger than what should be in memory at once are gone through in slabs of neighbouring instances."""

from __future__ import annotations

from itertools import pairwise

# What condition and observation of a slab take at most; simulators take several times as much while they run.
SLAB_BYTES = 2**26
SMALLEST_SLAB = 256


def slabs(n: int, bytes_per_instance: int, share: int = 1) -> list[slice]:
    """Return the slabs of n instances, all of about the same size; ``share`` makes them so many times smaller.

    Example
    -------
    >>> slabs(100_000, bytes_per_instance=2048)[0]
    slice(0, 25000, None)
    """
    most = max(SLAB_BYTES // (share * max(bytes_per_instance, 1)), SMALLEST_SLAB)
    count = max(-(-n // most), 1)
    ends = [n * k // count for k in range(count + 1)]
    return [slice(begin, end) for begin, end in pairwise(ends)]
