"""Files appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

PARTIAL = ".partial-"


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a path beside ``target`` to write a file or a folder at; it becomes ``target`` if the block succeeds.

    What stood at ``target`` stays as it was until then; a folder replaces nothing but an empty one.

    Example
    -------
    >>> with atomic_path("table.csv") as path:
    ...     table.to_csv(path)
    """
    target = Path(target)
    partial = target.with_name(f"{PARTIAL}{uuid4().hex}-{target.name}")
    try:
        yield partial
        os.replace(partial, target)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)
