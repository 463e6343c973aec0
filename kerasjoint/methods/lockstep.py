"""What methods that move many instances in lockstep share: rows dropped together, and the loop until all are done."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from kerasjoint.counting import CountingObjective
from kerasjoint.methods.local_run import LocalRun
from kerasjoint.solution import Status

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Rows:
    """Arrays with m instances on axis 0, also in parts that are ``Rows`` themselves."""

    def keep(self, mask: Mask) -> None:
        """Drop the other instances."""
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, value[mask])
            elif isinstance(value, Rows):
                value.keep(mask)


class ActiveInstances(Rows):
    """The instances that are not done: which, and where each is."""

    rows: NDArray[np.intp]
    z: FloatArray
    loss: FloatArray

    @abstractmethod
    def advance(
        self, objective: CountingObjective, tolerance: float, max_iterations: int
    ) -> tuple[Mask, NDArray[np.int8]]:
        """Evaluate one trial of each; return where that ended an iteration, and how each instance ended if it did."""


def run_in_lockstep(run: LocalRun, active: ActiveInstances, tolerance: float, max_iterations: int) -> None:
    """Advance all instances together, each until it is done."""
    while active.rows.size:
        moved, verdict = active.advance(run.objective, tolerance, max_iterations)
        run.reach(active.rows[moved], active.z[moved], active.loss[moved])
        ended = verdict != Status.RUNNING
        if ended.any():
            run.end(active.rows[ended], verdict[ended])
            active.keep(~ended)
