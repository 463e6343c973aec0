"""Many instances of one problem: the condition, the observation and, where it is known, the truth."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from kerasjoint.batching import padded_size, sizes_side_by_side
from kerasjoint.cores import cores
from kerasjoint.errors import ArgumentError
from kerasjoint.problem import InverseProblem
from kerasjoint.unknown import as_float_array, name_instances

FloatArray = NDArray[np.float64]


class ProblemSet:
    """``n`` instances of one problem, validated on construction and never changed afterwards.

    Parameters
    ----------
    problem
        The forward model, unknowns and loss.
    x
        The condition: arrays by name, each (n, ...). May be empty.
    y
        The observation, (n, ...).
    truth
        The true unknowns, by name or flat (n, d), if known. Outside of the bounds no method will find them.
    guess
        Where optimisers start, by name or flat (n, d). Default: the guess of each unknown.

    Raises
    ------
    ArgumentError
        Naming the array, what was expected and what came.

    Example
    -------
    >>> problem_set = ProblemSet(Decay(), x={"time": time}, y=counts)
    >>> len(problem_set), problem_set[:10].y.shape
    """

    def __init__(
        self,
        problem: InverseProblem,
        x: Mapping[str, ArrayLike] | None = None,
        y: ArrayLike | None = None,
        truth: Mapping[str, ArrayLike] | ArrayLike | None = None,
        guess: Mapping[str, ArrayLike] | ArrayLike | None = None,
    ) -> None:
        if not isinstance(problem, InverseProblem):
            raise ArgumentError("problem", "an InverseProblem instance", _describe(problem))
        if x is not None and not isinstance(x, Mapping):
            raise ArgumentError("x", "a dict of arrays by name", _describe(x))
        if y is None:
            raise ArgumentError("y", "the observation, an array (n, ...)", "nothing")
        space = problem.space
        self.problem = problem
        self.y: FloatArray = _instances("y", y)
        self.x: dict[str, FloatArray] = {name: _instances(f"x[{name!r}]", a) for name, a in (x or {}).items()}
        n = len(self.y)
        self.truth: FloatArray | None = None if truth is None else check_finite("truth", space.flatten(truth, "truth"))
        if guess is None:
            self.guess: FloatArray = np.tile(space.guess, (n, 1))
        else:
            self.guess = check_finite("guess", space.flatten(guess, "guess"))
            space.check_inside(self.guess, "guess")
        arrays = {f"x[{name!r}]": a for name, a in self.x.items()} | {"truth": self.truth, "guess": self.guess}
        for name, array in arrays.items():
            if array is not None and len(array) != n:
                raise ArgumentError(name, f"{n} instances as in y", f"{len(array)}")
        for array in (self.y, *self.x.values(), self.truth, self.guess):
            if array is not None:
                array.setflags(write=False)

    def __len__(self) -> int:
        """Return the number of instances."""
        return len(self.y)

    def __iter__(self) -> Iterator[ProblemSet]:
        """Iterate over the instances, each a problem set of one."""
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        """Return a short description."""
        x = {name: array.shape[1:] for name, array in self.x.items()}
        return f"ProblemSet({type(self.problem).__name__}, n={len(self)}, x={x}, y={self.y.shape[1:]})"

    def __getitem__(self, rows: int | slice | Sequence[int] | NDArray[Any]) -> ProblemSet:
        """Return the chosen instances as a problem set; ``rows`` is an index, a slice, indices or a boolean mask."""
        if isinstance(rows, (int, np.integer)):
            rows = [int(rows)]
        elif not isinstance(rows, slice):
            rows = np.asarray(rows)
        try:
            pick = np.arange(len(self))[rows]
        except IndexError as error:
            raise ArgumentError("instances", f"indices below {len(self)} or a mask of that length", error) from None
        return ProblemSet(
            self.problem,
            {name: array[pick] for name, array in self.x.items()},
            self.y[pick],
            None if self.truth is None else self.truth[pick],
            self.guess[pick],
        )

    @staticmethod
    def concatenate(problem_sets: Sequence[ProblemSet]) -> ProblemSet:
        """Join problem sets of one problem; the truth is kept if all have it."""
        if not problem_sets:
            raise ArgumentError("problem_sets", "at least one", "none")
        first = problem_sets[0]
        for other in problem_sets[1:]:
            if other.problem is not first.problem or set(other.x) != set(first.x):
                raise ArgumentError("problem_sets", f"sets of the same problem object and x as {first!r}", repr(other))
            shapes = {"y": first.y.shape[1:]} | {name: array.shape[1:] for name, array in first.x.items()}
            found = {"y": other.y.shape[1:]} | {name: array.shape[1:] for name, array in other.x.items()}
            if found != shapes:
                raise ArgumentError("problem_sets", f"arrays of these shapes per instance: {shapes}", found)
        truths = [one.truth for one in problem_sets]
        return ProblemSet(
            first.problem,
            {name: np.concatenate([one.x[name] for one in problem_sets]) for name in first.x},
            np.concatenate([one.y for one in problem_sets]),
            None if any(truth is None for truth in truths) else np.concatenate(truths),  # type: ignore[arg-type]
            np.concatenate([one.guess for one in problem_sets]),
        )

    def has_instances_of(self, other: ProblemSet) -> bool:
        """Tell whether the instances are the same: equal condition and observation, and a problem of the same class."""
        return self is other or (
            type(self.problem) is type(other.problem)
            and self.x.keys() == other.x.keys()
            and np.array_equal(self.y, other.y)
            and all(np.array_equal(array, other.x[name]) for name, array in self.x.items())
        )

    def objective(
        self, xi: Mapping[str, ArrayLike] | ArrayLike, instances: NDArray[np.intp] | None = None
    ) -> FloatArray:
        """Return the loss of each instance, (n,) float64, +inf where not finite; ``xi`` is flat (n, d) or by name.

        With ``instances``, the indices of m of them, ``xi`` and the result are those of these alone.
        """
        flat, rows = self._batch(xi, instances)
        return self.problem.compiled.value(*self._padded(flat, rows), *self._tensors).numpy()[: len(rows)]

    def value_and_gradient(
        self, xi: Mapping[str, ArrayLike] | ArrayLike, instances: NDArray[np.intp] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the losses (n,) and their gradients (n, d), float64; where either is not finite: +inf and zero.

        With ``instances``, the indices of m of them, ``xi`` and the results are those of these alone.
        """
        flat, rows = self._batch(xi, instances)
        value, gradient = self.problem.compiled.value_and_gradient(*self._padded(flat, rows), *self._tensors)
        return value.numpy()[: len(rows)], gradient.numpy()[: len(rows)]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write x, y, truth and guess to an ``.npz`` file, whole or not at all; return its path."""
        target = Path(path)
        if target.suffix != ".npz":
            raise ArgumentError("path", "a name ending in .npz", target)
        arrays = {"y": self.y, "guess": self.guess} | {f"x/{name}": array for name, array in self.x.items()}
        if self.truth is not None:
            arrays["truth"] = self.truth
        partial = target.with_name(f".{target.name}.partial-{os.getpid()}.npz")
        try:
            np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
        return target

    @staticmethod
    def load(problem: InverseProblem, path: str | os.PathLike[str]) -> ProblemSet:
        """Read what ``save`` wrote: an ``.npz`` of ``y``, ``x/<name>``, ``truth`` and ``guess``; never a pickle."""
        try:
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except FileNotFoundError:
            raise ArgumentError("path", "an existing .npz file", path) from None
        except (ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile, zlib.error, KeyError) as error:
            raise ArgumentError(str(path), "an intact .npz file without pickled objects", error) from None
        x = {name.removeprefix("x/"): arrays.pop(name) for name in list(arrays) if name.startswith("x/")}
        unexpected = sorted(set(arrays) - {"y", "truth", "guess"})
        if unexpected or "y" not in arrays:
            expected = "the arrays y, x/<name>, and perhaps truth and guess"
            raise ArgumentError(str(path), expected, sorted(arrays) + [f"x/{name}" for name in x])
        return ProblemSet(problem, x, arrays["y"], arrays.get("truth"), arrays.get("guess"))

    def compile(self, m: int | None = None) -> bool:
        """Compile the gradient for ``m`` instances now, by default all, unless it was; tell whether it was not."""
        m = len(self) if m is None else m
        chunk = self.problem.chunk
        batch = sizes_side_by_side(m, chunk) or padded_size(m, chunk)
        shapes = (
            batch,
            cores(),
            self.y.shape[1:],
            *((name, array.shape[1:]) for name, array in sorted(self.x.items())),
        )
        done = self.problem.compiled.shapes_done
        if shapes in done:
            return False
        rows = np.arange(m) % len(self)
        self.value_and_gradient(self.guess[rows], rows)
        done.add(shapes)
        return True

    @cached_property
    def _tensors(self) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        return {name: tf.constant(array) for name, array in self.x.items()}, tf.constant(self.y)

    def _padded(self, xi: FloatArray, rows: NDArray[np.intp]) -> tuple[tf.Tensor, tf.Tensor]:
        """Fill up to a size that is compiled anyway with copies of the last row."""
        filled = np.minimum(np.arange(padded_size(len(rows), self.problem.chunk)), len(rows) - 1)
        return tf.constant(xi[filled]), tf.constant(rows[filled], tf.int32)

    def _batch(
        self, xi: Mapping[str, ArrayLike] | ArrayLike, instances: NDArray[np.intp] | None
    ) -> tuple[FloatArray, NDArray[np.intp]]:
        rows = np.arange(len(self)) if instances is None else np.arange(len(self))[instances]
        flat = self.problem.space.flatten(xi)
        if len(flat) != len(rows):
            whose = "as in the problem set" if instances is None else "as asked for"
            raise ArgumentError("xi", f"{len(rows)} instances {whose}", len(flat))
        return flat, rows


def _describe(value: object) -> str:
    return f"{type(value).__name__} {value!r:.60}"


def _instances(argument: str, values: ArrayLike) -> FloatArray:
    array = as_float_array(argument, values)
    if array.ndim == 0 or len(array) == 0:
        raise ArgumentError(argument, "an array with at least one instance on its first axis", f"shape {array.shape}")
    return check_finite(argument, array)


def check_finite(argument: str, array: FloatArray) -> FloatArray:
    """Return the array (n, ...), or refuse NaN and infinity, naming the instances."""
    bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
    if bad.size:
        raise ArgumentError(argument, "finite numbers", f"NaN or infinity in instances {name_instances(bad)}")
    return array
