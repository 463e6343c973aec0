"""Which task a worker does next: one that it has compiled for already."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from kerasjoint.experiments.plan import Task

Kin = tuple[str, int, str]


class TaskQueue:
    """Hands out tasks to workers, so that little is compiled twice.

    A worker stays with problem, size and method as long as tasks of these are left, then with problem and size, then
    with the problem. Otherwise it begins what shares least with what others are at, in the order of the plan, and at
    last helps where most is left to do.

    Example
    -------
    >>> TaskQueue(plan(load_preset("quick"))).next_for("tcp://127.0.0.1:40001").problem
    'wave-packet'
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._left: dict[Kin, deque[Task]] = {}
        for task in tasks:
            self._left.setdefault((task.problem, task.n, task.method), deque()).append(task)
        self._last: dict[str, Kin] = {}

    def next_for(self, worker: str) -> Task | None:
        """Return the next task for a worker; ``None`` if none is left."""
        if not self._left:
            return None
        kin = self._last.get(worker)
        if kin not in self._left:
            kin = self._last[worker] = self._choice(worker)
        task = self._left[kin].popleft()
        if not self._left[kin]:
            del self._left[kin]
        return task

    def _choice(self, worker: str) -> Kin:
        own = _parts(self._last.get(worker))
        taken = set().union(*(_parts(last) for name, last in self._last.items() if name != worker))
        left: Counter[tuple[object, ...]] = Counter()
        for kin, tasks in self._left.items():
            left[kin[:2]] += len(tasks)

        def fit(kin: Kin) -> tuple[int, int, int]:
            shared = len(_parts(kin) & taken)
            return len(_parts(kin) & own), -shared, left[kin[:2]] if shared else 0

        return max(self._left, key=fit)


def _parts(kin: Kin | None) -> set[tuple[object, ...]]:
    """Return problem, problem and size, and both with the method: what two kin share counts how alike they are."""
    return set() if kin is None else {kin[:1], kin[:2], kin[:3]}
