"""An estimate of the time that the tasks still to run will take."""

from __future__ import annotations

import time
from collections.abc import Sequence

from kerasjoint.experiments.plan import Task


class TimeRemaining:
    """Learns from finished tasks how long a problem and method take per instance.

    A task costs a share that does not depend on n, taken as that of 16 instances.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._left = list(tasks)
        self._started = 0.0
        self._rates: dict[tuple[str, str], list[float]] = {}

    def start(self, task: Task) -> str:
        """Note the start of a task; return the estimate in words."""
        self._started = time.perf_counter()
        return self._words()

    def finish(self, task: Task) -> str:
        """Note the end of a task that ran or was found finished; return the estimate in words."""
        self._left.remove(task)
        if self._started:
            rate = (time.perf_counter() - self._started) / _size(task)
            self._rates.setdefault((task.problem, task.method), []).append(rate)
            self._started = 0.0
        return self._words()

    @property
    def seconds(self) -> float | None:
        """Estimated seconds left, or ``None`` before anything is known."""
        if not self._rates:
            return None
        known = {key: sum(rates) / len(rates) for key, rates in self._rates.items()}
        typical = sum(known.values()) / len(known)
        return sum(known.get((task.problem, task.method), typical) * _size(task) for task in self._left)

    def _words(self) -> str:
        seconds = self.seconds
        if seconds is None:
            return ""
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"


def _size(task: Task) -> int:
    return task.n + 16
