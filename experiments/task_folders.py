"""The folders of tasks, loose and packed, as several processes see them that write, pack and read at once."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from kerasjoint.errors import ArgumentError, WriteError
from kerasjoint.experiments.row_checks import check_metadata
from kerasjoint.experiments.task_files import ROWS, TRACE, from_json, read_folder, to_json, write_folder

PACK = "packed-"
ONE, SEVERAL = "task.json", "tasks.json"
Result = TypeVar("Result")
Metadata = dict[str, Any]


class View(NamedTuple):
    """All finished tasks at one moment: the newest pack, the metadata of its tasks by name, and the loose folders."""

    pack: Path | None
    packed: dict[str, Metadata]
    loose: list[Path]


class TaskFolders:
    """The folder ``tasks`` of a run.

    A pack is written whole, as ``packed-<k>`` with the next number, before what it holds is removed. So the newest pack
    and the loose folders that it does not hold are all there is, whoever is killed when. Hidden and other files are
    ignored.

    Example
    -------
    >>> TaskFolders(Path("results/quick/tasks")).view().loose
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[tuple[Path, int], dict[str, Metadata]] = {}

    def view(self) -> View:
        """Return the finished tasks; another process may pack meanwhile."""
        while True:
            newest = self._newest()
            try:
                packed = {} if newest is None else self._packed(newest)
            except ArgumentError:
                if newest == self._newest():
                    raise
                continue
            loose = [folder for folder in self._folders() if not _is_pack(folder) and folder.name not in packed]
            if newest == self._newest():
                return View(newest, packed, loose)

    def read(self, read: Callable[[View], Result]) -> Result:
        """Return what ``read`` makes of the finished tasks, again if they were packed while it did."""
        while True:
            view = self.view()
            try:
                return read(view)
            except ArgumentError:
                if view.pack == self._newest():
                    raise

    def write_pack(self, view: View, rows: bytes, trace: bytes, metadata: dict[str, Metadata]) -> bool:
        """Write the tasks of ``view`` as the next pack; return whether no other process did so meanwhile."""
        number = 1 + (0 if view.pack is None else int(view.pack.name.removeprefix(PACK)))
        target = self.root / f"{PACK}{number}"
        try:
            write_folder(target, {ROWS: rows, TRACE: trace, SEVERAL: to_json(metadata)})
        except WriteError:
            if not target.is_dir():
                raise
            return False
        return True

    def clean(self) -> None:
        """Remove what the newest pack holds: older packs, and the folders of its tasks."""
        newest = self._newest()
        if newest is None:
            return
        packed = self._packed(newest)
        for folder in self._folders():
            if folder.name in packed or (_is_pack(folder) and _number(folder) < _number(newest)):
                # Another process may remove it too.
                shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        if not self.root.is_dir():
            return []
        try:
            return sorted(path for path in self.root.iterdir() if path.is_dir() and path.name[0] != ".")
        except OSError as error:
            raise ArgumentError(str(self.root), "a readable folder", error.strerror) from None

    def _newest(self) -> Path | None:
        return max(filter(_is_pack, self._folders()), key=_number, default=None)

    def _packed(self, pack: Path) -> dict[str, Metadata]:
        """Metadata of the tasks of a pack; its files are compared with their digests once."""
        try:
            key = (pack, pack.stat().st_mtime_ns)
        except OSError as error:
            raise ArgumentError(str(pack), "a readable folder", error.strerror) from None
        if key not in self._known:
            *_, content = read_folder(pack, ROWS, TRACE, SEVERAL)
            path = pack / SEVERAL
            found = from_json(path, content)
            self._known = {key: {name: check_metadata(name, one, path) for name, one in found.items()}}
        return self._known[key]


def read_metadata(folder: Path) -> Metadata:
    """Return the metadata of a loose task, whose files are all compared with their digests.

    Example
    -------
    >>> read_metadata(Path("results/quick/tasks/billiards.lbfgs.n16.s0"))["seconds"]
    """
    *_, content = read_folder(folder, ROWS, TRACE, ONE)
    return check_metadata(folder.name, from_json(folder / ONE, content), folder / ONE)


def _is_pack(folder: Path) -> bool:
    return re.fullmatch(rf"{PACK}\d{{1,9}}", folder.name) is not None


def _number(pack: Path) -> int:
    return int(pack.name.removeprefix(PACK))
