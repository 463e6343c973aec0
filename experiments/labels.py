"""Labels: how presets, the command line and tables name a problem or a method."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from kerasjoint.errors import ArgumentError, describe
from kerasjoint.registry import Registry

# Two of these, n, seed and a mark of what is half written fit into a name of 255 bytes.
MOST_BYTES = 90
IDENTIFIERS = r"[^\W\d]\w*(\.[^\W\d]\w*)*"


@dataclass(frozen=True)
class Label:
    """A name of the registry, ``module:Class`` or ``file.py:Class``, each perhaps with ``@variant`` at its end.

    A variant is the same problem or method with other options. Parsing never fails: ``check_label`` validates.

    Attributes
    ----------
    text
        The label as the user wrote it.
    base
        The label without its variant.
    variant
        What follows the ``@``; empty without one.

    Example
    -------
    >>> Label("models/damped.py:Damped@stiff").title
    'damped.py:Damped@stiff'
    """

    text: str

    @property
    def base(self) -> str:
        """The label without its variant."""
        return self._place + self._colon + self.attribute

    @property
    def attribute(self) -> str:
        """The class or factory within its module; a name of the registry as it is."""
        return self.text.rpartition(":")[2].partition("@")[0]

    @property
    def variant(self) -> str:
        """What follows the ``@``; empty without one."""
        return self.text.rpartition(":")[2].partition("@")[2]

    @property
    def is_reference(self) -> bool:
        """Whether it refers to code outside of the registries."""
        return bool(self._colon)

    @property
    def file(self) -> Path | None:
        """The Python file that it refers to, if it does."""
        is_path = self._place.endswith(".py") or any(sep in self._place for sep in "/\\")
        return Path(self._place) if self.is_reference and is_path else None

    @property
    def module(self) -> str | None:
        """The module that it refers to, if it does."""
        return self._place if self.is_reference and self.file is None else None

    @property
    def title(self) -> str:
        """The label for headings: without the folder of a file."""
        name = self.base if self.file is None else f"{PurePath(self.file).name}:{self.attribute}"
        return name + self._suffix

    @property
    def seed_name(self) -> str:
        """What random seeds derive from: neither the folder of a file nor the variant changes it."""
        return self.base if self.file is None else f"{self.file.stem}:{self.attribute}"

    @property
    def slug(self) -> str:
        """A name for files and folders; different labels have different ones."""
        if not self.is_reference:
            return self.text
        attribute = self.attribute.replace(".", "-")
        if self.file is None:
            return f"{self.module}.{attribute}{self._suffix}"
        stem = re.sub(r"\W+", "-", self.file.stem)[:40]
        path = zlib.crc32(os.path.normpath(self.file).encode())
        return f"{stem}.{attribute}-{path:08x}{self._suffix}"

    @property
    def _place(self) -> str:
        return self.text.rpartition(":")[0]

    @property
    def _colon(self) -> str:
        return self.text.rpartition(":")[1]

    @property
    def _suffix(self) -> str:
        return f"@{self.variant}" if self.variant else ""


def check_label(registry: Registry, text: str, variants: Iterable[str] | None = None) -> str:
    """Validate and return the label: a known name or a well-formed reference, with a variant fit for a file name.

    With ``variants``, the labels whose options are known, another variant is refused, since it would run without any.

    Example
    -------
    >>> check_label(PROBLEMS, "billiards@hits")
    'billiards@hits'
    """
    label = Label(text)
    if not text.isprintable() or len(label.slug.encode(errors="replace")) > MOST_BYTES:
        raise ArgumentError(registry.kind, f"printable text that names a folder in {MOST_BYTES} bytes", describe(text))
    if label.is_reference:
        if label.file is not None and label.file.suffix != ".py":
            raise ArgumentError(registry.kind, "a file ending in .py before the colon", repr(text))
        if not (label.file or re.fullmatch(IDENTIFIERS, label.module or "")):
            raise ArgumentError(registry.kind, "module:Class or path/to/file.py:Class", repr(text))
        if not re.fullmatch(IDENTIFIERS, label.attribute):
            raise ArgumentError(
                registry.kind, f"the name of a class after {label.base.rpartition(':')[0]}:", repr(text)
            )
    elif text.endswith(".py"):
        raise ArgumentError(registry.kind, f"{text}:Class, with the name of a class in that file", repr(text))
    else:
        registry.check(label.base)
    if "@" in label.text.rpartition(":")[2] and not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", label.variant):
        expected = f"{label.base}@variant, of small letters, digits and hyphens"
        raise ArgumentError(registry.kind, expected, repr(text))
    if label.variant and variants is not None:
        known = [one for one in variants if Label(one).base == label.base]
        if text not in known:
            expected = f"{label.base}, or a variant that the preset defines: {' or '.join(known) or 'there is none'}"
            raise ArgumentError(registry.kind, expected, text)
    return text


def in_order(registry: Registry, labels: Iterable[str]) -> list[str]:
    """Return the different labels in the order of the registry, variants after the plain name, others at the end."""
    rank = {name: k for k, name in enumerate(registry)}
    return sorted(set(labels), key=lambda text: (rank.get(Label(text).base, len(rank)), text))
