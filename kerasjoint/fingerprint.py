"""Identity of problems and data: a digest of class, code, constants and arrays, never of addresses in memory."""

from __future__ import annotations

import dis
import hashlib
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache, partial
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as np

from kerasjoint.libraries import LIBRARIES

# Libraries whose objects have hidden or changing state; a problem that holds one equals itself alone.
OPAQUE = ("jax", "jaxlib", "keras", "tensorflow", "torch", "_thread", "threading", "weakref")

SCALARS = (type(None), bool, int, float, complex, str, bytes)

_known: WeakKeyDictionary[Any, tuple[str, dict[str, str]]] = WeakKeyDictionary()


def problem_fingerprint(problem: Any) -> str:
    """Return a digest of a problem's class, the code of its methods, and its constants, as they are at the first call.

    Equal classes with equal constants have equal fingerprints, in other processes too. A problem that holds something
    whose state cannot be read, such as a Keras model or a ``tf.Variable``, has a fingerprint of its own.

    Example
    -------
    >>> problem_fingerprint(Billiards(friction=0.1)) == problem_fingerprint(Billiards())
    True
    """
    try:
        if problem not in _known:
            _known[problem] = _fingerprint(problem), _constant_fingerprints(problem)
    except TypeError:
        return _fingerprint(problem)
    return _known[problem][0]


def changed_constants(problem: Any) -> list[str]:
    """Return which attributes of a problem differ from what they were when its fingerprint was first asked for.

    Looked at are numbers, text, arrays and tuples of them, but not what its own methods assign, such as a counter.
    """
    try:
        before = _known[problem][1]
    except (KeyError, TypeError):
        return []
    now = _constant_fingerprints(problem)
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def _constant_fingerprints(problem: Any) -> dict[str, str]:
    assigned = {name for base in type(problem).__mro__[:-1] for name in _assigned(base)}
    return {
        name: data_fingerprint(value)
        for name, value in _constants(problem).items()
        if name not in assigned and _is_plain(value)
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, (*SCALARS, np.ndarray, np.generic)) or type(value).__name__ == "EagerTensor"


def _assigned(base: type) -> Iterator[str]:
    """Yield the attributes that the methods of a class assign, but for its constructor."""
    for name, value in vars(base).items():
        function = _function_behind(value)
        if function is not None and name != "__init__":
            for instruction in dis.get_instructions(function):
                if instruction.opname == "STORE_ATTR":
                    yield instruction.argval


def _fingerprint(problem: Any) -> str:
    digest = _Digest()
    digest.feed(problem)
    return digest.hexdigest()


def _constants(value: Any) -> dict[str, Any]:
    """Return the attributes of an object but for those that it computed and kept."""
    return {
        name: attribute
        for name, attribute in vars(value).items()
        if not isinstance(getattr(type(value), name, None), cached_property)
    }


def _is_written(name: str, value: Any) -> bool:
    """Whether a class attribute is the user's, not one that Python adds, some of them late (``__slotnames__``)."""
    return not (name.startswith("__") and name.endswith("__")) or isinstance(value, types.FunctionType)


def _class_content(base: type) -> tuple[Any, ...]:
    """Return a class and, where it may change while Python runs, its code and constants."""
    if _is_of_library(base.__module__) or base.__module__ == "builtins":
        return (base,)
    return base, {name: value for name, value in vars(base).items() if _is_written(name, value)}


def data_fingerprint(*parts: Any) -> str:
    """Return a digest of arrays, numbers, text, and mappings and sequences of them.

    Example
    -------
    >>> data_fingerprint("name", np.zeros(3)) == data_fingerprint("name", np.zeros(3))
    True
    """
    digest = _Digest()
    for part in parts:
        digest.feed(part)
    return digest.hexdigest()


