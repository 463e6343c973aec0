"""The rows on disk: one folder a task, written whole or not at all, until they are packed into few files."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError
from kerasjoint.experiments.labels import Label, in_order
from kerasjoint.experiments.plan import Task
from kerasjoint.files import PARTIAL, atomic_path
from kerasjoint.problems import PROBLEMS

PACK = "packed-"
# What is half written is so for seconds. Older leftovers are of a killed run; younger ones may be another process's.
ABANDONED_SECONDS = 600


class TaskResult(NamedTuple):
    """What a finished task leaves: rows per instance, the trace of its optimisation, and metadata."""

    rows: pd.DataFrame
    trace: pd.DataFrame
    metadata: dict[str, Any]


class Store:
    """A folder of finished tasks and figure data, into which several processes may write.

    Layout: ``tasks/<task>/rows.parquet``, ``trace.parquet`` and ``task.json``; ``figure-data/<problem>.npz``. Packed
    tasks are together in ``tasks/packed-<k>/rows.parquet``, ``trace.parquet`` and ``tasks.json``.

    Example
    -------
    >>> store = Store("results/quick")
    >>> store.rows()
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ArgumentError("out", "a folder", f"the file {self.folder}")

    def open_for(self, tasks: Iterable[Task]) -> None:
        """Create the folder, clear what a killed run left half written, and refuse another run's rows."""
        if self.folder.exists() and not self._tasks.exists() and any(self.folder.iterdir()):
            raise ArgumentError("out", "a new folder, or one with rows of this run", f"{self.folder} with other files")
        self._tasks.mkdir(parents=True, exist_ok=True)
        self._figure_data.mkdir(exist_ok=True)
        outdated = [folder for folder in self._tasks.iterdir() if folder.name in self._packed] + self._packs()[:-1]
        partial = [*self.folder.glob(f"{PARTIAL}*"), *self.folder.glob(f"*/{PARTIAL}*")]
        abandoned = [path for path in partial if time.time() - path.stat().st_mtime > ABANDONED_SECONDS]
        for leftover in (*abandoned, *outdated):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        for task in tasks:
            if self.has(task):
                self._check_same(task)

    def has(self, task: Task) -> bool:
        """Return whether a task is finished."""
        return task.name in self._packed or (self._tasks / task.name).is_dir()

    def write(self, task: Task, result: TaskResult) -> None:
        """Store a finished task; if another process has stored it meanwhile, that one stays."""
        metadata = json.dumps(result.metadata | {"preset": task.preset, "settings": task.settings}, indent=1)
        try:
            _write_folder(self._tasks / task.name, result.rows, result.trace, "task.json", metadata)
        except OSError:
            if not self.has(task):
                raise

    def pack(self) -> int:
        """Put all finished tasks into few files, for keeping; a run can still go on. Return how many they are."""
        # Only these are packed and removed: another process may finish more tasks meanwhile.
        outdated = self._finished()
        loose = [folder for folder in outdated if not folder.name.startswith(PACK)]
        metadata = self._packed | {folder.name: _read_metadata(folder) for folder in loose}
        rows, traces = _collect("rows.parquet", outdated), _collect("trace.parquet", outdated)
        number = int(self._packs()[-1].name.removeprefix(PACK)) + 1 if self._packs() else 1
        _write_folder(self._tasks / f"{PACK}{number}", rows, traces, "tasks.json", json.dumps(metadata))
        del self.__dict__["_packed"]
        for folder in outdated:
            shutil.rmtree(folder)
        return len(metadata)

    def has_figure_data(self, problem: str) -> bool:
        """Return whether a problem's figure data is stored."""
        return self._figure_data_of(problem).is_file()

    def write_figure_data(self, problem: str, arrays: dict[str, NDArray[Any]]) -> None:
        """Store the arrays that figures of a problem need."""
        with atomic_path(self._figure_data_of(problem)) as path:
            np.savez_compressed(path, **arrays)  # type: ignore[arg-type]

    def figure_data(self, problem: str) -> dict[str, NDArray[Any]] | None:
        """Return the arrays that figures of a problem need, or ``None``."""
        if not self.has_figure_data(problem):
            return None
        with np.load(self._figure_data_of(problem), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    def rows(self) -> pd.DataFrame:
        """Return the rows of all finished tasks."""
        return _collect("rows.parquet", self._finished())

    def traces(self) -> pd.DataFrame:
        """Return the traces of all finished tasks."""
        return _collect("trace.parquet", self._finished())

    def metadata(self) -> pd.DataFrame:
        """Return one row per finished task: its preset, settings, seconds, versions and machine."""
        self._finished()
        return pd.DataFrame([*self._packed.values(), *map(_read_metadata, self._loose())])

    @property
    def _tasks(self) -> Path:
        return self.folder / "tasks"

    @property
    def _figure_data(self) -> Path:
        return self.folder / "figure-data"

    def _figure_data_of(self, problem: str) -> Path:
        return self._figure_data / f"{Label(problem).slug}.npz"

    def _packs(self) -> list[Path]:
        """The packed files, the newest last: it holds what the others held."""
        return sorted(self._tasks.glob(f"{PACK}*"), key=lambda folder: int(folder.name.removeprefix(PACK)))

    @cached_property
    def _packed(self) -> dict[str, dict[str, Any]]:
        """Metadata of the packed tasks, by name."""
        if not self._packs():
            return {}
        path = self._packs()[-1] / "tasks.json"
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ArgumentError(str(path), "readable metadata", error) from None

    def _loose(self) -> list[Path]:
        """The folders of finished tasks that are not packed."""
        names = (PARTIAL, PACK)
        folders = sorted(path for path in self._tasks.glob("*") if not path.name.startswith(names))
        return [folder for folder in folders if folder.name not in self._packed]

    def _finished(self) -> list[Path]:
        folders = self._packs()[-1:] + self._loose()
        if not folders:
            raise ArgumentError("folder", "a folder with the rows of a run", self.folder)
        return folders

    def _check_same(self, task: Task) -> None:
        metadata = self._packed.get(task.name) or _read_metadata(self._tasks / task.name)
        stored, wanted = metadata["settings"], json.loads(json.dumps(task.settings))
        different = sorted(key for key in wanted.keys() | stored.keys() if wanted.get(key) != stored.get(key))
        if different:
            raise ArgumentError(
                "out",
                "a new folder, or one with rows of the same settings and source files",
                f"{self.folder}, whose task {task.name} was run with other {', '.join(different)}",
            )


def _write_folder(target: Path, rows: pd.DataFrame, trace: pd.DataFrame, name: str, metadata: str) -> None:
    with atomic_path(target) as partial:
        partial.mkdir()
        rows.to_parquet(partial / "rows.parquet", index=False, compression="zstd")
        trace.to_parquet(partial / "trace.parquet", index=False, compression="zstd")
        (partial / name).write_text(f"{metadata}\n")


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
        return json.loads((folder / "task.json").read_text())
    except (OSError, ValueError) as error:
        raise ArgumentError(str(folder / "task.json"), "readable metadata", error) from None
