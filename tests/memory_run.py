"""Fits and solves with ever new problem objects, and says how much memory the process holds.

``python tests/memory_run.py MINUTES`` prints one line a minute, and exits with 1 if memory grew by more than 20 MB
since a fifth of the time had passed: until then code is compiled, and allocators fill up.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERASJOINT_CACHE"] = "off"

from helpers import Decay, decay_set
from rich.console import Console

from kerasjoint import solve
from kerasjoint.methods import AmortizedMultiStart, LockstepLBFGS, LockstepLM, MultiStart, Reparameterized
from kerasjoint.models import ReparameterizedModel

CONSOLE = Console(soft_wrap=True)
METHODS = (
    LockstepLBFGS(),
    LockstepLM(),
    MultiStart(evaluations=50),
    AmortizedMultiStart(evaluations=50),
    Reparameterized(epochs=5, network="dense"),
)


class Slower(Decay):
    """A decay of another constant, which is part of its compiled code."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, xi, x):
        return super().forward({"rate": self.factor * xi["rate"]}, x)


def resident_memory() -> float:
    """In MB."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) / 1024


def fit_and_solve(seed: int) -> None:
    """Solve a new problem set by all methods, and train a new model on it."""
    for method in METHODS:
        solve(decay_set(Slower(0.7), 8, seed), method, seed=seed)
    problem_set = decay_set(Slower(0.7), 8, seed)
    model = ReparameterizedModel.for_problem_set(problem_set, "dense", seed=seed)
    model.compile()
    model.fit(problem_set, epochs=5, verbose=0)


def main(minutes: float) -> bool:
    """Run for so long; return whether memory stayed flat."""
    start, told, seed, settled = time.monotonic(), 0, 0, None
    while (passed := (time.monotonic() - start) / 60) < minutes:
        fit_and_solve(seed)
        seed += 1
        gc.collect()
        memory = resident_memory()
        if settled is None and passed > minutes / 5:
            settled = memory
        if passed >= told:
            CONSOLE.print(f"{passed:4.1f} min, {seed} rounds: {memory:.0f} MB")
            told += 1
    CONSOLE.print(f"{seed} rounds: {memory:.0f} MB, {memory - (settled or memory):+.0f} MB since a fifth of the time")
    return settled is not None and memory - settled < 20


if __name__ == "__main__":
    sys.exit(not main(float(sys.argv[1])))
