"""Why tasks failed, kept beside the rows of those that finished."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from kerasjoint.errors import ArgumentError, WriteError
from kerasjoint.experiments.plan import Task
from kerasjoint.experiments.task_files import from_json, read_folder, to_json, write_folder
from kerasjoint.files import make_folder

FILE = "failure.json"
COLUMNS = ("task", "problem", "method", "n", "seed", "reason")


class Failures:
    """A folder with the reason of each task that failed; it goes once the task is finished.

    Example
    -------
    >>> Store("results/quick").failures.table()
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, task: Task, reason: str) -> None:
        """Store why a task failed, instead of an earlier reason."""
        self.remove(task)
        content = {name: getattr(task, name) for name in ("problem", "method", "n", "seed")} | {"reason": reason}
        target = self._root / task.name
        make_folder(self._root)
        try:
            write_folder(target, {FILE: to_json({"task": task.name} | content)})
        except WriteError:
            # Another process may have run the task, too.
            if not target.is_dir():
                raise

    def remove(self, task: Task) -> None:
        """Forget that a task failed."""
        shutil.rmtree(self._root / task.name, ignore_errors=True)

    def table(self) -> pd.DataFrame:
        """Return one row per failed task: its name, problem, method, n, seed and reason."""
        if not self._root.is_dir():
            return pd.DataFrame(columns=list(COLUMNS))
        folders = sorted(path for path in self._root.iterdir() if path.is_dir() and path.name[0] != ".")
        return pd.DataFrame([_record(folder) for folder in folders], columns=list(COLUMNS))


def _record(folder: Path) -> dict[str, object]:
    try:
        (content,) = read_folder(folder, FILE)
        return from_json(folder / FILE, content)
    except ArgumentError as error:
        return {"task": folder.name, "reason": f"its record is damaged: {error}"}
