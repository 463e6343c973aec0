"""The user's own observations for a problem, from ``.npz`` or ``.csv``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from kerasjoint.errors import ArgumentError
from kerasjoint.experiments.references import can_sample
from kerasjoint.problem import InverseProblem
from kerasjoint.problem_set import ProblemSet

# Shape per instance of the observation, ``y``, and of each condition by its name.
Shapes = dict[str, tuple[int, ...]]

# What other programs put where commas belong.
SEPARATORS = {";": "semicolons", "\t": "tabulators", "|": "bars"}


def read_instances(problem: InverseProblem, path: str | Path, *, header: bool = True) -> ProblemSet:
    """Read a problem set.

    An ``.npz`` file holds ``y`` and ``x/<name>``, as ``ProblemSet.save`` writes them. A ``.csv`` file holds one
    instance a row, its columns named as ``column_names`` says, in any order. A problem without ``sample`` takes the
    shapes from these names. With ``header=False``, for a problem without condition, the columns are the observation.

    Raises
    ------
    ArgumentError
        For a missing file or column, ragged rows, text, or arrays of another shape than the problem's.

    Example
    -------
    >>> read_instances(WavePacket(), "signals.csv", header=False)
    """
    path = Path(path)
    if not path.is_file():
        raise ArgumentError("file", "an existing .npz or .csv file", path)
    shapes = _sampled_shapes(problem)
    if path.suffix == ".csv":
        return _read_csv(problem, path, shapes, header=header)
    if path.suffix != ".npz":
        raise ArgumentError("file", "a name ending in .npz or .csv", path.name)
    if not header:
        raise ArgumentError("--no-header", "a .csv file", path.name)
    problem_set = ProblemSet.load(problem, path)
    got = {name: array.shape[1:] for name, array in {**problem_set.x, "y": problem_set.y}.items()}
    if shapes is not None and got != shapes:
        raise ArgumentError(str(path), f"arrays of these shapes per instance: {shapes}", got)
    return problem_set


def column_names(problem: InverseProblem) -> list[str]:
    """Name the columns of a ``.csv`` file: ``y[0]``, ``y[1]``, ... and ``cue[0]``, ... for each condition.

    Example
    -------
    >>> column_names(Billiards())
    ['cue[0]', 'cue[1]', 'ball[0]', 'ball[1]', 'y[0]', 'y[1]']
    """
    return _columns(_sampled_shapes(problem) or {})


def _sampled_shapes(problem: InverseProblem) -> Shapes | None:
    """The shapes of an instance; ``None`` for a problem without ``sample``."""
    if not can_sample(problem):
        return None
    example = problem.sample(1, seed=0)
    return {name: array.shape[1:] for name, array in {**example.x, "y": example.y}.items()}


def _read_csv(problem: InverseProblem, path: Path, shapes: Shapes | None, *, header: bool) -> ProblemSet:
    try:
        frame = pd.read_csv(path, header=None, dtype=str, skipinitialspace=True, index_col=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ArgumentError(str(path), "rows of equal length, separated by commas", error) from None
    first = str(frame.iloc[0, 0])
    if frame.shape[1] == 1 and (between := [name for mark, name in SEPARATORS.items() if mark in first]):
        raise ArgumentError(str(path), "numbers separated by commas", f"a line separated by {between[0]}")
    if header:
        frame, shapes = _with_header(path, frame, shapes)
    else:
        shapes = shapes or {"y": (frame.shape[1],)}
        if set(shapes) != {"y"}:
            raise ArgumentError(str(path), f"a header with the columns {_shorten(_columns(shapes))}", "--no-header")
        if frame.shape[1] != len(_columns(shapes)):
            raise ArgumentError(str(path), f"{len(_columns(shapes))} columns, one per entry of y", frame.shape[1])
        frame.columns = pd.Index(_columns(shapes))
    columns = _columns(shapes)
    numbers = frame[columns].apply(pd.to_numeric, errors="coerce")
    bad = np.argwhere(numbers.isna().to_numpy())
    if len(bad):
        row, column = bad[0]
        value = frame[columns].iloc[row, column]
        what = "a missing value" if pd.isna(value) else repr(value)
        raise ArgumentError(str(path), "numbers", f"{what} in row {row}, column {columns[column]}")
    arrays = {
        name: numbers[_labels(name, shape)].to_numpy(dtype=np.float64).reshape(-1, *shape)
        for name, shape in shapes.items()
    }
    y = arrays.pop("y")
    return ProblemSet(problem, arrays, y)


def _with_header(path: Path, frame: pd.DataFrame, shapes: Shapes | None) -> tuple[pd.DataFrame, Shapes]:
    """Take the first row as names, and check them against the problem's, or derive the shapes from them."""
    names = frame.iloc[0].fillna("").tolist()
    if shapes is None and not any(re.match(r"y(\[|$)", name) for name in names):
        expected = "a header such as time[0], time[1], y[0], y[1] or y; with --no-header, all columns are y"
        raise ArgumentError(str(path), expected, _shorten(names))
    if shapes is not None and not set(names) & set(_columns(shapes)):
        expected = f"a header with the columns {_shorten(_columns(shapes))}"
        expected += "; or --no-header for a file without one" if set(shapes) == {"y"} else ""
        raise ArgumentError(str(path), expected, _shorten(names))
    if "" in names:
        raise ArgumentError(str(path), "a name for each column", f"column {names.index('') + 1} without a name")
    repeated = [name for k, name in enumerate(names) if name in names[:k]]
    if repeated:
        raise ArgumentError(str(path), "each column once", f"several {_shorten(repeated)}")
    shapes = _named_shapes(path, names) if shapes is None else shapes
    wrong = {
        "missing": [name for name in _columns(shapes) if name not in names],
        "unknown": [name for name in names if name not in _columns(shapes)],
    }
    if any(wrong.values()):
        got = "; ".join(f"{what} {_shorten(some)}" for what, some in wrong.items() if some)
        raise ArgumentError(str(path), f"the columns {_shorten(_columns(shapes))}", got)
    return frame[1:].set_axis(names, axis=1), shapes


def _named_shapes(path: Path, names: list[str]) -> Shapes:
    """Derive shapes from names: the largest index along each axis; ``y`` comes last, as in ``column_names``."""
    shapes: Shapes = {}
    for name in names:
        match = re.fullmatch(r"([^\[\]]+)(?:\[(\d{1,6}(?:,\d{1,6})*)\])?", name)
        if match is None:
            raise ArgumentError(str(path), "names such as y, y[3] or field[0,1]", repr(name))
        shape = tuple(int(index) + 1 for index in match[2].split(",")) if match[2] else ()
        known = shapes.setdefault(match[1], shape)
        if len(known) != len(shape):
            raise ArgumentError(str(path), f"the same number of indices for all columns of {match[1]}", repr(name))
        shapes[match[1]] = tuple(max(sizes) for sizes in zip(known, shape, strict=True))
        if np.prod(shapes[match[1]], dtype=float) > len(names):
            raise ArgumentError(
                str(path), f"a column for each index of {match[1]}", f"{name!r} of {len(names)} columns"
            )
    return shapes


def _columns(shapes: Shapes) -> list[str]:
    return [label for name, shape in shapes.items() for label in _labels(name, shape)]


def _labels(name: str, shape: tuple[int, ...]) -> list[str]:
    return [f"{name}[{','.join(map(str, index))}]" if index else name for index in np.ndindex(shape)]


def _shorten(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:4])}, ..., {names[-1]} ({len(names)})"
