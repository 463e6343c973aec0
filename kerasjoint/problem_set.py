"""Many instances of one problem: the condition, the observation and, where it is known, the truth."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from kerasjoint.errors import ArgumentError, describe
from kerasjoint.evaluator import Data, Evaluator, evaluator_of
from kerasjoint.fingerprint import changed_constants, data_fingerprint, problem_fingerprint
from kerasjoint.hooks import call
from kerasjoint.npy_folder import open_npy_folder, write_npy_folder
from kerasjoint.npz import Arrays, read_npz, write_npz
from kerasjoint.prior import draw_prior, outside_bounds
from kerasjoint.problem import InverseProblem
from kerasjoint.slabs import slabs
from kerasjoint.unknown import as_float_array, check_finite

FloatArray = NDArray[np.float64]

# What is set once.
FIXED = ("problem", "space", "x", "y", "truth", "guess")


class ProblemSet:
    """``n`` instances of one problem, validated on construction and never changed afterwards.

    Parameters
    ----------
    problem
        The forward model, unknowns and loss.
    x
        The condition: arrays by name, each (n, ...). May be empty. A ``numpy.memmap`` of float64 stays on disk.
    y
        The observation, (n, ...), likewise.
    truth
        The true unknowns, by name or flat (n, d), if known. Outside of the bounds no method will find them.
    guess
        Where optimisers start, by name or flat (n, d). Default: the guess of each unknown.

    Attributes
    ----------
    space
        The unknowns as one flat vector.
    evaluator
        What compiles and evaluates the objective; all sets of equal problems share it.

    Raises
    ------
    ArgumentError
        Naming the array, what was expected and what came. The problem's methods are traced for the shapes at hand, and
        refused by name if they break their contracts; nothing is simulated.
    SimulatorError
        For an error inside the problem's methods.

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
            raise ArgumentError("x", "a dict of arrays by name, as of dict(frame)", _describe(x))
        if y is None:
            raise ArgumentError("y", "the observation, an array (n, ...)", "nothing")
        if changed := changed_constants(problem):
            expected = "constants as at its first use, since its simulator is compiled once: construct another problem"
            raise ArgumentError("problem", expected, f"a {type(problem).__name__} whose {', '.join(changed)} changed")
        if wrong := [name for name in x or {} if not isinstance(name, str)]:
            raise ArgumentError("x", "names that are strings", _describe(wrong[0]))
        self.problem = problem
        self.space = space = problem.space
        self.y: FloatArray = _instances("y", y)
        axes = range(self.y.ndim - 1)
        if not isinstance(problem.periodic, tuple | list) or not set(problem.periodic) <= set(axes):
            expected = f"a tuple of axes of an observation, below {len(axes)} without that of the instances"
            raise ArgumentError(f"{type(problem).__name__}.periodic", expected, _describe(problem.periodic))
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
                hint = " (what all share: repeat it by np.tile, or keep it in the problem)" if name[0] == "x" else ""
                raise ArgumentError(name, f"{n} instances as in y", f"{len(array)}{hint}")
        self._truth_loss: FloatArray | None = None
        self._freeze()
        self.evaluator.check(n, self.one)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the data only once, since what was computed from them is kept."""
        if name in FIXED and name in vars(self):
            raise AttributeError(f"{name} of a ProblemSet cannot be set again: construct another one")
        super().__setattr__(name, value)

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
        pick = self._rows([rows] if isinstance(rows, (int, np.integer)) else rows)
        chosen = object.__new__(ProblemSet)
        chosen.problem, chosen.space = self.problem, self.space
        chosen.x, chosen.y = {name: array[pick] for name, array in self.x.items()}, self.y[pick]
        chosen.truth = None if self.truth is None else self.truth[pick]
        chosen.guess = self.guess[pick]
        chosen._truth_loss = None if self._truth_loss is None else self._truth_loss[pick]
        chosen._freeze()
        chosen.__dict__["evaluator"] = self.evaluator
        return chosen

    def __getstate__(self) -> dict[str, Any]:
        """Leave out compiled code and tensors: a copy or pickle makes its own."""
        return {name: value for name, value in vars(self).items() if name not in ("evaluator", "data", "one")}

    @staticmethod
    def concatenate(problem_sets: Sequence[ProblemSet]) -> ProblemSet:
        """Join sets of equal problems; the truth is kept if all have it."""
        if not isinstance(problem_sets, Sequence) or not all(isinstance(one, ProblemSet) for one in problem_sets):
            raise ArgumentError("problem_sets", "a list of ProblemSet", describe(problem_sets))
        if not problem_sets:
            raise ArgumentError("problem_sets", "at least one", "none")
        first = problem_sets[0]
        own = problem_fingerprint(first.problem)
        for other in problem_sets[1:]:
            if problem_fingerprint(other.problem) != own or set(other.x) != set(first.x):
                expected = f"sets of the same problem, constants and x as {first!r}"
                raise ArgumentError("problem_sets", expected, repr(other))
            shapes = {"y": first.y.shape[1:]} | {name: array.shape[1:] for name, array in first.x.items()}
            found = {"y": other.y.shape[1:]} | {name: array.shape[1:] for name, array in other.x.items()}
            if found != shapes:
                raise ArgumentError("problem_sets", f"arrays of these shapes per instance: {shapes}", found)
        truths = [one.truth for one in problem_sets if one.truth is not None]
        return ProblemSet(
            first.problem,
            {name: np.concatenate([one.x[name] for one in problem_sets]) for name in first.x},
            np.concatenate([one.y for one in problem_sets]),
            np.concatenate(truths) if len(truths) == len(problem_sets) else None,
            np.concatenate([one.guess for one in problem_sets]),
        )

    @cached_property
    def evaluator(self) -> Evaluator:
        """What compiles and evaluates the objective."""
        return evaluator_of(self.problem)

    @cached_property
    def data(self) -> Data:
        """Condition and observation as float64 tensors."""
        return Data({name: tf.constant(array) for name, array in self.x.items()}, tf.constant(self.y))

    @cached_property
    def one(self) -> Data:
        """Condition and observation of the first instance: for what depends on shapes alone."""
        return Data({name: tf.constant(array[:1]) for name, array in self.x.items()}, tf.constant(self.y[:1]))

    def slabs(self, share: int = 1) -> list[slice]:
        """Return the slabs in which a set too large for one piece is gone through; one slab for others."""
        return slabs(len(self), self._bytes_per_instance, share)

    @property
    def _bytes_per_instance(self) -> int:
        return sum(array.nbytes // len(array) for array in (self.y, *self.x.values()))

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the problem, its constants, x and y: equal for a set built anew from the same."""
        return data_fingerprint(problem_fingerprint(self.problem), dict(sorted(self.x.items())), self.y)

    @property
    def truth_loss(self) -> FloatArray | None:
        """The objective of the true unknowns, (n,), evaluated once; ``None`` where they are not known."""
        if self._truth_loss is None and self.truth is not None:
            self.keep_truth_loss(self.objective(self.truth))
        return self._truth_loss

    def keep_truth_loss(self, loss: FloatArray) -> None:
        """Keep the objective of the true unknowns, (n,), where it was evaluated elsewhere."""
        self._truth_loss = loss
        self._truth_loss.setflags(write=False)

    def solved(self, loss: FloatArray, xi: FloatArray) -> NDArray[np.bool_] | None:
        """Return which instances the problem counts as solved at ``xi`` (n, d) with ``loss`` (n,), or ``None``."""
        solved = call(self.problem, "solved", loss, xi, self)
        if solved is None:
            return None
        solved = np.asarray(solved)
        if solved.shape != (len(self),) or solved.dtype.kind != "b":
            name = self.problem.hook_name("solved")
            raise ArgumentError(name, f"{len(self)} booleans or None", f"{solved.dtype} of shape {solved.shape}")
        return solved

    def objective(
        self, xi: Mapping[str, ArrayLike] | ArrayLike, instances: NDArray[np.intp] | None = None
    ) -> FloatArray:
        """Return the loss of each instance, (n,) float64, +inf where not finite; ``xi`` is flat (n, d) or by name.

        With ``instances``, the indices of m of them, ``xi`` and the result are those of these alone.
        """
        (loss,) = self._evaluate("value", xi, instances)
        return loss

    def value_and_gradient(
        self, xi: Mapping[str, ArrayLike] | ArrayLike, instances: NDArray[np.intp] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the losses (n,) and their gradients (n, d), float64; where either is not finite: +inf and zero.

        With ``instances``, the indices of m of them, ``xi`` and the results are those of these alone.
        """
        loss, gradient = self._evaluate("value_and_gradient", xi, instances)
        return loss, gradient

    def draw_starts(self, instances: NDArray[np.intp], generator: np.random.Generator) -> FloatArray:
        """Draw a random start for each of ``instances`` (m,), in normalised coordinates (m, d), from the prior.

        Without a ``prior`` of the problem, unknowns with two bounds are uniform between them, others normal by scale.
        """
        guess = self.guess[instances]
        xi = draw_prior(self.problem, len(guess), int(generator.integers(2**31)))
        if xi is None:
            return self.space.draw(guess, generator)
        if (outside := self._outside) is not None:
            raise ArgumentError(self.problem.hook_name("prior"), *outside)
        return self.space.to_z(self.space.move_inside(xi, 1e-9), guess)

    @cached_property
    def _outside(self) -> tuple[str, str] | None:
        return outside_bounds(self.problem)

    def normal_equations(
        self, xi: Mapping[str, ArrayLike] | ArrayLike, instances: NDArray[np.intp] | None = None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return losses (n,), gradients (n, d) and Gauss-Newton Hessians (n, d, d) of a sum over residuals.

        The Hessian is 2 J^T J with the Jacobian J of the residuals, weighted where the loss is robust, plus the exact
        one of the regularizer. Otherwise as ``value_and_gradient``.
        """
        loss, gradient, hessian = self._evaluate("normal_equations", xi, instances)
        return loss, gradient, hessian

    def compile(self, m: int | None = None, function: str = "value_and_gradient") -> bool:
        """Compile a function, by default the gradient, for ``m`` instances now, by default all.

        Returns whether that was still to do.
        """
        return self.evaluator.compile(len(self) if m is None else m, self.one, self.guess[:1], function)

    def arrays(self) -> Arrays:
        """Return x, y, guess and truth under the names that ``save`` gives them."""
        arrays = {"y": self.y, "guess": self.guess} | {f"x/{name}": array for name, array in self.x.items()}
        return arrays if self.truth is None else arrays | {"truth": self.truth}

    @staticmethod
    def from_arrays(problem: InverseProblem, arrays: Mapping[str, NDArray[Any]], source: str) -> ProblemSet:
        """Build a problem set from what ``arrays`` returns; ``source`` names it in messages."""
        x = {name.removeprefix("x/"): array for name, array in arrays.items() if name.startswith("x/")}
        unexpected = {name for name in arrays if not name.startswith("x/")} - {"y", "truth", "guess"}
        if "problem_set/y" in arrays:
            raise ArgumentError(source, "a problem set", "a solution: Solution.load reads it")
        if unexpected or "y" not in arrays:
            raise ArgumentError(source, "the arrays y, x/<name>, and perhaps truth and guess", sorted(arrays))
        return ProblemSet(problem, x, arrays["y"], arrays.get("truth"), arrays.get("guess"))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write x, y, truth and guess to an ``.npz`` file, whole or not at all; return its path."""
        return write_npz(path, self.arrays())

    def save_folder(self, folder: str | os.PathLike[str]) -> Path:
        """Write each array to a ``.npy`` file of a new folder, which ``open_folder`` reads; return its path."""
        return write_npy_folder(folder, self.arrays())

    @staticmethod
    def open_folder(problem: InverseProblem, folder: str | os.PathLike[str]) -> ProblemSet:
        """Open a folder of ``y.npy``, ``x/<name>.npy``, ``truth.npy`` and ``guess.npy`` without reading it whole.

        The arrays are float64, as ``numpy.lib.format.open_memmap`` writes them piece by piece. Only what is evaluated
        is in memory, a slab at a time.

        Example
        -------
        >>> problem_set.save_folder("recordings")
        PosixPath('recordings')
        >>> problem_set = ProblemSet.open_folder(Decay(), "recordings")
        """
        return ProblemSet.from_arrays(problem, open_npy_folder(folder), str(folder))

    @staticmethod
    def load(problem: InverseProblem, path: str | os.PathLike[str]) -> ProblemSet:
        """Read what ``save`` wrote: an ``.npz`` of ``y``, ``x/<name>``, ``truth`` and ``guess``; never a pickle."""
        return ProblemSet.from_arrays(problem, read_npz(path), str(path))

    def _rows(self, rows: slice | Sequence[int] | NDArray[Any]) -> NDArray[np.intp]:
        """Return the indices that a slice, indices or a mask pick, at least one."""
        try:
            pick = np.arange(len(self))[rows if isinstance(rows, slice) else np.asarray(rows)]
        except Exception as error:  # Of any kind, from objects that say how they become arrays.
            raise ArgumentError("instances", f"indices below {len(self)} or a mask of that length", error) from None
        if pick.ndim != 1 or not len(pick):
            expected = "at least one, as a list of indices, a slice or a mask"
            raise ArgumentError("instances", expected, describe(rows))
        return pick

    def _freeze(self) -> None:
        for array in (self.y, *self.x.values(), self.truth, self.guess):
            if array is not None:
                array.setflags(write=False)

    def _evaluate(
        self, function: str, xi: Mapping[str, ArrayLike] | ArrayLike, instances: NDArray[np.intp] | None
    ) -> list[FloatArray]:
        """Call a function of the evaluator for the instances, slab by slab if the set is large."""
        flat, rows = self._batch(xi, instances)
        evaluate = getattr(self.evaluator, function)
        if len(self.slabs()) == 1:
            found = evaluate(flat, self.data, rows)
            return [found] if isinstance(found, np.ndarray) else list(found)
        parts = [
            self[rows[slab]]._evaluate(function, flat[slab], None)
            for slab in slabs(len(rows), self._bytes_per_instance)
        ]
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _batch(
        self, xi: Mapping[str, ArrayLike] | ArrayLike, instances: NDArray[np.intp] | None
    ) -> tuple[FloatArray, NDArray[np.intp]]:
        rows = np.arange(len(self)) if instances is None else self._rows(instances)
        flat = self.space.flatten(xi)
        if len(flat) != len(rows):
            whose = "as in the problem set" if instances is None else "as asked for"
            raise ArgumentError("xi", f"{len(rows)} instances {whose}", len(flat))
        return flat, rows


def _describe(value: object) -> str:
    text = describe(value).splitlines()
    return f"{type(value).__name__} {text[0]:.60}{'...' if len(text) > 1 else ''}"


def _instances(argument: str, values: ArrayLike) -> FloatArray:
    if isinstance(values, np.memmap):
        if values.dtype != np.float64:
            raise ArgumentError(argument, "float64 in a numpy.memmap, which stays on disk", values.dtype)
        array: FloatArray = np.asarray(values)
    else:
        array = as_float_array(argument, values)
    if array.ndim == 0 or len(array) == 0:
        raise ArgumentError(argument, "an array with at least one instance on its first axis", f"shape {array.shape}")
    return check_finite(argument, array)
