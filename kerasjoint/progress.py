"""Progress of long work: methods report stages, and show them where a caller asked for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal

from kerasjoint.errors import ArgumentError

if TYPE_CHECKING:
    from rich.progress import Progress

Verbose = Literal["auto", 0, 1]

_shown: ContextVar[Progress | None] = ContextVar("shown", default=None)


@contextmanager
def show_progress(verbose: Verbose = "auto") -> Iterator[None]:
    """Show the stages that are reported inside the block, each with the time it took and the time left.

    Parameters
    ----------
    verbose
        1: on standard error; 0: not at all; ``"auto"``: if standard error is a terminal.

    Example
    -------
    >>> with show_progress(1):
    ...     method.solve(problem_set)
    """
    if verbose not in ("auto", 0, 1):
        raise ArgumentError("verbose", "'auto', 0 or 1", repr(verbose))
    if not (sys.stderr.isatty() if verbose == "auto" else verbose) or _shown.get() is not None:
        yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        token = _shown.set(shown)
        try:
            yield
        finally:
            _shown.reset(token)


@contextmanager
def stage(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Report a stage of ``total`` steps; yield a function that takes how many are done.

    Example
    -------
    >>> with stage("training", total=epochs) as done:
    ...     done(10)
    """
    shown = _shown.get()
    if shown is None:
        yield _nothing
        return
    task = shown.add_task(description, total=total)
    yield lambda count: shown.update(task, completed=count)
    shown.update(task, completed=total)


def _nothing(count: int) -> None:
    """Report nothing."""
