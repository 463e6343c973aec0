"""An estimate of the time that the cells still to run will take."""

from __future__ import annotations

import time
from collections.abc import Sequence

from kerasjoint.experiments.plan import Cell


class RemainingTime:
    """Learns from finished cells how long a problem and method take per instance.

    A cell costs a share that does not depend on n, taken as that of 16 instances.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._left = list(cells)
        self._started = 0.0
        self._rates: dict[tuple[str, str], list[float]] = {}

    def start(self, cell: Cell) -> str:
        """Note the start of a cell; return the estimate in words."""
        self._started = time.perf_counter()
        return self._words()

    def finish(self, cell: Cell) -> str:
        """Note the end of a cell that ran or was found finished; return the estimate in words."""
        self._left.remove(cell)
        if self._started:
            rate = (time.perf_counter() - self._started) / _size(cell)
            self._rates.setdefault((cell.problem, cell.method), []).append(rate)
            self._started = 0.0
        return self._words()

    @property
    def seconds(self) -> float | None:
        """Estimated seconds left, or ``None`` before anything is known."""
        if not self._rates:
            return None
        known = {key: sum(rates) / len(rates) for key, rates in self._rates.items()}
        typical = sum(known.values()) / len(known)
        return sum(known.get((cell.problem, cell.method), typical) * _size(cell) for cell in self._left)

    def _words(self) -> str:
        seconds = self.seconds
        if seconds is None:
            return ""
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"


def _size(cell: Cell) -> int:
    return cell.n + 16
