"""Time and memory of large sets on disk: ``python -m benchmarks.large_sets --n 1000 --n 10000``.

Each size and method runs in a process of its own. The wave packets are written to a folder of ``.npy`` files slab by
slab, so that neither writing nor solving has them all in memory. Rows are added to ``reports/large_sets.csv``.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from numpy.lib.format import open_memmap
from rich.console import Console

METHODS = {
    "lockstep-lbfgs": {},
    "lockstep-lm": {},
    "multi-start": {"evaluations": 50},
    "reparameterized": {"epochs": 10, "network": "dense"},
}
PIECE = 10_000
CONSOLE = Console()


def write_set(folder: Path, n: int) -> None:
    """Write n wave packets to a folder, piece by piece."""
    from kerasjoint.problems import WavePacket

    problem = WavePacket()
    y = open_memmap(folder / "y.npy", "w+", np.float64, (n, 256))
    truth = open_memmap(folder / "truth.npy", "w+", np.float64, (n, 1))
    for seed, begin in enumerate(range(0, n, PIECE)):
        piece = problem.sample(min(PIECE, n - begin), seed)
        y[begin : begin + len(piece)], truth[begin : begin + len(piece)] = piece.y, piece.truth
    y.flush()
    truth.flush()


def solve_set(folder: Path, method: str) -> dict[str, Any]:
    """Solve the wave packets of a folder in this process; return what it took."""
    from kerasjoint import ProblemSet
    from kerasjoint.methods import METHODS as CLASSES
    from kerasjoint.problems import WavePacket

    solver = CLASSES.load(method)(**METHODS[method])
    # Compiles for the sizes of batches that the large set needs, so that its time is that of the work.
    solver.solve(WavePacket().sample(PIECE, 0), seed=0)
    problem_set = ProblemSet.open_folder(WavePacket(), folder)
    before, began, cpu = _private_memory(), time.perf_counter(), time.process_time()
    solution = solver.solve(problem_set, seed=0)
    return {
        "method": method,
        "n": len(problem_set),
        "seconds": time.perf_counter() - began - solution.compile_seconds,
        "compile_seconds": solution.compile_seconds,
        # Of all cores, and the same on a machine that does other things too.
        "cpu_seconds": time.process_time() - cpu,
        "memory_before": before,
        "memory": _private_memory(),
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "evaluations": float(solution.evaluations.mean()),
        "solved": float(np.mean(solution.solved)) if solution.solved is not None else float("nan"),
    }


def main(
    n: Annotated[list[int] | None, typer.Option(help="Number of instances; may be repeated.")] = None,
    method: Annotated[list[str] | None, typer.Option(help="Default: all.")] = None,
    out: Annotated[Path, typer.Option(help="CSV that rows are added to.")] = Path("reports/large_sets.csv"),
    folder: Annotated[Path | None, typer.Option(help="Of the sets; default: a temporary one.")] = None,
) -> None:
    """Solve wave packets by each method, and add time and memory to a table."""
    place = folder or Path(tempfile.mkdtemp())
    try:
        for size in n or (1000, 10_000, 100_000):
            target = place / str(size)
            if not target.is_dir():
                target.mkdir(parents=True)
                write_set(target, size)
            for name in method or METHODS:
                row = _in_process(target, name)
                table = pd.concat([pd.read_csv(out), pd.DataFrame([row])]) if out.exists() else pd.DataFrame([row])
                table.drop_duplicates(["method", "n"], keep="last").to_csv(out, index=False)
                per_instance = 1e6 * row["cpu_seconds"] / size
                CONSOLE.print(
                    f"{name:16} n = {size:9,} {row['seconds']:9.2f} s, {per_instance:8.1f} us of a core an instance, "
                    f"{row['peak_memory']:6.0f} MB at most, {row['solved']:.0%} solved",
                    highlight=False,
                    soft_wrap=True,
                )
    finally:
        if folder is None:
            shutil.rmtree(place)


def _in_process(folder: Path, method: str) -> dict[str, Any]:
    code = "import json, pathlib, sys; from benchmarks.large_sets import solve_set\n"
    code += "print(json.dumps(solve_set(pathlib.Path(sys.argv[1]), sys.argv[2])))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), method], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def _private_memory() -> float:
    """Resident memory of this process in MB, without the pages of files, which the system may take back."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(fields["RssAnon"].split()[0]) / 1024


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    typer.run(main)
