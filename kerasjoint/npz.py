"""Arrays by name in ``.npz`` files: written whole or not at all, read without pickle."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError
from kerasjoint.files import atomic_path

Arrays = dict[str, NDArray[Any]]


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write arrays to an ``.npz`` file; return its path.

    Example
    -------
    >>> write_npz("data.npz", {"y": np.zeros((3, 2))})
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise ArgumentError("path", "a name ending in .npz", target)
    if not target.parent.is_dir():
        raise ArgumentError("path", "a name in an existing folder", target)
    with atomic_path(target) as partial, open(partial, "wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return target


def read_npz(path: str | os.PathLike[str]) -> Arrays:
    """Read all arrays of an ``.npz`` file; never a pickle.

    Raises
    ------
    ArgumentError
        For a file that is missing, damaged, or holds Python objects.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise ArgumentError("path", "an existing .npz file", path) from None
    except (
        ValueError,
        TypeError,
        EOFError,
        OSError,
        zipfile.BadZipFile,
        zlib.error,
        KeyError,
        AttributeError,
    ) as error:
        raise ArgumentError(str(path), "an intact .npz file without pickled objects", error) from None
