"""The command line: list, run, report, solve."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from kerasjoint.cores import set_cores
from kerasjoint.errors import KerasjointError

if TYPE_CHECKING:
    import pandas as pd

    from kerasjoint.experiments.engine import Outcome
    from kerasjoint.experiments.plan import Cell
    from kerasjoint.experiments.store import Store

# TensorFlow and its libraries read these when they are imported, and would fill the screen.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "OPENBLAS_NUM_THREADS": "1"}

app = typer.Typer(help="Solve many similar inverse problems at once.", no_args_is_help=True, add_completion=False)
console = Console()


@app.command("list")
def list_everything() -> None:
    """List problems, methods, networks and presets, each with one line."""
    from kerasjoint.experiments.preset_files import preset_names, read_preset
    from kerasjoint.methods import METHODS
    from kerasjoint.models import NETWORKS
    from kerasjoint.problems import PROBLEMS

    for registry, title in ((PROBLEMS, "problems"), (METHODS, "methods"), (NETWORKS, "networks")):
        _print_names(title, {name: registry.summary(name) for name in registry})
    _print_names("presets", {name: read_preset(name).get("description", "") for name in preset_names()})


@app.command()
def run(
    problems: Annotated[list[str] | None, typer.Argument(help="Problems; default: those of the preset.")] = None,
    preset: Annotated[str, typer.Option(help="A preset's name, or a YAML file.")] = "quick",
    n: Annotated[list[int] | None, typer.Option(help="Number of instances; may be repeated.", min=1)] = None,
    seeds: Annotated[int | None, typer.Option(help="Number of repetitions.", min=1)] = None,
    method: Annotated[list[str] | None, typer.Option(help="A method; may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the rows; default: results/PRESET.")] = None,
    cores: Annotated[int | None, typer.Option(help="Cores that dear simulations use; default: all.", min=1)] = None,
) -> None:
    """Run methods on problems, and write tables and figures. The same command again resumes."""
    set_cores(cores)
    _import_quietly()
    from kerasjoint.experiments.plan import plan
    from kerasjoint.experiments.preset import load_preset

    chosen = load_preset(preset).narrowed(problems or (), method or (), n or (), seeds)
    folder = out or Path("results") / chosen.name
    store, outcome = _run_cells(plan(chosen), folder)
    for name, message in outcome.failed.items():
        console.print(f"[red]failed[/red] {name}: {message}", highlight=False, soft_wrap=True)
    if outcome.run or outcome.found:
        _report(store)
    if outcome.failed:
        raise typer.Exit(1)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="Folder that a run has written.")]) -> None:
    """Write tables and figures again, from the stored rows alone."""
    from kerasjoint.experiments.store import Store

    _report(Store(folder))


@app.command()
def replication(
    folder: Annotated[Path, typer.Argument(help="Folder of a run of the preset 'paper'.")],
    cost: Annotated[Path | None, typer.Option(help="CSV of the benchmarks: cost ratios of single cells.")] = None,
) -> None:
    """Write tables, figures and REPORT.md, our numbers beside the paper's, from the stored rows alone."""
    from kerasjoint.experiments.replication import write_replication
    from kerasjoint.experiments.store import Store

    console.print(f"written to {write_replication(Store(folder), cost)}", highlight=False, soft_wrap=True)


@app.command()
def pack(folder: Annotated[Path, typer.Argument(help="Folder that a run has written.")]) -> None:
    """Put the rows of all finished cells into few files, for keeping. A run can still go on from them."""
    from kerasjoint.experiments.store import Store

    console.print(f"{Store(folder).pack()} cells are in {folder}/cells", highlight=False, soft_wrap=True)