class _Digest:
    """Walks over values; what cannot be read is equal to nothing else."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._open: list[Any] = []

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def feed(self, value: Any) -> None:
        if any(value is one for one in self._open):
            self._write("cycle")
            return
        self._open.append(value)
        try:
            self._walk(value)
        finally:
            self._open.pop()

    def _write(self, *parts: object) -> None:
        for part in parts:
            data = part if isinstance(part, bytes) else str(part).encode()
            self._hash.update(len(data).to_bytes(8, "little"))
            self._hash.update(data)

    def _walk(self, value: Any) -> None:
        if value is ... or isinstance(value, SCALARS):
            self._write(type(value).__name__, value if isinstance(value, bytes) else repr(value))
        elif type(value).__name__ == "EagerTensor" or isinstance(value, (np.ndarray, np.generic)):
            self._array(value.numpy() if type(value).__name__ == "EagerTensor" else np.asarray(value))
        elif isinstance(value, Mapping):
            self._all("mapping", (part for item in value.items() for part in item))
        elif isinstance(value, (set, frozenset)):
            self._all("set", sorted(value, key=repr))
        elif isinstance(value, (list, tuple)):
            self._all(type(value).__name__, value)
        elif isinstance(value, types.ModuleType):
            self._write("module", value.__name__)
        elif isinstance(value, type):
            self._write("class", value.__module__, value.__qualname__)
        elif isinstance(value, types.CodeType):
            self._all("code", (value.co_code, value.co_consts, value.co_names, value.co_freevars))
        else:
            self._object(value)

    def _all(self, kind: str, parts: Iterable[Any]) -> None:
        self._write(kind)
        for part in parts:
            self.feed(part)
        self._write("end")

    def _array(self, array: np.ndarray) -> None:
        if array.dtype.hasobject:
            self._all("objects", array.tolist())
            return
        self._write("array", array.dtype.str, array.shape)
        self._hash.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    def _object(self, value: Any) -> None:
        function = _function_behind(value)
        if function is not None:
            cells = [cell.cell_contents for cell in function.__closure__ or () if _is_set(cell)]
            defaults = (function.__defaults__, function.__kwdefaults__)
            parts = (
                function.__module__,
                function.__qualname__,
                function.__code__,
                defaults,
                cells,
                _globals_of(function),
            )
            self._all("function", parts)
            if isinstance(value, types.MethodType):
                self.feed(value.__self__)
        elif isinstance(value, partial):
            self._all("partial", (value.func, value.args, value.keywords))
        elif isinstance(value, property):
            self._all("property", (value.fget, value.fset))
        elif _is_opaque(value):
            self._write("opaque", uuid4().hex)
        elif hasattr(value, "__dict__"):
            self._all("object", (*map(_class_content, type(value).__mro__[:-1]), _constants(value)))
        else:
            self._reduced(value)

    def _reduced(self, value: Any) -> None:
        """Feed what a value without attributes would be pickled as."""
        try:
            reduced = value.__reduce_ex__(2)
        except (TypeError, AttributeError):
            reduced = uuid4().hex
        self._all("reduced", (type(value), reduced if isinstance(reduced, str) else [*reduced[:3]]))


def _function_behind(value: Any) -> types.FunctionType | None:
    if isinstance(value, cached_property):
        value = value.func
    value = getattr(value, "__func__", value)
    return value if isinstance(value, types.FunctionType) else None


def _globals_of(function: types.FunctionType) -> dict[str, Any]:
    """Return the constants and functions of its module that a user's function names: a notebook may change them.

    Lists and mappings, and numbers that the function itself assigns, are not: they count and record.
    """
    known = function.__globals__
    if _is_of_library(function.__module__) or (function.__module__ or "").partition(".")[0] == "kerasjoint":
        return {}
    named = {name: known[name] for name in sorted(_names_in(function.__code__)) if name in known}
    return {
        name: value
        for name, value in named.items()
        if _is_plain(value) or (isinstance(value, types.FunctionType) and value.__globals__ is known)
    }


@lru_cache(maxsize=1024)
def _names_in(code: types.CodeType) -> set[str]:
    inside = (_names_in(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    stored = {one.argval for one in dis.get_instructions(code) if one.opname == "STORE_GLOBAL"}
    return set(code.co_names).union(*inside) - stored


def _is_of_library(module: str | None) -> bool:
    file = getattr(sys.modules.get(module or ""), "__file__", None) or ""
    return file.startswith(LIBRARIES)


def _is_set(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _is_opaque(value: Any) -> bool:
    return any(base.__module__.partition(".")[0] in OPAQUE for base in type(value).__mro__)
