"""What a user's function reads: constants, functions and small tables of its module, which a notebook may change."""

from __future__ import annotations

import dis
import sys
import types
from functools import lru_cache
from typing import Any

import numpy as np

from kerasjoint.libraries import LIBRARIES

SCALARS = (type(None), bool, int, float, complex, str, bytes)
# A function that calls one of these, or assigns items, may change the lists and mappings that it names.
CHANGING = {
    *("add", "append", "appendleft", "extend", "insert", "setdefault", "update", "sort", "reverse"),
    *("clear", "discard", "pop", "popitem", "popleft", "remove"),
}
CHANGING_OPERATIONS = ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE")


def globals_of(function: types.FunctionType) -> dict[str, Any]:
    """Return the constants and functions that a user's function names, of its module or of others of the user.

    A notebook may change them. Numbers that the function itself assigns are left out, and if it changes items of any
    list or mapping all of these: they count and record.
    """
    if not is_of_user(function.__module__):
        return {}
    known, names = function.__globals__, sorted(_names_in(function.__code__))
    named = {name: known[name] for name in names if name in known}
    for module in [value for value in named.values() if isinstance(value, types.ModuleType)]:
        if is_of_user(module.__name__):
            inside = vars(module)
            named |= {f"{module.__name__}.{name}": inside[name] for name in names if name in inside}
    containers = not _changes_items(function.__code__)
    return {
        name: value
        for name, value in named.items()
        if is_plain(value)
        or (containers and _is_plain_container(value))
        or (isinstance(value, types.FunctionType) and is_of_user(value.__module__))
    }


def _is_plain_container(value: Any) -> bool:
    if isinstance(value, dict):
        return all(is_plain(key) and _is_plain_container(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain_container, value))
    return is_plain(value)


@lru_cache(maxsize=1024)
def _names_in(code: types.CodeType) -> set[str]:
    inside = (_names_in(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    stored = {one.argval for one in dis.get_instructions(code) if one.opname == "STORE_GLOBAL"}
    return set(code.co_names).union(*inside) - stored


@lru_cache(maxsize=1024)
def _changes_items(code: types.CodeType) -> bool:
    operations = (one.opname for one in dis.get_instructions(code))
    if CHANGING & set(code.co_names) or any(name in CHANGING_OPERATIONS for name in operations):
        return True
    return any(_changes_items(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))


def is_plain(value: Any) -> bool:
    """Whether a value is a number, text, an array, or a tuple of these."""
    if isinstance(value, tuple):
        return all(map(is_plain, value))
    return isinstance(value, (*SCALARS, np.ndarray, np.generic)) or type(value).__name__ == "EagerTensor"


def is_of_user(module: str | None) -> bool:
    """Whether a module is neither of a library, nor of Python, nor of kerasjoint."""
    name = module or ""
    return not (is_of_library(name) or name in sys.builtin_module_names or name.partition(".")[0] == "kerasjoint")


def is_of_library(module: str | None) -> bool:
    """Whether a module is of an installed package, of Python, or of kerasjoint's core."""
    file = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    return file.startswith(LIBRARIES)
