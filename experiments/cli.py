"""The command line: list, run, report, pack, solve, and the replication of the paper."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kerasjoint import __version__, compile_cache
from kerasjoint.cores import set_cores
from kerasjoint.errors import ArgumentError, ClusterError, KerasjointError, WriteError
from kerasjoint.experiments.screen import console, print_names, print_tables, progress_of, say
from kerasjoint.experiments.stopping import exit_code, take_sigterm
from kerasjoint.methods import DEFAULT, METHODS
from kerasjoint.problems import PROBLEMS

if TYPE_CHECKING:
    from kerasjoint.experiments.dask_engine import DaskCluster
    from kerasjoint.experiments.engine import Outcome
    from kerasjoint.experiments.plan import Task
    from kerasjoint.experiments.store import Store

# TensorFlow and its libraries read these when they are imported, and would fill the screen.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "OPENBLAS_NUM_THREADS": "1"}

app = typer.Typer(help="Solve many similar inverse problems at once.", no_args_is_help=True)
Cores = Annotated[int | None, typer.Option(help="Cores that expensive simulations use; default: all.", min=1)]


def _method_names() -> list[str]:
    return list(METHODS)


def _problem_names() -> list[str]:
    return list(PROBLEMS)


def _preset_names() -> list[str]:
    from kerasjoint.experiments.preset_files import preset_names

    return list(preset_names())


def _say_version(wanted: bool) -> None:
    if wanted:
        say(f"kerasjoint {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command("list")
def list_everything() -> None:
    """List problems, methods, networks and presets, each with one line."""
    from kerasjoint.experiments.preset_files import preset_names, read_preset
    from kerasjoint.models import NETWORKS

    for registry, title in ((PROBLEMS, "problems"), (METHODS, "methods"), (NETWORKS, "networks")):
        print_names(title, {name: registry.summary(name) for name in registry})
    print_names("presets", {name: read_preset(name).get("description", "") for name in preset_names()})


@app.command()
def run(
    problems: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names, module:Class or file.py:Class; default: those of the preset.", autocompletion=_problem_names
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option(help="A preset's name, or a YAML file.", autocompletion=_preset_names)
    ] = "quick",
    n: Annotated[list[int] | None, typer.Option(help="Number of instances; may be repeated.", min=1)] = None,
    seeds: Annotated[int | None, typer.Option(help="Number of repetitions.", min=1)] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="A name, module:Class or file.py:Class; may be repeated.", autocompletion=_method_names),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the rows; default: results/PRESET.")] = None,
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds that a task may take; default: that of the preset, or none.")
    ] = None,
    cores: Cores = None,
    engine: Annotated[
        str | None, typer.Option(help="dask: tasks run on a cluster; default: one after the other, here.")
    ] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a running Dask scheduler.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes of a local Dask cluster.", min=1)] = None,
    tls_ca: Annotated[Path | None, typer.Option(help="Certificate authority of a scheduler tls://..., PEM.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate for that scheduler, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
) -> None:
    """Run methods on problems, and write tables and figures. The same command again resumes."""
    set_cores(cores)
    _import_quietly()
    from kerasjoint.experiments.plan import plan
    from kerasjoint.experiments.preset import load_preset
    from kerasjoint.experiments.store import Store

    chosen = load_preset(preset).narrowed(problems or (), method or (), n or (), seeds, time_limit)
    store = Store(out or Path("results") / chosen.name)
    with _cluster(engine, scheduler, workers, (tls_ca, tls_cert, tls_key), cores) as cluster:
        outcome = _run_tasks(plan(chosen), store, chosen.time_limit, cluster)
    if outcome.run or outcome.found:
        _report(store)
    if outcome.failed:
        raise typer.Exit(1)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder that a run has written.")],
    html: Annotated[bool, typer.Option("--html", help="Also write report.html, one page to send around.")] = False,
) -> None:
    """Write tables and figures again, from the stored rows alone."""
    from kerasjoint.experiments.store import Store

    _report(Store(folder), html=html)


@app.command()
def replication(
    folder: Annotated[Path, typer.Argument(help="Folder of a run of the preset 'paper'.")],
    cost: Annotated[Path | None, typer.Option(help="CSV of the benchmarks: cost ratios of single tasks.")] = None,
) -> None:
    """Write tables, figures and REPORT.md, our numbers beside the paper's, from the stored rows alone."""
    from kerasjoint.experiments.paper.replication import write_replication
    from kerasjoint.experiments.store import Store

    with _stoppable(f"stopped while writing; the same command writes the rest to {folder}"):
        say(f"written to {write_replication(Store(folder), cost)}")


@app.command()
def budgets(
    folders: Annotated[list[Path], typer.Argument(help="Folders that runs have written.")],
    out: Annotated[Path, typer.Option(help="Where to write tables and figures.")],
) -> None:
    """Write how many instances each method solves at what cost, and how many of the confirmed ones are solved."""
    from kerasjoint.experiments.budgets import write_budgets

    with _stoppable(f"stopped while writing; the same command writes the rest to {out}"):
        say(f"written: {', '.join(map(str, write_budgets(folders, out)))}")


@app.command()
def pack(folder: Annotated[Path, typer.Argument(help="Folder that a run has written.")]) -> None:
    """Put the rows of all finished tasks into few files, for keeping. A run can still go on from them."""
    from kerasjoint.experiments.store import Store

    with _stoppable(f"stopped while packing; every task is kept in {folder}/tasks"):
        say(f"{Store(folder).pack()} tasks are in {folder}/tasks")


