"""Malformed values of every kind, drawn at random but the same for a seed."""

from __future__ import annotations

import datetime
import random
from typing import Any

import numpy as np


class Hostile:
    """An object all of whose methods raise."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("no array")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    __hash__ = None  # type: ignore[assignment]


def loop() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


INTEGERS = (0, 1, -1, 2, 3, 7, 10**6, 2**31, 2**63 - 1, 2**63, 2**64, 10**400, -(10**400), 10**5000)
FLOATS = (0.0, -0.0, 0.5, 1.0, -1.0, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"), 5e-324)
TEXTS = ("", "a", "lbfgs", "1", "\x00", "a\nb", "../../escape", "x" * 300, "π", "😀", "{0}", "%s", "\ud800")
OTHERS = (
    *(None, True, False, b"bytes", 1j, object(), int, len, Ellipsis, NotImplemented, range(3), slice(None)),
    *(datetime.date(2021, 1, 1), frozenset(), np.float32(1), np.int8(-1), np.bool_(True), np.datetime64("2021-01-01")),
    *(np.array([]), np.array(3.0), np.zeros((2, 0)), np.array(["a", "b"]), np.array([None, 1], dtype=object)),
    *(np.full(3, np.nan), np.ma.masked_array([1.0, 2.0], [True, False]), np.longdouble("1e400"), np.zeros(4)),
    *(np.zeros(4, dtype=[("a", "f8")]), np.ones((4, 20)), np.ones((4, 2)), np.array([10**400])),
)


def value(generator: random.Random, depth: int = 0) -> Any:
    """Return a value that is most likely wrong wherever it is given."""
    kind = generator.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return generator.choice(INTEGERS)
    if kind == 1:
        return generator.choice(FLOATS)
    if kind == 2:
        return generator.choice(TEXTS)
    if kind == 3:
        return generator.choice(OTHERS)
    if kind == 4:
        return generator.choice((loop, Hostile, set, dict, list, tuple))()
    parts = [value(generator, depth + 1) for _ in range(generator.randrange(5))]
    if kind == 5:
        return parts
    if kind == 6:
        return tuple(parts)
    return {generator.choice(TEXTS): part for part in parts}


def mutated(generator: random.Random, content: bytes) -> bytes:
    """Return bytes with a few of them flipped, cut, repeated, swapped for others or joined by noise."""
    changed = bytearray(content)
    for _ in range(generator.randrange(1, 4)):
        here, there = sorted(generator.randrange(len(changed) + 1) for _ in range(2))
        what = generator.randrange(6)
        if what == 0 and changed:
            changed[min(here, len(changed) - 1)] ^= 1 << generator.randrange(8)
        elif what == 1:
            del changed[here : min(there, here + 40)]
        elif what == 2:
            changed[here:here] = changed[here : min(there, here + 40)] * generator.randrange(1, 4)
        elif what == 3:
            changed[here:here] = generator.choice(SNIPPETS)
        elif what == 4:
            changed[here : here + 4] = generator.randbytes(4)
        else:
            changed = changed[:there]
    return bytes(changed)


SNIPPETS = (
    *(
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"[" * 500,
        b"{a: " * 300,
        b"- " * 300,
        b"&a ",
        b"*a",
        b"!!int abc",
        b"!!set {a}",
    ),
    *(
        b"2021-99-99",
        b"1" * 5000,
        b".nan",
        b"-.inf",
        b"1e999",
        b"0x",
        b"? ",
        b": ",
        b"<<: ",
        b"|\n",
        b"%",
        b"\t",
        b"\r",
    ),
    *(
        b",",
        b'"',
        b"\n",
        b",,,,",
        b"y[999999]",
        b"y[0,0]",
        b"nan",
        b"inf",
        b"a" * 300,
        b"n: [1000000000000]",
        b"'",
        b"#",
    ),
    *(b"PK\x03\x04", b"PK\x05\x06", b"PK\x01\x02", b"\x93NUMPY", b"(9999999999,)", b"|O", b"\x00" * 64, b"\xff" * 64),
)
