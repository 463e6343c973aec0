"""How a batch is cut into pieces of a few sizes, each compiled once, that run side by side on the cores."""

from __future__ import annotations

from kerasjoint.cores import cores

LARGE_CHUNK = 32


def pieces(n: int, chunk: int) -> tuple[tuple[int, int], ...]:
    """Return (size, how many) of the pieces for ``n`` instances: whole chunks on all cores, then the rest shared out.

    The share of each core is rounded up to one of few sizes, so that few are ever compiled.

    Example
    -------
    >>> pieces(70, chunk=32)    # on two cores
    ((32, 2), (4, 2))
    """
    whole, rest = divmod(n, chunk * cores())
    count = whole * cores()
    if not rest:
        return ((chunk, count),)
    share = -(-rest // cores())
    size = next(size for size in _sizes(chunk) if size >= share)
    last = -(-rest // size)
    if size == chunk:
        return ((chunk, count + last),)
    return ((chunk, count), (size, last)) if count else ((size, last),)


def sizes_side_by_side(n: int, chunk: int | None) -> tuple[int, ...]:
    """Return the sizes of the pieces, or nothing where all ``n`` instances are in one, which needs no cutting."""
    cut = () if chunk is None else pieces(n, chunk)
    return tuple(size for size, _ in cut) if sum(count for _, count in cut) > 1 else ()


def padded_size(n: int, chunk: int | None) -> int:
    """Return the batch size that ``n`` instances are padded to, so that a few compiled sizes serve every n.

    With a chunk: whole pieces. Without: a power of four.
    """
    if chunk is not None:
        return sum(size * count for size, count in pieces(n, chunk))
    power = 1 << (n - 1).bit_length()
    return power if power.bit_length() % 2 else 2 * power


def _sizes(chunk: int) -> list[int]:
    """Return the sizes: powers of two, and some between where chunks are large. Small ones mean long compilations."""
    powers = [1 << k for k in range(chunk.bit_length())]
    between = [size + size // 2 for size in powers if size >= 8]
    sizes = {*powers, *between} if chunk >= LARGE_CHUNK else {*powers} - {2}
    return sorted({*(size for size in sizes if size < chunk), chunk})