@app.command()
def solve(
    problem: Annotated[
        str,
        typer.Argument(help="A problem: a name, module:Class or file.py:Class.", autocompletion=_problem_names),
    ],
    file: Annotated[Path, typer.Argument(help="Observations: .npz, or .csv with one instance a row.")],
    out: Annotated[Path, typer.Option(help="Where to write the solution, .csv.")],
    method: Annotated[
        str, typer.Option(help="A method: a name, module:Class or file.py:Class.", autocompletion=_method_names)
    ] = DEFAULT,
    seed: Annotated[int, typer.Option(help="Of the method.", min=0)] = 0,
    evaluations: Annotated[
        int | None, typer.Option(help="Budget of each instance; default: that of the method.", min=1)
    ] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Add the standard errors of the unknowns.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file of this name.")] = False,
    no_header: Annotated[bool, typer.Option("--no-header", help="The .csv file has no row of names.")] = False,
    cores: Cores = None,
) -> None:
    """Solve your own observations."""
    set_cores(cores)
    from kerasjoint.experiments.labels import check_label

    check_label(METHODS, method, variants=())
    check_label(PROBLEMS, problem, variants=())
    if out.suffix != ".csv" or not out.parent.is_dir():
        raise ArgumentError("--out", "a name ending in .csv in an existing folder", out)
    if out.exists() and not overwrite:
        raise ArgumentError("--out", "a new file, or --overwrite beside it", f"{out}, which exists")
    _import_quietly()
    from kerasjoint.experiments.instance_files import read_instances
    from kerasjoint.experiments.references import construct
    from kerasjoint.files import atomic_path
    from kerasjoint.solving import solve as solve_problem_set

    problem_set = read_instances(construct(PROBLEMS, problem, {}), file, header=not no_header)
    chosen = construct(METHODS, method, {} if evaluations is None else {"evaluations": evaluations})
    status = console.status(f"solving {len(problem_set)} instances of {problem} by {method}")
    with _stoppable(f"stopped before {out} was written"), status:
        solution = solve_problem_set(problem_set, chosen, seed=seed)
        frame = solution.to_frame(solution.uncertainty() if errors else None)
    with atomic_path(out) as path:
        frame.to_csv(path, index=False)
    say(f"{solution!r}\nwritten to {out}")


def main() -> None:
    """Run the command line.

    It exits with 0, 1 (tasks failed, nothing can be written, or a cluster was lost), 2 (wrong use), 130 (Ctrl-C) or
    143 (SIGTERM).
    """
    take_sigterm()
    for name, value in {**QUIET, compile_cache.VARIABLE: "default"}.items():
        os.environ.setdefault(name, value)
    try:
        app(prog_name="kerasjoint", standalone_mode=True)
    except KerasjointError as error:
        say(str(error), alarm="error", error=True)
        sys.exit(1 if isinstance(error, (WriteError, ClusterError)) else 2)


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


@contextmanager
def _stoppable(message: str) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the command with a line that says what is kept, and their exit code."""
    try:
        yield
    except KeyboardInterrupt as stop:
        say(message)
        raise typer.Exit(exit_code(stop)) from None


def _cluster(
    engine: str | None,
    scheduler: str | None,
    workers: int | None,
    tls: tuple[Path | None, Path | None, Path | None],
    cores: int | None,
) -> AbstractContextManager[DaskCluster | None]:
    """Return the cluster that the options ask for, to be entered; without ``--engine`` none."""
    if engine == "dask":
        from kerasjoint.experiments.dask_engine import DaskCluster

        return DaskCluster(scheduler, workers, tls, cores)
    if engine is not None:
        raise ArgumentError("--engine", "dask", repr(engine))
    given = {
        "--scheduler": scheduler,
        "--workers": workers,
        "--tls-ca, --tls-cert, --tls-key": next(filter(None, tls), None),
    }
    for name, value in given.items():
        if value is not None:
            raise ArgumentError(name, "--engine dask beside it", "none")
    return nullcontext()


def _run_tasks(tasks: list[Task], store: Store, time_limit: float | None, cluster: DaskCluster | None) -> Outcome:
    """Run tasks, and say which failed or were damaged; also of a run that ends early, with how many are finished."""
    from kerasjoint.experiments.engine import Engine

    engine = Engine(store, time_limit, cluster)
    try:
        with progress_of(tasks) as (before, after):
            engine.run(tasks, before, after)
    except (KeyboardInterrupt, WriteError, ClusterError) as stop:
        _say_outcome(engine.outcome)
        done = len(engine.outcome.run) + len(engine.outcome.found)
        say(f"stopped; {done} of {len(tasks)} tasks are finished, the same command goes on from them in {store.folder}")
        if not isinstance(stop, KeyboardInterrupt):
            raise
        raise typer.Exit(exit_code(stop)) from None
    _say_outcome(engine.outcome)
    return engine.outcome


def _say_outcome(outcome: Outcome) -> None:
    for name, reason in outcome.damaged.items():
        say(f"{name}, so it was set aside and is run again: {reason}", alarm="damaged")
    for name, reason in outcome.failed.items():
        say(f"{name}: {reason}", alarm="failed")


def _report(store: Store, *, html: bool = False) -> None:
    from kerasjoint.experiments.figures import write_figures
    from kerasjoint.experiments.tables import write_tables

    with _stoppable(f"stopped while writing tables and figures; kerasjoint report {store.folder} writes them"):
        rows = store.rows()
        tables = write_tables(
            rows, store.folder / "tables", failed=store.failed(), simulator_errors=store.simulator_errors()
        )
        figures = write_figures(store, store.folder / "figures")
        print_tables(rows)
        say(f"Tables:  {', '.join(map(str, tables))}")
        say(f"Figures: {', '.join(map(str, figures))}")
        if html:
            from kerasjoint.experiments.html_report import write_html

            say(f"Page:    {write_html(store, figures)}")


if __name__ == "__main__":
    main()
