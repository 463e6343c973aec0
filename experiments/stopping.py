"""What stops a run: Ctrl-C, SIGTERM, and a task's limit of time."""

from __future__ import annotations

import ctypes
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
    elif threading.current_thread() is not threading.main_thread():
        with _limit_of_thread(seconds):
            yield
    elif hasattr(signal, "setitimer"):
        with _limit_by_signal(seconds):
            yield
    else:
        raise ArgumentError("time_limit", "none, but on Linux or macOS", seconds)


@contextmanager
def _limit_by_signal(seconds: float) -> Iterator[None]:
    def exceed(number: int, frame: FrameType | None) -> None:
        if armed:
            raise TimeLimitExceeded(_reason(seconds))

    armed = True
    before = signal.signal(signal.SIGALRM, exceed)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _limit_of_thread(seconds: float) -> Iterator[None]:
    """Signals reach the main thread alone: another one gets the exception from the interpreter, between two lines."""
    raise_in_thread, thread = ctypes.pythonapi.PyThreadState_SetAsyncExc, ctypes.c_ulong(threading.get_ident())
    lock, armed = threading.Lock(), True

    def exceed() -> None:
        with lock:
            if armed:
                raise_in_thread(thread, ctypes.py_object(TimeLimitExceeded))

    timer = threading.Timer(seconds, exceed)
    timer.daemon = True
    timer.start()
    try:
        yield
    except TimeLimitExceeded:
        # The interpreter constructs it without a message.
        raise TimeLimitExceeded(_reason(seconds)) from None
    finally:
        timer.cancel()
        with lock:
            armed = False
            # One that is on its way although the block has ended.
            raise_in_thread(thread, None)


def _reason(seconds: float) -> str:
    return f"more than the limit of {seconds:g} s"
