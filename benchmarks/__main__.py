"""Run the benchmarks and write ``reports/benchmarks.csv`` and ``reports/benchmarks.md``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console

from benchmarks.cases import CASES
from benchmarks.contest import contest
from benchmarks.report import merge, summarise, write_page

REPORTS = Path("reports")
CONSOLE = Console()


def main(
    only: Annotated[list[str] | None, typer.Argument(help="run only cases whose name contains one of these")] = None,
    repetitions: Annotated[int | None, typer.Option(help="instead of each case's own number")] = None,
) -> None:
    """Run the benchmarks and write reports/benchmarks.csv and reports/benchmarks.md."""
    chosen = [case for case in CASES if not only or any(word in case.name for word in only)]
    if not chosen:
        CONSOLE.print("no such case; there are:", *(case.name for case in CASES), sep="\n  ")
        raise typer.Exit(2)
    with tempfile.TemporaryDirectory() as folder:
        data, log = Path(folder), REPORTS / "benchmarks.log"
        subprocess.run([sys.executable, "-m", "benchmarks.data", folder], check=True, stderr=subprocess.DEVNULL)
        for case in chosen:
            CONSOLE.rule(case.name)
            rows = []
            for row in contest(case, data, log, repetitions or case.repetitions):
                rows.append(row)
                told = f"{row['seconds']:.4g} s" if "seconds" in row else f"left out: {row['missing']} is not installed"
                CONSOLE.print(f"n = {row['n']}, {row['contender']}: {told}")
            table = merge(REPORTS / "benchmarks.csv", summarise(pd.DataFrame(rows)), [case.name for case in CASES])
            write_page(REPORTS / "benchmarks.md", table)
        log.unlink()


if __name__ == "__main__":
    typer.run(main)
