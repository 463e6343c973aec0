"""What stops a run: Ctrl-C, SIGTERM, and a task's limit of time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from kerasjoint.errors import ArgumentError


class Terminated(KeyboardInterrupt):
    """The process was asked to end, as ``kill`` and batch systems do."""


class TimeLimitExceeded(BaseException):
    """A task took longer than it may; not an ``Exception``, so that no code on the way catches it."""


def exit_code(stop: KeyboardInterrupt) -> int:
    """Return the exit code that shells give to a process that was stopped so.

    Example
    -------
    >>> exit_code(KeyboardInterrupt())
    130
    """
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


def take_sigterm() -> None:
    """Let SIGTERM interrupt what runs, as Ctrl-C does."""

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise ``TimeLimitExceeded`` in the block after so many seconds; ``None``: never.

    A call into compiled code is not cut short: the error comes when it returns.

    Example
    -------
    >>> with time_limit(60):
    ...     solution = method.solve(problem_set)
    """
    if seconds is None:
        yield
        return
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        raise ArgumentError("time_limit", "none, but for the main thread of a process on Linux or macOS", seconds)

    def exceed(number: int, frame: FrameType | None) -> None:
        if armed:
            raise TimeLimitExceeded(f"more than the limit of {seconds:g} s")

    armed = True
    before = signal.signal(signal.SIGALRM, exceed)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
