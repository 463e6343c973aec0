"""Literal registries: a name, where the class lives, and one line about it; the module is imported on first use."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from operator import attrgetter
from typing import Any

from kerasjoint.checks import did_you_mean
from kerasjoint.errors import ArgumentError, describe


class Registry:
    """Names of one kind of thing (problems, methods, networks) with their classes and one line each.

    Parameters
    ----------
    kind
        What the names stand for, as messages call it.
    entries
        ``name -> ("module:Class", "one line")``, written out literally.
    """

    def __init__(self, kind: str, entries: dict[str, tuple[str, str]]) -> None:
        self.kind = kind
        self._entries = entries

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        """Return whether a name is registered."""
        return name in self._entries

    def summary(self, name: str) -> str:
        """Return the one line about ``name``."""
        return self._entries[self.check(name)][1]

    def class_name(self, name: str) -> str:
        """Return the name of the class behind ``name``, without importing it."""
        return self._entries[self.check(name)][0].partition(":")[2]

    def load(self, name: str, argument: str = "") -> Any:
        """Import and return the class of ``name``; an unknown name is refused with the nearest known one."""
        module, _, attribute = self._entries[self.check(name, argument)][0].partition(":")
        return attrgetter(attribute)(import_module(module))

    def check(self, name: str, argument: str = "") -> str:
        """Return ``name`` if it is registered, else raise; the message names the kind, or another argument."""
        if isinstance(name, str) and name in self._entries:
            return name
        # The search takes the square of the length.
        hint = did_you_mean(describe(name, 100).strip("'"), self._entries)
        raise ArgumentError(argument or self.kind, f"one of {', '.join(self._entries)}", f"{describe(name)}{hint}")
