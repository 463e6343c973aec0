"""Arrays by name in ``.npz`` files: written whole or not at all, read without pickle and only if they fit in memory."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from kerasjoint.checks import check_path
from kerasjoint.errors import ArgumentError
from kerasjoint.files import atomic_path

Arrays = dict[str, NDArray[Any]]

# Compressed files of a few megabytes can state any size: beyond SMALL, at most RATIO times what the file has.
MOST, SMALL, RATIO = 8 * 2**30, 2**28, 100
MEMBERS = 10_000
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]]) -> Path:
    """Write arrays to an ``.npz`` file; return its path.

    Example
    -------
    >>> write_npz("data.npz", {"y": np.zeros((3, 2))})
    """
    target = check_path("path", path)
    if target.suffix != ".npz":
        raise ArgumentError("path", "a name ending in .npz", target)
    if not target.parent.is_dir():
        raise ArgumentError("path", "a name in an existing folder", target)
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise ArgumentError(name, "an array of numbers or text", "one of Python objects")
    with atomic_path(target) as partial, open(partial, "wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return target


def read_npz(path: str | os.PathLike[str]) -> Arrays:
    """Read all arrays of an ``.npz`` file, as ``np.savez`` and ``np.savez_compressed`` write them; never a pickle.

    Raises
    ------
    ArgumentError
        For a file that is missing, damaged, encrypted, holds Python objects, or states sizes beyond its own.
    """
    path = check_path("path", path)
    try:
        with open(path, "rb") as stream, zipfile.ZipFile(stream) as file:
            members = file.infolist()
            _check_sizes(str(path), members, os.fstat(stream.fileno()).st_size)
            return {member.filename.removesuffix(".npy"): _read(file, member) for member in members}
    except FileNotFoundError:
        raise ArgumentError("path", "an existing .npz file", path) from None
    except ArgumentError:
        raise
    except Exception as error:  # Of many kinds: zipfile, zlib, NumPy and its tokenizer of headers have their own.
        got = str(error) or type(error).__name__
        raise ArgumentError(str(path), "an intact .npz file without pickled objects", got) from None


def _check_sizes(path: str, members: list[zipfile.ZipInfo], size: int) -> None:
    names = [member.filename for member in members]
    if len(set(names)) != len(names) or len(names) > MEMBERS:
        raise ArgumentError(path, f"at most {MEMBERS} arrays, of different names", f"{len(names)}")
    for member in members:
        if not member.filename.endswith(".npy"):
            raise ArgumentError(path, "arrays alone, as np.savez writes them", repr(member.filename))
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
            raise ArgumentError(path, "arrays as np.savez writes them", "another compression, or encryption")
    stated, most = sum(member.file_size for member in members), min(MOST, SMALL + RATIO * size)
    if stated > most:
        expected = f"at most {most / 2**20:.0f} MB of arrays in a file of {size / 2**20:.1f} MB"
        raise ArgumentError(path, f"{expected} (np.savez, uncompressed, takes up to {MOST / 2**30:.0f} GB)", stated)


def _read(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """Read an array after comparing the size that its header states with that of the archive's member."""
    with file.open(member) as stream:
        version = npy.read_magic(stream)
        if version not in HEADERS:
            raise ValueError(f"{member.filename} has a header of version {version}")
        shape, _, dtype = HEADERS[version](stream)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds Python objects")
        stated = math.prod(shape) * dtype.itemsize
        held = member.file_size - stream.tell()
        if stated != held or min(shape, default=0) < 0:
            raise ValueError(f"{member.filename} states {stated} bytes of numbers and has {held}")
    with file.open(member) as stream:
        return npy.read_array(stream, allow_pickle=False)
