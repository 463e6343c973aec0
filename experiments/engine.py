"""Runs cells one after the other, resumes, and keeps going when one fails."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kerasjoint.comparison import error_of_unknowns
from kerasjoint.experiments.illustration import illustrate
from kerasjoint.experiments.plan import Cell
from kerasjoint.experiments.store import CellRows, Store
from kerasjoint.experiments.variants import base_name
from kerasjoint.methods import METHODS
from kerasjoint.problem import InverseProblem
from kerasjoint.problems import PROBLEMS
from kerasjoint.refinement import FIRST_STEP, refine
from kerasjoint.solution import Solution, Status

PACKAGES = ("kerasjoint", "tensorflow", "keras", "tensorflow-probability", "numpy", "scipy")


@dataclass
class Outcome:
    """How a run went: cells that were run, found finished, and failed with their message."""

    run: list[Cell] = field(default_factory=list)
    found: list[Cell] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class Engine:
    """Runs cells into a store; problems are constructed once, so that cells of equal shapes share compiled code."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._problems: dict[str, InverseProblem] = {}

    def run(
        self,
        cells: Sequence[Cell],
        before: Callable[[Cell], None] = lambda cell: None,
        after: Callable[[Cell], None] = lambda cell: None,
    ) -> Outcome:
        """Run those cells that are not finished yet; ``before`` and ``after`` are called around each cell."""
        self._store.open_for(cells)
        outcome = Outcome()
        for cell in cells:
            if self._store.has(cell):
                outcome.found.append(cell)
                after(cell)
                continue
            before(cell)
            try:
                if not self._store.has_illustration(cell.problem):
                    self._store.write_illustration(
                        cell.problem, illustrate(base_name(cell.problem), self._problem(cell))
                    )
                self._store.write(cell, self._run(cell))
            except Exception as error:
                outcome.failed[cell.name] = f"{type(error).__name__}: {error}"
            else:
                outcome.run.append(cell)
            after(cell)
        return outcome

    def _problem(self, cell: Cell) -> InverseProblem:
        key = f"{cell.problem} {sorted(cell.problem_options.items())}"
        if key not in self._problems:
            self._problems[key] = PROBLEMS.load(base_name(cell.problem))(**cell.problem_options)
        return self._problems[key]

    def _run(self, cell: Cell) -> CellRows:
        problem_set = self._problem(cell).sample(cell.n, cell.data_seed)
        method = METHODS.load(base_name(cell.method))(**cell.method_options)
        solution = method.solve(problem_set, cell.method_seed)
        variants = {("unrefined", "best"): solution}
        if method.role == "learned":
            options = {"first_step": FIRST_STEP} | cell.refinement["options"]
            local = METHODS.load(cell.refinement["method"])(**options)
            variants["refined", "best"] = refine(problem_set, solution, local, first_step=local.first_step)
            if method.selects_best:
                last = solution.last_iterate
                variants["unrefined", "last"] = last
                variants["refined", "last"] = refine(problem_set, last, local, first_step=local.first_step)
        rows = pd.concat([_rows(cell, *variant, one) for variant, one in variants.items()], ignore_index=True)
        curve = solution.history.assign(problem=cell.problem, method=cell.method, n=cell.n, seed=cell.seed)
        seconds = {f"{stage} {selection}": one.seconds for (stage, selection), one in variants.items()}
        metadata = {
            "seconds": seconds,
            "compile_seconds": max(one.compile_seconds for one in variants.values()),
            "solvers": {f"{stage} {selection}": one.solver for (stage, selection), one in variants.items()},
            **environment(),
        }
        return CellRows(rows, curve, metadata)


def _rows(cell: Cell, stage: str, selection: str, solution: Solution) -> pd.DataFrame:
    error = error_of_unknowns(solution)
    solved = solution.solved
    truth = solution.problem_set.truth
    return pd.DataFrame(
        {
            "problem": cell.problem,
            "method": cell.method,
            "stage": stage,
            "selection": selection,
            "n": cell.n,
            "seed": cell.seed,
            "instance": np.arange(cell.n),
            "loss": solution.loss,
            "solved": pd.array([None] * cell.n if solved is None else solved, dtype="boolean"),
            "error": np.full(cell.n, np.nan) if error is None else error,
            "status": [Status(code).name for code in solution.status],
            "evaluations": solution.evaluations,
            "iterations": solution.iterations,
            "non_finite": solution.non_finite,
            "seconds": solution.seconds / cell.n,
            "solver": solution.solver,
            "xi": list(solution.xi),
            "truth": [None] * cell.n if truth is None else list(truth),
        }
    )


@lru_cache(maxsize=1)
def environment() -> dict[str, Any]:
    """Return versions, machine, commit and command of this process."""
    return {
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "commit": _commit(Path(__file__).resolve().parents[1]),
        "command": shlex.join(["kerasjoint", *sys.argv[1:]]),
    }


def _commit(tree: Path) -> str | None:
    """Return the commit of the source tree; ``None`` where it is not under git, or git is not installed."""
    if not (tree / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=tree, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return found.stdout.strip() or None
