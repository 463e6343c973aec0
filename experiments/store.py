"""The rows on disk: one folder a cell, written whole or not at all, until they are packed into few files."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError
from kerasjoint.experiments.plan import Cell
from kerasjoint.experiments.variants import in_order
from kerasjoint.problems import PROBLEMS

PARTIAL = ".partial-"
PACK = "packed-"
# What is half written is so for seconds. Older leftovers are of a killed run; younger ones may be another process's.
ABANDONED_SECONDS = 600
# What rows were run with that do not name it.
LATER_SETTINGS = {"refinement": {"method": "lockstep-lbfgs", "options": {}}}


class CellRows(NamedTuple):
    """What a finished cell leaves: rows per instance, the curve of its optimisation, and metadata."""

    rows: pd.DataFrame
    curve: pd.DataFrame
    metadata: dict[str, Any]


class Store:
    """A folder of finished cells and illustrations, into which several processes may write.

    Layout: ``cells/<cell>/rows.parquet``, ``curve.parquet`` and ``cell.json``; ``illustrations/<problem>.npz``. Packed
    cells are together in ``cells/packed-<k>/rows.parquet``, ``curve.parquet`` and ``cells.json``.

    Example
    -------
    >>> store = Store("results/quick")
    >>> store.rows()
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ArgumentError("out", "a folder", f"the file {self.folder}")

    def open_for(self, cells: Iterable[Cell]) -> None:
        """Create the folder, clear what a killed run left half written, and refuse another run's rows."""
        if self.folder.exists() and not self._cells.exists() and any(self.folder.iterdir()):
            raise ArgumentError("out", "a new folder, or one with rows of this run", f"{self.folder} with other files")
        self._cells.mkdir(parents=True, exist_ok=True)
        self._illustrations.mkdir(exist_ok=True)
        outdated = [folder for folder in self._cells.iterdir() if folder.name in self._packed] + self._packs()[:-1]
        partial = [*self._cells.glob(f"{PARTIAL}*"), *self._illustrations.glob(f"{PARTIAL}*")]
        abandoned = [path for path in partial if time.time() - path.stat().st_mtime > ABANDONED_SECONDS]
        for leftover in (*abandoned, *outdated):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        for cell in cells:
            if self.has(cell):
                self._check_same(cell)

    def has(self, cell: Cell) -> bool:
        """Tell whether a cell is finished."""
        return cell.name in self._packed or (self._cells / cell.name).is_dir()

    def write(self, cell: Cell, content: CellRows) -> None:
        """Store a finished cell; if another process has stored it meanwhile, that one stays."""
        metadata = json.dumps(content.metadata | {"settings": cell.settings}, indent=1)
        try:
            _write_folder(self._cells / cell.name, content.rows, content.curve, "cell.json", metadata)
        except OSError:
            if not self.has(cell):
                raise

    def pack(self) -> int:
        """Put all finished cells into few files, for keeping; a run can still go on. Return how many they are."""
        # Only these are packed and removed: another process may finish more cells meanwhile.
        outdated = self._finished()
        loose = [folder for folder in outdated if not folder.name.startswith(PACK)]
        metadata = self._packed | {folder.name: _read_metadata(folder) for folder in loose}
        rows, curves = _collect("rows.parquet", outdated), _collect("curve.parquet", outdated)
        number = int(self._packs()[-1].name.removeprefix(PACK)) + 1 if self._packs() else 1
        _write_folder(self._cells / f"{PACK}{number}", rows, curves, "cells.json", json.dumps(metadata))
        del self.__dict__["_packed"]
        for folder in outdated:
            shutil.rmtree(folder)
        return len(metadata)

    def has_illustration(self, problem: str) -> bool:
        """Tell whether a problem's illustration is stored."""
        return (self._illustrations / f"{problem}.npz").is_file()

    def write_illustration(self, problem: str, arrays: dict[str, NDArray[Any]]) -> None:
        """Store the arrays that picture a problem."""
        partial = _partial(self._illustrations / f"{problem}.npz")
        np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]
        os.replace(partial, self._illustrations / f"{problem}.npz")

    def illustration(self, problem: str) -> dict[str, NDArray[Any]] | None:
        """Return the arrays that picture a problem, or ``None``."""
        if not self.has_illustration(problem):
            return None
        with np.load(self._illustrations / f"{problem}.npz", allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    def rows(self) -> pd.DataFrame:
        """Return the rows of all finished cells."""
        return _collect("rows.parquet", self._finished())

    def curves(self) -> pd.DataFrame:
        """Return the curves of all finished cells."""
        return _collect("curve.parquet", self._finished())

    def metadata(self) -> pd.DataFrame:
        """Return one row per finished cell: its settings, seconds, versions and machine."""
        self._finished()
        return pd.DataFrame([*self._packed.values(), *map(_read_metadata, self._loose())])

    @property
    def _cells(self) -> Path:
        return self.folder / "cells"

    @property
    def _illustrations(self) -> Path:
        return self.folder / "illustrations"

    def _packs(self) -> list[Path]:
        """The packed files, the newest last: it holds what the others held."""
        return sorted(self._cells.glob(f"{PACK}*"), key=lambda folder: int(folder.name.removeprefix(PACK)))

    @cached_property
    def _packed(self) -> dict[str, dict[str, Any]]:
        """Metadata of the packed cells, by name."""
        if not self._packs():
            return {}
        path = self._packs()[-1] / "cells.json"
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ArgumentError(str(path), "readable metadata", error) from None

    def _loose(self) -> list[Path]:
        """The folders of finished cells that are not packed."""
        names = (PARTIAL, PACK)
        folders = sorted(path for path in self._cells.glob("*") if not path.name.startswith(names))
        return [folder for folder in folders if folder.name not in self._packed]

    def _finished(self) -> list[Path]:
        folders = self._packs()[-1:] + self._loose()
        if not folders:
            raise ArgumentError("folder", "a folder with the rows of a run", self.folder)
        return folders

    def _check_same(self, cell: Cell) -> None:
        metadata = self._packed.get(cell.name) or _read_metadata(self._cells / cell.name)
        stored = LATER_SETTINGS | metadata["settings"]
        wanted = json.loads(json.dumps(cell.settings))
        different = sorted(key for key in wanted.keys() | stored.keys() if wanted.get(key) != stored.get(key))
        if different:
            raise ArgumentError(
                "out",
                "a new folder, or one with rows of the same settings",
                f"{self.folder}, whose cell {cell.name} was run with other {', '.join(different)}",
            )


def _partial(target: Path) -> Path:
    """Return where to write what becomes ``target`` when it is whole."""
    return target.with_name(f"{PARTIAL}{uuid4().hex}-{target.name}")


def _write_folder(target: Path, rows: pd.DataFrame, curve: pd.DataFrame, name: str, metadata: str) -> None:
    partial = _partial(target)
    partial.mkdir()
    try:
        rows.to_parquet(partial / "rows.parquet", index=False, compression="zstd")
        curve.to_parquet(partial / "curve.parquet", index=False, compression="zstd")
        (partial / name).write_text(f"{metadata}\n")
        os.replace(partial, target)
    except BaseException:
        shutil.rmtree(partial)
        raise


def _collect(file: str, folders: Sequence[Path]) -> pd.DataFrame:
    """Join a file of all ``folders``, problems in the order of the registry."""
    frames = []
    for folder in folders:
        try:
            frames.append(pd.read_parquet(folder / file))
        except (OSError, ValueError) as error:
            raise ArgumentError(str(folder / file), "readable Parquet rows", error) from None
    whole = pd.concat(frames)
    place = {label: k for k, label in enumerate(in_order(PROBLEMS, whole["problem"]))}
    return whole.sort_values("problem", key=lambda column: column.map(place), kind="stable", ignore_index=True)


def _read_metadata(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "cell.json").read_text())
    except (OSError, ValueError) as error:
        raise ArgumentError(str(folder / "cell.json"), "readable metadata", error) from None
