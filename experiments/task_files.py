"""Files of tasks: written whole with a digest of each, and read only if every byte is as written."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from kerasjoint.errors import ArgumentError
from kerasjoint.files import atomic_path

ROWS, TRACE, DIGESTS = "rows.parquet", "trace.parquet", "SHA256SUMS"


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write files and their digests, as ``sha256sum --check SHA256SUMS`` takes them, into a new folder.

    Example
    -------
    >>> write_folder(Path("failures/a"), {"failure.json": to_json({"reason": "out of memory"})})
    """
    with atomic_path(target) as partial:
        partial.mkdir()
        for name, content in files.items():
            (partial / name).write_bytes(content)
        (partial / DIGESTS).write_text("\n".join([*_lines(files), ""]))


def read_folder(folder: Path, *names: str) -> list[bytes]:
    """Return the content of files that ``write_folder`` wrote.

    Raises
    ------
    ArgumentError
        For a file that is missing or has another digest, by its path.
    """
    files = {name: _read(folder / name) for name in names}
    stated = _read(folder / DIGESTS).decode(errors="replace").split("\n")
    for name, line in zip(names, _lines(files), strict=True):
        if line not in stated:
            raise ArgumentError(str(folder / name), f"the content whose digest is in {DIGESTS}", "another")
    return list(files.values())


def to_parquet(frame: pd.DataFrame) -> bytes:
    """Return a table as the bytes of a Parquet file."""
    return frame.to_parquet(None, index=False, compression="zstd", write_page_checksum=True)


def from_parquet(path: Path, content: bytes) -> pd.DataFrame:
    """Return the table of a Parquet file; ``path`` names it in messages."""
    try:
        return pd.read_parquet(io.BytesIO(content))
    except Exception as error:  # Of many kinds, as bytes that are no Parquet are.
        raise ArgumentError(str(path), "readable Parquet rows", error) from None


def to_json(content: Mapping[str, Any]) -> bytes:
    """Return metadata as the bytes of a JSON file."""
    return f"{json.dumps(content, indent=1)}\n".encode()


def from_json(path: Path, content: bytes) -> dict[str, Any]:
    """Return the metadata of a JSON file, a mapping; ``path`` names it in messages."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(str(path), "readable metadata", error) from None
    if not isinstance(found, dict):
        raise ArgumentError(str(path), "a mapping of keys", type(found).__name__)
    return found


def _lines(files: Mapping[str, bytes]) -> list[str]:
    return [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in files.items()]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArgumentError(str(path), "a readable file", error.strerror) from None
