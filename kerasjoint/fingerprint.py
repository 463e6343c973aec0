"""Identity of problems and data: a digest of class, code, constants and arrays, never of addresses in memory."""

from __future__ import annotations

import copyreg
import dis
import hashlib
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as np

from kerasjoint.user_code import SCALARS, globals_of, is_of_library, is_of_user, is_plain

# Libraries whose objects have hidden or changing state; a problem that holds one equals itself alone.
OPAQUE = ("jax", "jaxlib", "keras", "tensorflow", "torch", "_thread", "threading", "weakref")

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
        if name not in assigned and is_plain(value)
    }


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
    if name == "_abc_impl":
        return False
    return not (name.startswith("__") and name.endswith("__")) or isinstance(value, types.FunctionType)


def _class_content(base: type) -> tuple[Any, ...]:
    """Return a class and, where it may change while Python runs, its code and constants."""
    if is_of_library(base.__module__) or base.__module__ == "builtins":
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
        # By address; each is kept alive.
        self._functions: dict[int, tuple[int, types.FunctionType]] = {}

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
            if np.ma.isMaskedArray(value):
                self._array(np.ma.getmaskarray(value))
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
            self._function(function)
            if isinstance(value, types.MethodType):
                self.feed(value.__self__)
        elif isinstance(value, partial):
            self._all("partial", (value.func, value.args, value.keywords))
        elif isinstance(value, property):
            self._all("property", (value.fget, value.fset))
        elif _is_opaque(value):
            self._write("opaque", uuid4().hex)
        elif _is_of_pandas(value):
            self._all("pandas", (type(value), *_pandas_content(value)))
        elif hasattr(value, "__dict__") and not _reduces_itself(type(value)):
            content = (*map(_class_content, type(value).__mro__[:-1]), _constants(value))
            slots = _slots(value)
            self._all("object", (*content, slots) if slots else content)
        else:
            self._reduced(value)

    def _function(self, function: types.FunctionType) -> None:
        if id(function) in self._functions:
            self._write("function again", self._functions[id(function)][0])
            return
        self._functions[id(function)] = len(self._functions), function
        cells = [cell.cell_contents for cell in function.__closure__ or () if _is_set(cell)]
        defaults = (function.__defaults__, function.__kwdefaults__)
        names = function.__module__, function.__qualname__
        self._all("function", (*names, function.__code__, defaults, cells, globals_of(function)))

    def _reduced(self, value: Any) -> None:
        """Feed what a value would be pickled as."""
        try:
            reduce = copyreg.dispatch_table.get(type(value))
            reduced = value.__reduce_ex__(2) if reduce is None else reduce(value)
        except (TypeError, AttributeError):
            reduced = uuid4().hex
        if not isinstance(reduced, str):
            # Items of lists and mappings follow the state.
            items = [list(part) for part in reduced[3:5] if part is not None]
            reduced = [*reduced[:3], *items]
        self._all("reduced", (type(value), reduced))


def _function_behind(value: Any) -> types.FunctionType | None:
    if isinstance(value, cached_property):
        value = value.func
    value = getattr(value, "__func__", value)
    return value if isinstance(value, types.FunctionType) else None


def _slots(value: Any) -> dict[str, Any]:
    """Return what an object keeps in slots."""
    members = [vars(base) for base in type(value).__mro__]
    # By what Python makes of them, so that names with two underscores, which it changes, are found too.
    names = {
        name for inside in members for name, kind in inside.items() if isinstance(kind, types.MemberDescriptorType)
    }
    return {name: getattr(value, name) for name in sorted(names) if hasattr(value, name)}


def _reduces_itself(kind: type) -> bool:
    """Whether a class of another library or of Python says itself what its objects consist of."""
    owner = next(base for base in kind.__mro__ if "__reduce__" in vars(base) or "__reduce_ex__" in vars(base))
    ours = owner.__module__.partition(".")[0] == "kerasjoint"
    return not (owner is object or ours or is_of_user(owner.__module__))


def _is_of_pandas(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, (pandas.DataFrame, pandas.Series, pandas.Index))


def _pandas_content(value: Any) -> tuple[Any, ...]:
    """Return names, dtypes and a digest of each row, index included."""
    from pandas import DataFrame
    from pandas.util import hash_pandas_object

    if isinstance(value, DataFrame):
        names = [*value.columns, *value.index.names, *map(str, value.dtypes)]
    else:
        names = [value.name, str(value.dtype)]
    try:
        return names, hash_pandas_object(value).to_numpy()
    except TypeError:
        return (uuid4().hex,)


def _is_set(cell: types.CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _is_opaque(value: Any) -> bool:
    return any(base.__module__.partition(".")[0] in OPAQUE for base in type(value).__mro__)
