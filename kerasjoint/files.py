"""Files appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

from kerasjoint.errors import WriteError

PARTIAL = ".partial-"


def make_folder(folder: Path) -> None:
    """Create a folder, with its parents, unless it is there.

    Example
    -------
    >>> make_folder(Path("results/figures"))
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(str(folder), error.strerror or str(error)) from error


def write_together(folder: Path, contents: Mapping[str, str]) -> list[Path]:
    """Write text files into a folder; none is replaced before all are written. Return their paths.

    Example
    -------
    >>> write_together(Path("tables"), {"billiards.csv": table.to_csv()})
    """
    make_folder(folder)
    with ExitStack() as stack:
        for name, content in contents.items():
            stack.enter_context(atomic_path(folder / name)).write_text(content)
    return [folder / name for name in contents]


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path beside ``target`` to write a file or a folder at; it becomes ``target`` if the block succeeds.

    What stood at ``target`` stays as it was until then; a folder replaces nothing but an empty one.

    Raises
    ------
    WriteError
        If the system refuses, as where the disk is full.

    Example
    -------
    >>> with atomic_path("table.csv") as path:
    ...     table.to_csv(path)
    """
    target = Path(target)
    # Short, so that every name that a folder may hold can be written; libraries go by the ending.
    partial = target.with_name(f"{PARTIAL}{uuid4().hex[:16]}{target.suffix}")
    try:
        yield partial
        os.replace(partial, target)
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(str(target), error.strerror or str(error)) from error
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)
