"""From labels to objects: problems and methods of the registries, and those of a user's own module or file."""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module, invalidate_caches
from importlib.util import module_from_spec, spec_from_file_location
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from kerasjoint.checks import did_you_mean
from kerasjoint.errors import ArgumentError, KerasjointError
from kerasjoint.experiments.labels import Label
from kerasjoint.libraries import LIBRARIES
from kerasjoint.methods import METHODS
from kerasjoint.problems import PROBLEMS
from kerasjoint.registry import Registry

# What a label of each kind must give: imported on use, since TensorFlow comes with it.
BASES = {
    PROBLEMS.kind: "kerasjoint.problem:InverseProblem",
    METHODS.kind: "kerasjoint.methods.base:Method",
}
# A refinement starts beside the minimum sought: its first trial step is short.
REFINEMENT_DEFAULTS = {"first_step": 0.01}
# An error is reported at the last line outside of these places: not in generated code, nor in this folder.
NOT_OWN = (*LIBRARIES, "<", str(Path(__file__).parent) + os.sep)

Factory = Callable[..., Any]


def load_factory(registry: Registry, text: str) -> Factory:
    """Return what constructs the problem or method of a label: a class, or a function that returns an instance.

    A module is imported with the current folder on the path; a file is loaded with its own folder on the path.

    Raises
    ------
    ArgumentError
        If the file is missing, the module does not import, or the name is missing or stands for something else.

    Example
    -------
    >>> load_factory(PROBLEMS, "damped.py:Damped")()
    """
    label = Label(text)
    if not label.is_reference:
        return registry.load(label.base)
    module = _load_module(registry.kind, label)
    base = _base(registry)
    try:
        found = attrgetter(label.attribute)(module)
    except AttributeError:
        own = [name for name, value in vars(module).items() if _fits(value, base)]
        hint = did_you_mean(label.attribute, own, cutoff=0.4)
        expected = f"a name in {_place(label)}, such as {', '.join(own) or f'a subclass of {base.__name__}'}"
        raise ArgumentError(registry.kind, expected, f"{label.attribute!r}{hint}") from None
    if isinstance(found, base):
        return lambda: found
    if (isinstance(found, type) and not issubclass(found, base)) or not callable(found):
        article = f"a subclass or instance of {base.__name__}, or a function that returns one"
        raise ArgumentError(f"{registry.kind} {text}", article, _describe(found))
    return found


def construct(registry: Registry, text: str, options: Mapping[str, Any]) -> Any:
    """Construct the problem or method of a label with its options.

    Example
    -------
    >>> construct(METHODS, "reparameterized@long", {"epochs": 5000})
    """
    factory = load_factory(registry, text)
    base = _base(registry)
    where = f"{registry.kind} {text}"
    try:
        made = factory(**options)
    except KerasjointError:
        raise
    except Exception as error:
        given = ", ".join(f"{name}={value!r}" for name, value in options.items()) or "no options"
        expected = f"something that can be constructed with {given}"
        raise ArgumentError(where, expected, _cause(error)) from error
    if not isinstance(made, base):
        raise ArgumentError(where, f"a function that returns an instance of {base.__name__}", _describe(made))
    return made


def construct_refinement(method: str, options: Mapping[str, Any]) -> Any:
    """Construct the local method that refines learned solutions."""
    from kerasjoint.methods.base import check_method

    known = inspect.signature(load_factory(METHODS, method)).parameters
    defaults = {name: value for name, value in REFINEMENT_DEFAULTS.items() if name in known}
    local = construct(METHODS, method, defaults | dict(options))
    check_method("refinement.method", local, local=True)
    return local


def can_sample(problem: Any) -> bool:
    """Return whether a problem defines ``sample``."""
    from kerasjoint.problem import InverseProblem

    return type(problem).sample is not InverseProblem.sample


def check_options(where: str, factory: Factory, options: Mapping[str, Any]) -> None:
    """Refuse options that a class or function does not take, by name."""
    parameters = inspect.signature(factory).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL]
    for option in options:
        if option not in known:
            raise ArgumentError(where, f"one of {', '.join(known)}" if known else "no options", repr(option))


def source_digest(text: str) -> str | None:
    """Return a digest of the file that a label refers to; ``None`` for names of the registries."""
    label = Label(text)
    path = label.file or getattr(sys.modules.get(label.module or ""), "__file__", None)
    return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def _base(registry: Registry) -> type:
    module, _, name = BASES[registry.kind].partition(":")
    return getattr(import_module(module), name)


def _load_module(kind: str, label: Label) -> ModuleType:
    if label.file is not None and not os.path.isfile(label.file):
        raise ArgumentError(kind, f"an existing file before :{label.attribute}", label.file)
    folder = Path.cwd() if label.file is None else label.file.resolve().parent
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    invalidate_caches()
    try:
        if label.file is None:
            return import_module(str(label.module))
        return _load_file(label.file.resolve(), source_digest(label.text))
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name in _with_parents(label.module):
            raise ArgumentError(kind, "a module of the current folder, or an installed one", label.module) from None
        raise ArgumentError(kind, f"{_place(label)} to import without an error", _cause(error)) from error


@lru_cache(maxsize=64)
def _load_file(path: Path, digest: str | None) -> ModuleType:
    """Execute a file as a module, once for each content; its name stays the same for objects that are stored by it."""
    name = f"kerasjoint_file_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _fits(value: Any, base: type) -> bool:
    return isinstance(value, base) or (isinstance(value, type) and issubclass(value, base) and value is not base)


def _cause(error: BaseException) -> str:
    """Return an exception in one line, with the file and line that raised it."""
    if isinstance(error, SyntaxError):
        place = f"{error.filename}, line {error.lineno}"
        return f"{type(error).__name__}: {error.msg} ({place})"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(NOT_OWN)]
    last = (own or [frame for frame in frames if frame.filename != __file__])[-1:]
    place = f" ({last[0].filename}, line {last[0].lineno})" if last else ""
    return f"{type(error).__name__}: {error}{place}"


def _place(label: Label) -> str:
    return str(label.file or label.module)


def _with_parents(module: str | None) -> list[str]:
    parts = (module or "").split(".")
    return [".".join(parts[: k + 1]) for k in range(len(parts))]


def _describe(value: Any) -> str:
    return f"{type(value).__name__} {value!r:.60}"
