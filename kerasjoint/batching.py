"""How a batch is cut into pieces of a few sizes, each compiled once, that run side by side on the cores."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kerasjoint.cores import cores

# How much smaller each size of pieces is than the one before. Twice as many sizes save a twentieth of the time of an
# L-BFGS on Kuramoto-Sivashinsky (n = 64) and take twice as long to compile.
RATIO = 8
# So many pieces of one size on a core instead of one of the next. On six problems that takes 0.4 to 1.1 of the time.
MOST_PIECES = 3
# Without a chunk, what fits into one call: a power of four up to this.
LARGEST_BATCH = 4096

Pieces = tuple[tuple[int, int], ...]


def pieces(n: int, chunk: int | None) -> Pieces:
    """Return (size, how many) of the pieces for ``n`` instances.

    With a chunk: whole chunks on all cores, then the rest shared out. The share of each core is a few pieces of one of
    few sizes, so that few are ever compiled. Without: one piece, filled up to a power of four, or several of the
    largest and one for the rest.

    Example
    -------
    >>> pieces(70, chunk=32)    # on two cores
    ((32, 2), (4, 2))
    """
    if chunk is None:
        whole, rest = divmod(n, LARGEST_BATCH)
        size = _power_of_four(rest) if rest else LARGEST_BATCH
        if size == LARGEST_BATCH:
            return ((LARGEST_BATCH, whole + bool(rest)),)
        return ((LARGEST_BATCH, whole), (size, 1)) if whole else ((size, 1),)
    whole, rest = divmod(n, chunk * cores())
    count = whole * cores()
    if not rest:
        return ((chunk, count),)
    share = -(-rest // cores())
    size = _size_of(share, chunk)
    last_count = -(-rest // size)
    if size == chunk:
        return ((chunk, count + last_count),)
    return ((chunk, count), (size, last_count)) if count else ((size, last_count),)


def sizes_side_by_side(n: int, chunk: int | None) -> tuple[int, ...]:
    """Return the sizes of the pieces, or nothing where all ``n`` instances are in one, which needs no cutting."""
    cut = pieces(n, chunk)
    return tuple(size for size, _ in cut) if sum(count for _, count in cut) > 1 else ()


def padded_size(n: int, chunk: int | None) -> int:
    """Return the batch size that ``n`` instances are filled up to: that of all pieces together."""
    return sum(size * count for size, count in pieces(n, chunk))


def filled_rows(n: int, chunk: int | None) -> NDArray[np.intp]:
    """Return the positions that fill ``n`` instances up to the padded size: their own, then that of the last one.

    Example
    -------
    >>> filled_rows(3, chunk=None)
    array([0, 1, 2, 2])
    """
    return np.minimum(np.arange(padded_size(n, chunk)), n - 1)


def _power_of_four(n: int) -> int:
    power = 1 << (n - 1).bit_length()
    return power if power.bit_length() % 2 else 2 * power


def _size_of(share: int, chunk: int) -> int:
    """Return the smallest size of which a core's share is one piece, or a few where the next size is much larger."""
    for size, larger in pairwise(_sizes(chunk)):
        if share <= size * (MOST_PIECES if larger >= RATIO * size else 1):
            return size
    return chunk


def _sizes(chunk: int) -> list[int]:
    """Return the sizes: the chunk, an eighth of it and so on, and one instance. Each costs seconds of compilation."""
    sizes = {1}
    while chunk > 1:
        sizes.add(chunk)
        chunk //= RATIO
    return sorted(sizes)
