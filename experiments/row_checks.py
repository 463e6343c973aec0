"""Checks of what tasks store: the columns of their rows, how many there are, and whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from kerasjoint.errors import ArgumentError
from kerasjoint.experiments.plan import Task

KEY = ["problem", "method", "n", "seed"]
ROW_COLUMNS = (
    *("problem", "method", "role", "stage", "selection", "n", "seed", "instance"),
    *("loss", "solved", "error", "status", "evaluations", "iterations", "non_finite", "seconds"),
    *("solver", "xi", "truth"),
)
TRACE_COLUMNS = ("problem", "method", "n", "seed", "iteration", "mean")
NAMES = ("problem", "method", "role", "stage", "selection", "status")
# Columns that tables and figures compute with.
NUMBERS = ("n", "seed", "instance", "loss", "evaluations", "iterations", "seconds")


def check_metadata(name: str, metadata: Any, path: Path) -> dict[str, Any]:
    """Return a task's metadata if it is that of the task ``name``; ``path`` names the file in messages.

    Example
    -------
    >>> check_metadata("billiards.lbfgs.n4.s0", json.loads(path.read_text()), path)["settings"]
    """
    try:
        found = Task(preset=metadata["preset"], **metadata["settings"]).name
    except Exception as error:  # Of many kinds, as JSON of another structure is.
        raise ArgumentError(str(path), f"metadata of the task {name}", f"{type(error).__name__}: {error}") from None
    if found != name:
        raise ArgumentError(str(path), f"metadata of the task {name}", f"that of {found}")
    return metadata


def check_rows(rows: pd.DataFrame, tasks: Mapping[str, dict[str, Any]], path: Path) -> pd.DataFrame:
    """Return rows if they are those of ``tasks``, metadata by name, with every instance once per stage and selection.

    Raises
    ------
    ArgumentError
        Naming the file, and the first task whose rows are missing, too few, doubled or not numbers.
    """
    _check_columns(rows, ROW_COLUMNS, path)
    for column in NUMBERS:
        if not pd.api.types.is_numeric_dtype(rows[column]) or pd.api.types.is_bool_dtype(rows[column]):
            raise ArgumentError(str(path), f"numbers as {column}", rows[column].dtype)
        if rows[column].isna().any():
            raise ArgumentError(f"{path}, {_first(rows, rows[column].isna())}", f"a number as {column}", "NaN")
    for column in NAMES:
        if not pd.api.types.is_string_dtype(rows[column]) or rows[column].isna().any():
            raise ArgumentError(str(path), f"text as {column}", rows[column].dtype)
    _check_tasks(rows, tasks, path, every=True)
    wrong = ~rows["instance"].between(0, rows["n"] - 1) | rows.duplicated([*KEY, "stage", "selection", "instance"])
    if wrong.any():
        raise ArgumentError(f"{path}, {_first(rows, wrong)}", "each of its n instances once", "others, or several")
    counted = rows.groupby([*KEY, "stage", "selection"], sort=False).size().rename("rows").reset_index()
    short = counted["rows"] != counted["n"]
    if short.any():
        got = counted["rows"][short].iloc[0]
        raise ArgumentError(f"{path}, {_first(counted, short)}", "a row for each of its n instances", f"{got} rows")
    return rows


def check_trace(trace: pd.DataFrame, tasks: Mapping[str, dict[str, Any]], path: Path) -> pd.DataFrame:
    """Return a trace if it has its columns and is of ``tasks``, metadata by name."""
    _check_columns(trace, TRACE_COLUMNS, path)
    _check_tasks(trace, tasks, path, every=False)
    return trace


def _check_columns(frame: pd.DataFrame, columns: tuple[str, ...], path: Path) -> None:
    missing = [column for column in columns if column not in frame]
    if missing:
        raise ArgumentError(str(path), f"the columns {', '.join(columns)}", f"none named {', '.join(missing)}")


def _check_tasks(frame: pd.DataFrame, tasks: Mapping[str, dict[str, Any]], path: Path, *, every: bool) -> None:
    wanted = {tuple(metadata["settings"][key] for key in KEY): name for name, metadata in tasks.items()}
    found = set(frame[KEY].drop_duplicates().itertuples(index=False, name=None))
    missing = [name for key, name in wanted.items() if key not in found]
    if every and missing:
        raise ArgumentError(str(path), f"rows of the task {missing[0]}", "none")
    if found - set(wanted):
        raise ArgumentError(str(path), f"no other task than {', '.join(tasks)}"[:300], next(iter(found - set(wanted))))


def _first(frame: pd.DataFrame, chosen: pd.Series) -> str:
    """Name the task of the first chosen row."""
    return "task {}, {}, n = {}, seed {}".format(*frame.loc[chosen, KEY].iloc[0])
