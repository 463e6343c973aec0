"""Which task a worker does next: one that it has compiled for already."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from kerasjoint.experiments.plan import Task

Kin = tuple[str, int, str]


class TaskQueue:
    """Hands out tasks to workers, so that little is compiled twice.

    A worker stays with problem, size and method, then with problem and size, as long as tasks are left there. Otherwise
    it begins what no other worker is at, in the order of the plan, and at last helps where most is left to do.

    Example
    -------
    >>> TaskQueue(plan(load_preset("quick"))).next_for("tcp://127.0.0.1:40001").problem
    'wave-packet'
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._left: dict[Kin, deque[Task]] = {}
        for task in tasks:
            self._left.setdefault(_kin(task), deque()).append(task)
        self._last: dict[str, Kin] = {}

    def next_for(self, worker: str) -> Task | None:
        """Return the next task for a worker; ``None`` if none is left."""
        if not self._left:
            return None
        own = self._last.get(worker)
        others = [last for name, last in self._last.items() if name != worker]

        def fit(kin: Kin) -> tuple[int, int, int]:
            shared = max((_alike(kin, last) for last in others), default=0)
            return _alike(kin, own) if own else 0, -shared, self._left_alike(kin) if shared else 0

        kin = max(self._left, key=fit)
        self._last[worker] = kin
        task = self._left[kin].popleft()
        if not self._left[kin]:
            del self._left[kin]
        return task

    def _left_alike(self, kin: Kin) -> int:
        return sum(len(tasks) for other, tasks in self._left.items() if _alike(kin, other) >= 2)


def _kin(task: Task) -> Kin:
    return task.problem, task.n, task.method


def _alike(one: Kin, other: Kin) -> int:
    """Return how many of problem, size and method two have in common, from the first on."""
    return next((k for k in range(3) if one[k] != other[k]), 3)
