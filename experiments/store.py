"""The rows on disk: one folder a task, written whole or not at all, until they are packed into few files."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pandas as pd
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError, WriteError
from kerasjoint.experiments.failures import COLUMNS, Failures
from kerasjoint.experiments.labels import Label, in_order
from kerasjoint.experiments.plan import Task
from kerasjoint.experiments.row_checks import check_rows, check_trace
from kerasjoint.experiments.task_files import ROWS, TRACE, from_parquet, read_folder, to_json, to_parquet, write_folder
from kerasjoint.experiments.task_folders import ONE, Metadata, TaskFolders, View, read_metadata
from kerasjoint.files import PARTIAL, make_folder
from kerasjoint.npz import read_npz, write_npz
from kerasjoint.problems import PROBLEMS

# What is half written is so for seconds. Older leftovers are of a killed run; younger ones may be another process's.
ABANDONED_SECONDS = 600
DAMAGED = ".damaged-"
LANDSCAPE = ("landscape_values", "landscape_loss")
CHECKS = {ROWS: check_rows, TRACE: check_trace}


class TaskResult(NamedTuple):
    """What a finished task leaves: rows per instance, the trace of its optimisation, and metadata."""

    rows: pd.DataFrame
    trace: pd.DataFrame
    metadata: dict[str, Any]


class Store:
    """A folder of finished tasks, failures and figure data, into which several processes may write.

    Layout: ``tasks/<task>/rows.parquet``, ``trace.parquet`` and ``task.json``; ``failures/<task>/failure.json``;
    ``figure-data/<problem>.npz``. Packed tasks are together in ``tasks/packed-<k>/rows.parquet``, ``trace.parquet`` and
    ``tasks.json``. Each folder has digests of its files in ``SHA256SUMS``: damage is refused by name.

    Example
    -------
    >>> store = Store("results/quick")
    >>> store.rows()
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ArgumentError("out", "a folder", f"the file {self.folder}")
        self.failures = Failures(self.folder / "failures")
        self._tasks = self.folder / "tasks"
        self._folders = TaskFolders(self._tasks)
        self._figure_data = self.folder / "figure-data"

    def open_for(self, tasks: Iterable[Task]) -> dict[str, str]:
        """Create the folder, clear what a killed run left, refuse another run's rows, and set damaged tasks aside.

        Returns
        -------
        dict
            Why each damaged task is run again, by its name.
        """
        if self.folder.exists() and not self._tasks.exists() and any(_shown(self.folder)):
            raise ArgumentError("out", "a new folder, or one with rows of this run", f"{self.folder} with other files")
        make_folder(self._tasks)
        make_folder(self._figure_data)
        self._clean()
        damaged = {}
        for task in tasks:
            try:
                stored = self._stored_metadata(task)
            except ArgumentError as error:
                damaged[task.name] = str(error)
                self._set_aside(task)
            else:
                self._check_same(task, stored)
        return damaged

    def has(self, task: Task) -> bool:
        """Return whether a task is finished, and its files are intact."""
        try:
            return self._stored_metadata(task) is not None
        except ArgumentError:
            return False

    def write(self, task: Task, result: TaskResult) -> None:
        """Store a finished task; if another process has stored it meanwhile, that one stays."""
        metadata = result.metadata | {"preset": task.preset, "settings": task.settings}
        target, tasks = self._tasks / task.name, {task.name: metadata}
        files = {
            ROWS: to_parquet(check_rows(result.rows, tasks, target / ROWS)),
            TRACE: to_parquet(check_trace(result.trace, tasks, target / TRACE)),
            ONE: to_json(metadata),
        }
        try:
            write_folder(target, files)
        except WriteError:
            if not self.has(task):
                raise
        self.failures.remove(task)

    def pack(self) -> int:
        """Put all finished tasks into few files, for keeping; a run can still go on. Return how many they are."""
        while True:
            rows, trace, metadata, view = self._folders.read(
                lambda view: (self._collect(view, ROWS), self._collect(view, TRACE), self._metadata(view), view)
            )
            if not view.loose or self._folders.write_pack(view, to_parquet(rows), to_parquet(trace), metadata):
                self._clean()
                return len(metadata)

    def has_figure_data(self, problem: str) -> bool:
        """Return whether a problem's figure data is stored, and intact."""
        try:
            return self.figure_data(problem) is not None
        except ArgumentError:
            return False

    def write_figure_data(self, problem: str, arrays: dict[str, NDArray[Any]]) -> None:
        """Store the arrays that figures of a problem need."""
        write_npz(self._figure_data_of(problem), arrays)

    def figure_data(self, problem: str) -> dict[str, NDArray[Any]] | None:
        """Return the arrays that figures of a problem need, or ``None``."""
        path = self._figure_data_of(problem)
        if not path.is_file():
            return None
        arrays = read_npz(path)
        missing = [name for name in ("y", "landscape_label", *LANDSCAPE) if name not in arrays]
        shapes = {arrays[name].shape for name in LANDSCAPE if name in arrays}
        if missing or len(shapes) != 1:
            raise ArgumentError(str(path), "figure data, of one shape along the landscape", sorted(arrays))
        return arrays

    def rows(self) -> pd.DataFrame:
        """Return the rows of all finished tasks."""
        return self._folders.read(lambda view: self._collect(view, ROWS))

    def traces(self) -> pd.DataFrame:
        """Return the traces of all finished tasks."""
        return self._folders.read(lambda view: self._collect(view, TRACE))

    def metadata(self) -> pd.DataFrame:
        """Return one row per finished task: its preset, settings, seconds, versions and machine."""
        return pd.DataFrame(list(self._folders.read(self._metadata).values()))

    def failed(self) -> pd.DataFrame:
        """Return one row per task that failed and was not finished since, with the reason."""
        table = self.failures.table()
        if table.empty:
            return table
        view = self._folders.view()
        return table[~table["task"].isin([*view.packed, *(folder.name for folder in view.loose)])]

    def simulator_errors(self) -> pd.DataFrame:
        """Return one row per error that a simulator raised for single instances of a finished task, and how often."""
        found = [
            {"task": task}
            | {name: metadata["settings"][name] for name in ("problem", "method", "n", "seed")}
            | {"times": times, "reason": reason}
            for task, metadata in self._folders.read(self._metadata).items()
            for reason, times in metadata.get("simulator_errors", {}).items()
        ]
        return pd.DataFrame(found, columns=[*COLUMNS[:-1], "times", "reason"])

    def _figure_data_of(self, problem: str) -> Path:
        return self._figure_data / f"{Label(problem).slug}.npz"

    def _stored_metadata(self, task: Task) -> Metadata | None:
        """The metadata of a finished task, or ``None``; a damaged one is refused."""

        def read(view: View) -> Metadata | None:
            folder = self._tasks / task.name
            return view.packed.get(task.name) or (read_metadata(folder) if folder in view.loose else None)

        return self._folders.read(read)

    def _check_same(self, task: Task, stored: Metadata | None) -> None:
        if stored is None:
            return
        old, new = stored["settings"], json.loads(json.dumps(task.settings))
        different = sorted(key for key in new.keys() | old.keys() if new.get(key) != old.get(key))
        if different:
            raise ArgumentError(
                "out",
                "a new folder, or one with rows of the same settings and source files",
                f"{self.folder}, whose task {task.name} was run with other {', '.join(different)}",
            )

    def _set_aside(self, task: Task) -> None:
        target = self._tasks / f"{DAMAGED}{uuid4().hex[:8]}-{task.name}"
        try:
            os.replace(self._tasks / task.name, target)
        except FileNotFoundError:
            pass  # Another process was faster.
        except OSError as error:
            raise WriteError(str(target), error.strerror or str(error)) from error

    def _contents(self, view: View) -> list[tuple[Path, dict[str, Metadata]]]:
        """The folders of finished tasks, each with the metadata of its tasks by name."""
        packed = [] if view.pack is None else [(view.pack, view.packed)]
        found = packed + [(folder, {folder.name: read_metadata(folder)}) for folder in view.loose]
        if not found:
            raise ArgumentError("folder", "a folder with the rows of a run", self.folder)
        return found

    def _metadata(self, view: View) -> dict[str, Metadata]:
        return {name: metadata for _, tasks in self._contents(view) for name, metadata in tasks.items()}

    def _collect(self, view: View, file: str) -> pd.DataFrame:
        """Join a file of all finished tasks, problems in the order of the registry."""
        frames = []
        for folder, tasks in self._contents(view):
            path, (content, *_) = folder / file, read_folder(folder, file)
            frames.append(CHECKS[file](from_parquet(path, content), tasks, path))
        whole = pd.concat(frames)
        place = {label: k for k, label in enumerate(in_order(PROBLEMS, whole["problem"]))}
        return whole.sort_values("problem", key=lambda column: column.map(place), kind="stable", ignore_index=True)

    def _clean(self) -> None:
        self._folders.clean()
        for path in [*self.folder.glob(f"{PARTIAL}*"), *self.folder.glob(f"*/{PARTIAL}*")]:
            # Another process may remove them, too.
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _shown(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name[0] != "."]
