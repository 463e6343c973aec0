"""One look per method in all figures, and the few colours that stand for other things."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import seaborn as sns

from kerasjoint.methods import METHODS

# Seaborn's palette for the colour-blind.
COLOURS = tuple(sns.color_palette("colorblind").as_hex())
BLUE, ORANGE, GREEN, RED, PURPLE, TAN, PINK, GREY, YELLOW, SKY = COLOURS
OBSERVED, PREDICTED, TRUE, NEUTRAL = BLUE, RED, GREEN, "#444444"
BETTER, EQUAL, WORSE = GREEN, "#c8c8c8", ORANGE

# The methods shown most often are told apart best. Others of the registry follow in its order, with other markers.
CHOSEN = {
    "lbfgs": "#000000",
    "lockstep-lbfgs": GREY,
    "lockstep-lm": PURPLE,
    "scipy-lbfgs": RED,
    "multi-start": ORANGE,
    "amortized-multi-start": BLUE,
    "reparameterized": GREEN,
    "supervised": SKY,
    "neural-adjoint": TAN,
}
MARKERS = ("s", "D", "^", "v")
# Variants of a method, such as several budgets, differ in their dashes.
DASHES = ("-", "--", ":", "-.")

Styles = dict[str, dict[str, Any]]


def base_of(label: str) -> str:
    """Return the method that a label names, without ``@variant`` and ``+ refine``.

    Example
    -------
    >>> base_of("multi-start@150")
    'multi-start'
    """
    place, colon, name = label.partition(" + ")[0].rpartition(":")
    return place + colon + name.partition("@")[0]


def curve_of(label: str) -> str:
    """Return what a budget is a point of: the method, with its variant but for the number that this begins with.

    Example
    -------
    >>> curve_of("multi-start@150"), curve_of("multi-start@150-hybrid")
    ('multi-start', 'multi-start@hybrid')
    """
    base = base_of(label)
    variant = label.partition(" + ")[0].removeprefix(base).removeprefix("@")
    other = variant.lstrip("0123456789").removeprefix("-")
    return f"{base}@{other}" if other else base


def method_styles(labels: Iterable[str]) -> Styles:
    """Return colour, marker and dashes of each method, by label.

    A method of the registry looks the same in all figures. Other names take the colours that are left in this one.

    Example
    -------
    >>> method_styles(["lbfgs", "mine"])["mine"]["color"]
    '#0173b2'
    """
    labels = list(dict.fromkeys(labels))
    looks = _registered()
    used = {looks[base][0] for base in map(base_of, labels) if base in looks}
    free = [colour for colour in COLOURS if colour not in used] or list(COLOURS)
    others = [base for base in dict.fromkeys(map(base_of, labels)) if base not in looks]
    for k, base in enumerate(others):
        looks[base] = free[k % len(free)], "o" if k < len(free) else MARKERS[k // len(free) % len(MARKERS)]
    styles: Styles = {}
    for label in labels:
        colour, marker = looks[base_of(label)]
        variants = sum(base_of(other) == base_of(label) for other in styles)
        styles[label] = {"color": colour, "marker": marker, "linestyle": DASHES[variants % len(DASHES)]}
    return styles


def _registered() -> dict[str, tuple[str, str]]:
    """Return colour and marker of each method of the registry."""
    looks = {name: (colour, "o") for name, colour in CHOSEN.items()}
    for k, name in enumerate(name for name in METHODS if name not in CHOSEN):
        looks[name] = COLOURS[(k + 6) % len(COLOURS)], MARKERS[k % len(MARKERS)]
    return looks
