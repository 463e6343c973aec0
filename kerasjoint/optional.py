"""Packages that only some uses need."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from kerasjoint.errors import KerasjointError


class MissingPackageError(KerasjointError, ImportError):
    """An optional package that is not installed."""


def require(package: str, extra: str) -> ModuleType:
    """Import and return an optional package; if it is missing, name the extra that installs it.

    Example
    -------
    >>> require("distributed", extra="dask")
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != package.split(".")[0]:
            raise
        raise MissingPackageError(f"{package} is not installed: pip install kerasjoint[{extra}]") from None
