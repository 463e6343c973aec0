"""Arrays by name in a folder of ``.npy`` files, opened without reading them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasjoint.checks import check_path
from kerasjoint.errors import ArgumentError
from kerasjoint.files import atomic_path

Arrays = dict[str, NDArray[Any]]


def write_npy_folder(folder: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write arrays to a new folder, whole or not at all; return its path. A name may have one slash, as ``x/time``.

    Example
    -------
    >>> write_npy_folder("recordings", {"y": np.zeros((3, 2)), "x/time": np.zeros((3, 2))})
    """
    target = check_path("folder", folder)
    if target.exists():
        raise ArgumentError("folder", "a new folder", f"{target}, which exists")
    if not target.parent.is_dir():
        raise ArgumentError("folder", "a name in an existing folder", target)
    for name in arrays:
        parts = name.split("/")
        if len(parts) > 2 or not {"", ".", ".."}.isdisjoint(parts):
            raise ArgumentError("folder", "arrays whose names can be those of files", repr(name))
    with atomic_path(target) as partial:
        for name, array in arrays.items():
            path = partial / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, array, allow_pickle=False)
    return target


def open_npy_folder(folder: str | os.PathLike[str]) -> Arrays:
    """Return the arrays of a folder as read-only memory maps; never a pickle.

    Raises
    ------
    ArgumentError
        For a folder that is missing or has no arrays, and a file that is damaged or holds Python objects, by its path.
    """
    root = check_path("folder", folder)
    files = sorted([*root.glob("*.npy"), *root.glob("*/*.npy")])
    if not files:
        raise ArgumentError("folder", "an existing folder with .npy files", root)
    arrays = {}
    for file in files:
        try:
            arrays[file.relative_to(root).with_suffix("").as_posix()] = np.load(file, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # Of many kinds: NumPy and its tokenizer of headers have their own.
            raise ArgumentError(str(file), "an intact .npy file without pickled objects", error) from None
    return arrays
