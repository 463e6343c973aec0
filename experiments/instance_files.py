"""The user's own observations for a problem of the zoo, from ``.npz`` or ``.csv``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from kerasjoint.errors import ArgumentError
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet


def read_instances(problem: InverseProblem, path: str | Path) -> ProblemSet:
    """Read a problem set.

    An ``.npz`` file holds ``y`` and ``x/<name>``, as ``ProblemSet.save`` writes them. A ``.csv`` file holds one
    instance a row: the columns named as ``column_names`` says, in any order; or, for a problem without condition,
    just the observation without a header.

    Raises
    ------
    ArgumentError
        For a missing file or column, ragged rows, text, or arrays of another shape than the problem's.
    """
    path = Path(path)
    if not path.is_file():
        raise ArgumentError("file", "an existing .npz or .csv file", path)
    if path.suffix == ".npz":
        problem_set = ProblemSet.load(problem, path)
    elif path.suffix == ".csv":
        problem_set = _read_csv(problem, path)
    else:
        raise ArgumentError("file", "a name ending in .npz or .csv", path.name)
    example = problem.sample(1, seed=0)
    expected = {"y": example.y.shape[1:]} | {f"x/{name}": array.shape[1:] for name, array in example.x.items()}
    got = {"y": problem_set.y.shape[1:]} | {f"x/{name}": array.shape[1:] for name, array in problem_set.x.items()}
    if got != expected:
        raise ArgumentError(str(path), f"arrays of these shapes per instance: {expected}", got)
    return problem_set


def column_names(problem: InverseProblem) -> list[str]:
    """Name the columns of a ``.csv`` file: ``y[0]``, ``y[1]``, ... and ``cue[0]``, ... for each condition."""
    example = problem.sample(1, seed=0)
    return [label for name, array in {**example.x, "y": example.y}.items() for label in _labels(name, array.shape[1:])]


def _read_csv(problem: InverseProblem, path: Path) -> ProblemSet:
    example = problem.sample(1, seed=0)
    columns = column_names(problem)
    try:
        frame = pd.read_csv(path, header=None, dtype=str, skipinitialspace=True, index_col=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ArgumentError(str(path), "rows of equal length, separated by commas", error) from None
    if set(frame.iloc[0].dropna()) & set(columns):
        frame = frame[1:].set_axis(list(frame.iloc[0].fillna("a column without a name")), axis=1)
    else:
        if example.x:
            raise ArgumentError(str(path), f"a header with the columns {_shorten(columns)}", "no such header")
        if frame.shape[1] != len(columns):
            raise ArgumentError(str(path), f"{len(columns)} columns, one per entry of y", frame.shape[1])
        frame.columns = pd.Index(columns)
    repeated = frame.columns[frame.columns.duplicated()].tolist()
    if repeated:
        raise ArgumentError(str(path), "each column once", f"several {_shorten(repeated)}")
    missing = [column for column in columns if column not in frame]
    unknown = [str(column) for column in frame if column not in columns]
    if missing or unknown:
        expected = f"the columns {_shorten(columns)}"
        raise ArgumentError(str(path), expected, f"missing {_shorten(missing)}; unknown {_shorten(unknown)}")
    numbers = frame[columns].apply(pd.to_numeric, errors="coerce")
    bad = np.argwhere(numbers.isna().to_numpy())
    if len(bad):
        row, column = bad[0]
        value = frame[columns].iloc[row, column]
        what = "a missing value" if pd.isna(value) else repr(value)
        raise ArgumentError(str(path), "numbers", f"{what} in row {row}, column {columns[column]}")

    def array(name: str, shape: tuple[int, ...]) -> np.ndarray:
        return numbers[_labels(name, shape)].to_numpy(dtype=np.float64).reshape(-1, *shape)

    x = {name: array(name, values.shape[1:]) for name, values in example.x.items()}
    return ProblemSet(problem, x, array("y", example.y.shape[1:]))


def _labels(name: str, shape: tuple[int, ...]) -> list[str]:
    return [f"{name}[{','.join(map(str, index))}]" if index else name for index in np.ndindex(shape)]


def _shorten(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:4])}, ..., {names[-1]} ({len(names)})"