@app.command()
def solve(
    problem: Annotated[str, typer.Argument(help="A problem of the zoo.")],
    file: Annotated[Path, typer.Argument(help="Observations: .npz, or .csv with one instance a row.")],
    out: Annotated[Path, typer.Option(help="Where to write the solution, .csv.")],
    method: Annotated[str, typer.Option(help="A method.")] = "reparameterized",
    seed: Annotated[int, typer.Option(help="Of the method.", min=0)] = 0,
    cores: Annotated[int | None, typer.Option(help="Cores that dear simulations use; default: all.", min=1)] = None,
) -> None:
    """Solve your own observations with a problem of the zoo."""
    set_cores(cores)
    from kerasjoint.errors import ArgumentError
    from kerasjoint.methods import METHODS
    from kerasjoint.problems import PROBLEMS

    METHODS.check(method)
    PROBLEMS.check(problem)
    if out.suffix != ".csv" or not out.parent.is_dir():
        raise ArgumentError("--out", "a name ending in .csv in an existing folder", out)
    if out.exists():
        raise ArgumentError("--out", "a new file", f"{out}, which exists")
    _import_quietly()
    from kerasjoint.experiments.instance_files import read_instances
    from kerasjoint.solving import solve as solve_problem_set

    problem_set = read_instances(PROBLEMS.load(problem)(), file)
    with console.status(f"solving {len(problem_set)} instances of {problem} by {method}"):
        solution = solve_problem_set(problem_set, method, seed=seed)
    partial = out.with_name(f".{out.name}.partial-{os.getpid()}")
    solution.to_frame().to_csv(partial, index=False)
    os.replace(partial, out)
    console.print(f"{solution!r}\nwritten to {out}", highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command line; exit with 0, 1 (cells failed), 2 (wrong use) or 130 (stopped)."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        app(standalone_mode=True)
    except KerasjointError as error:
        Console(stderr=True).print(f"[red]error[/red] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _import_quietly() -> None:
    """Import TensorFlow with standard error closed: it writes there before it reads its own log level."""
    with open(os.devnull, "w") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _run_cells(cells: list[Cell], folder: Path) -> tuple[Store, Outcome]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from kerasjoint.experiments.engine import Engine
    from kerasjoint.experiments.remaining import RemainingTime
    from kerasjoint.experiments.store import Store

    store = Store(folder)
    engine = Engine(store)
    remaining = RemainingTime(cells)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("starting", total=len(cells), left="")

            def before(cell: Cell) -> None:
                progress.update(task, description=cell.name, left=remaining.start(cell))

            def after(cell: Cell) -> None:
                progress.update(task, advance=1, left=remaining.finish(cell))

            outcome = engine.run(cells, before, after)
    except KeyboardInterrupt:
        console.print(f"stopped; the same command goes on from the finished cells in {folder}", soft_wrap=True)
        raise typer.Exit(130) from None
    return store, outcome


def _report(store: Store) -> None:
    from kerasjoint.experiments.figures import write_figures
    from kerasjoint.experiments.tables import TOLERANCE, comparison_table, write_tables

    rows = store.rows()
    tables = write_tables(rows, store.folder / "tables")
    figures = write_figures(store, store.folder / "figures")
    for problem in dict.fromkeys(rows["problem"]):
        table = comparison_table(rows, problem, per_n=False)
        _print_table(problem, table[table["reference"] == table["reference"].iloc[0]])
    console.print(
        f"Percent of instances, mean over n. ~: equal if {TOLERANCE}. Intervals, last iterates, costs: in the tables.",
        highlight=False,
    )
    console.print(f"Tables:  {', '.join(str(path) for path in tables)}", highlight=False, soft_wrap=True)
    console.print(f"Figures: {', '.join(str(path) for path in figures)}", highlight=False, soft_wrap=True)


def _print_table(problem: str, table: pd.DataFrame) -> None:
    from kerasjoint.experiments.tables import brief

    if table.empty:
        return
    reference = table["reference"].iloc[0]
    for stage in ("refined", "unrefined"):
        text = brief(table, stage)
        printed = Table(
            title=f"{problem}, {stage}, against {reference}",
            title_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        for k, column in enumerate(text):
            printed.add_column(str(column), no_wrap=True, justify="left" if k == 0 else "right")
        for row in text.itertuples(index=False):
            printed.add_row(*row)
        console.print(printed)


def _print_names(title: str, lines: dict[str, str]) -> None:
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 2))
    for name, line in lines.items():
        table.add_row(name, line)
    console.print(table)


if __name__ == "__main__":
    main()
