"""Variants: ``name@variant`` stands for a problem or method of the registry with options of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kerasjoint.errors import ArgumentError
from kerasjoint.registry import Registry


def base_name(label: str) -> str:
    """Return the name in the registry: what stands before the ``@``, if there is one."""
    return label.partition("@")[0]


def check_label(registry: Registry, label: str, variants: Iterable[str] | None = None) -> str:
    """Return the label, or refuse an unknown name, or a variant that could not be part of a file name.

    With ``variants``, the labels whose options are known, another variant is refused, too: it would run without any.
    """
    name, at, variant = label.partition("@")
    registry.check(name)
    if at and not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", variant):
        raise ArgumentError(registry.kind, f"{name}@variant, of small letters, digits and hyphens", repr(label))
    if at and variants is not None and label not in (known := [one for one in variants if base_name(one) == name]):
        raise ArgumentError(registry.kind, f"a variant of this preset, {' or '.join(known) or 'which has none'}", label)
    return label


def in_order(registry: Registry, labels: Iterable[str]) -> list[str]:
    """Return the different labels in the order of the registry, variants after the plain name, others at the end."""
    rank = {name: k for k, name in enumerate(registry)}
    return sorted(set(labels), key=lambda label: (rank.get(base_name(label), len(rank)), label))
