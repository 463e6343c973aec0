"""What the command line prints: names, progress, tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from kerasjoint.experiments.plan import Task

console = Console()


def say(text: str, *, alarm: str = "", error: bool = False) -> None:
    """Print a text as it is, without wrapping, after a word of alarm in red; to standard error if it is an error."""
    alarm = f"[red]{alarm}[/red] " if alarm else ""
    (Console(stderr=True) if error else console).print(alarm + escape(text), highlight=False, soft_wrap=True)


def print_names(title: str, lines: dict[str, str]) -> None:
    """Print names with one line about each."""
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 2))
    for name, line in lines.items():
        table.add_row(name, line)
    console.print(table)


def print_tables(rows: pd.DataFrame) -> None:
    """Print each problem's comparison with its first reference, refined and unrefined."""
    from kerasjoint.experiments.labels import Label
    from kerasjoint.experiments.tables import TOLERANCE, brief, comparison_table

    for problem in dict.fromkeys(rows["problem"]):
        whole = comparison_table(rows, problem, per_n=False)
        if whole.empty:
            continue
        reference = whole["reference"].iloc[0]
        against = f"against {Label(reference).title}"
        for stage in ("refined", "unrefined"):
            title = f"{Label(problem).title}, {stage}, {against}"
            _print_table(title, brief(whole[whole["reference"] == reference], stage))
    note = (
        f"Percent of instances, mean over n. ~: equal if {TOLERANCE}. Intervals, last iterates, costs: in the tables."
    )
    console.print(note, highlight=False)


@contextmanager
def progress_of(tasks: list[Task]) -> Iterator[tuple[Callable[[Task], None], Callable[[Task], None]]]:
    """Show how far a run is; yield what to call before and after each task."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from kerasjoint.experiments.time_remaining import TimeRemaining

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    remaining = TimeRemaining(tasks)
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("starting", total=len(tasks), left="")

        def before(task: Task) -> None:
            progress.update(bar, description=task.name, left=remaining.start(task))

        def after(task: Task) -> None:
            progress.update(bar, description=task.name, advance=1, left=remaining.finish(task))

        yield before, after


def _print_table(title: str, text: pd.DataFrame) -> None:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for k, column in enumerate(text):
        table.add_column(str(column), no_wrap=True, justify="left" if k == 0 else "right")
    for row in text.itertuples(index=False):
        table.add_row(*row)
    console.print(table)
