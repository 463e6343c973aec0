"""The command line: list, run, report, pack, solve, and the replication of the paper."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerasjoint.cores import set_cores
from kerasjoint.errors import ArgumentError, KerasjointError
from kerasjoint.experiments.screen import console, print_names, print_tables, progress_of, say

if TYPE_CHECKING:
    from kerasjoint.experiments.engine import Outcome
    from kerasjoint.experiments.plan import Task
    from kerasjoint.experiments.store import Store

# TensorFlow and its libraries read these when they are imported, and would fill the screen.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "OPENBLAS_NUM_THREADS": "1"}

app = typer.Typer(help="Solve many similar inverse problems at once.", no_args_is_help=True, add_completion=False)
Cores = Annotated[int | None, typer.Option(help="Cores that expensive simulations use; default: all.", min=1)]


@app.command("list")
def list_everything() -> None:
    """List problems, methods, networks and presets, each with one line."""
    from kerasjoint.experiments.preset_files import preset_names, read_preset
    from kerasjoint.methods import METHODS
    from kerasjoint.models import NETWORKS
    from kerasjoint.problems import PROBLEMS

    for registry, title in ((PROBLEMS, "problems"), (METHODS, "methods"), (NETWORKS, "networks")):
        print_names(title, {name: registry.summary(name) for name in registry})
    print_names("presets", {name: read_preset(name).get("description", "") for name in preset_names()})


@app.command()
def run(
    problems: Annotated[
        list[str] | None,
        typer.Argument(help="Names, module:Class or file.py:Class; default: those of the preset."),
    ] = None,
    preset: Annotated[str, typer.Option(help="A preset's name, or a YAML file.")] = "quick",
    n: Annotated[list[int] | None, typer.Option(help="Number of instances; may be repeated.", min=1)] = None,
    seeds: Annotated[int | None, typer.Option(help="Number of repetitions.", min=1)] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="A name, module:Class or file.py:Class; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the rows; default: results/PRESET.")] = None,
    cores: Cores = None,
) -> None:
    """Run methods on problems, and write tables and figures. The same command again resumes."""
    set_cores(cores)
    _import_quietly()
    from kerasjoint.experiments.plan import plan
    from kerasjoint.experiments.preset import load_preset

    chosen = load_preset(preset).narrowed(problems or (), method or (), n or (), seeds)
    folder = out or Path("results") / chosen.name
    store, outcome = _run_tasks(plan(chosen), folder)
    for name, message in outcome.failed.items():
        say(f"{name}: {message}", alarm="failed")
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
    cost: Annotated[Path | None, typer.Option(help="CSV of the benchmarks: cost ratios of single tasks.")] = None,
) -> None:
    """Write tables, figures and REPORT.md, our numbers beside the paper's, from the stored rows alone."""
    from kerasjoint.experiments.paper.replication import write_replication
    from kerasjoint.experiments.store import Store

    say(f"written to {write_replication(Store(folder), cost)}")


@app.command()
def pack(folder: Annotated[Path, typer.Argument(help="Folder that a run has written.")]) -> None:
    """Put the rows of all finished tasks into few files, for keeping. A run can still go on from them."""
    from kerasjoint.experiments.store import Store

    say(f"{Store(folder).pack()} tasks are in {folder}/tasks")


@app.command()
def solve(
    problem: Annotated[str, typer.Argument(help="A problem: a name, module:Class or file.py:Class.")],
    file: Annotated[Path, typer.Argument(help="Observations: .npz, or .csv with one instance a row.")],
    out: Annotated[Path, typer.Option(help="Where to write the solution, .csv.")],
    method: Annotated[str, typer.Option(help="A method: a name, module:Class or file.py:Class.")] = "reparameterized",
    seed: Annotated[int, typer.Option(help="Of the method.", min=0)] = 0,
    no_header: Annotated[bool, typer.Option("--no-header", help="The .csv file has no row of names.")] = False,
    cores: Cores = None,
) -> None:
    """Solve your own observations."""
    set_cores(cores)
    from kerasjoint.experiments.labels import check_label
    from kerasjoint.methods import METHODS
    from kerasjoint.problems import PROBLEMS

    check_label(METHODS, method, variants=())
    check_label(PROBLEMS, problem, variants=())
    if out.suffix != ".csv" or not out.parent.is_dir():
        raise ArgumentError("--out", "a name ending in .csv in an existing folder", out)
    if out.exists():
        raise ArgumentError("--out", "a new file", f"{out}, which exists")
    _import_quietly()
    from kerasjoint.experiments.instance_files import read_instances
    from kerasjoint.experiments.references import construct
    from kerasjoint.files import atomic_path
    from kerasjoint.solving import solve as solve_problem_set

    problem_set = read_instances(construct(PROBLEMS, problem, {}), file, header=not no_header)
    chosen = construct(METHODS, method, {})
    with console.status(f"solving {len(problem_set)} instances of {problem} by {method}"):
        solution = solve_problem_set(problem_set, chosen, seed=seed)
    with atomic_path(out) as path:
        solution.to_frame().to_csv(path, index=False)
    say(f"{solution!r}\nwritten to {out}")


def main() -> None:
    """Run the command line; exit with 0, 1 (tasks failed), 2 (wrong use) or 130 (stopped)."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        app(standalone_mode=True)
    except KerasjointError as error:
        say(str(error), alarm="error", error=True)
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


def _run_tasks(tasks: list[Task], folder: Path) -> tuple[Store, Outcome]:
    from kerasjoint.experiments.engine import Engine
    from kerasjoint.experiments.store import Store

    store = Store(folder)
    try:
        with progress_of(tasks) as (before, after):
            outcome = Engine(store).run(tasks, before, after)
    except KeyboardInterrupt:
        say(f"stopped; the same command goes on from the finished tasks in {folder}")
        raise typer.Exit(130) from None
    return store, outcome


def _report(store: Store) -> None:
    from kerasjoint.experiments.figures import write_figures
    from kerasjoint.experiments.tables import write_tables

    rows = store.rows()
    tables = write_tables(rows, store.folder / "tables")
    figures = write_figures(store, store.folder / "figures")
    print_tables(rows)
    say(f"Tables:  {', '.join(map(str, tables))}")
    say(f"Figures: {', '.join(map(str, figures))}")


if __name__ == "__main__":
    main()
