"""A function of arrays that raises for some instances: these are found and count as not finite, the others go on."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.errors import KerasjointError, SimulatorWarning

Array = NDArray[Any]
Rows = NDArray[np.intp]

_reasons: ContextVar[Counter[str] | None] = ContextVar("reasons", default=None)


@contextmanager
def recorded_failures() -> Iterator[Counter[str]]:
    """Count the instances that simulators on the host raised for inside the block, by reason; nothing is warned of.

    Example
    -------
    >>> with recorded_failures() as reasons:
    ...     method.solve(problem_set)
    """
    reasons: Counter[str] = Counter()
    token = _reasons.set(reasons)
    try:
        yield reasons
    finally:
        _reasons.reset(token)


class Isolation:
    """Calls a function again on halves of the instances where it raises, down to single ones, which are then NaN.

    If it raises for all and never worked before, the error is passed on: a mistake, not an instance.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._like: dict[tuple[Any, ...], list[Array]] = {}
        # Which arguments are the same for all instances, as graphs of such arguments showed.
        self._shared: dict[tuple[str, ...], frozenset[int]] = {}
        self._warned: set[str] = set()

    def shared(self, tensors: Sequence[tf.Tensor]) -> frozenset[int]:
        """Return which arguments no input of the traced graph changes; eagerly, what was found for such a graph.

        Their first size may happen to be the number of instances.
        """
        alike = tuple(str(tensor.shape[1:]) for tensor in tensors)
        if not tf.executing_eagerly():
            constant = frozenset(k for k, tensor in enumerate(tensors) if _is_constant(tensor))
            # Another caller may pass one for each instance there.
            self._shared[alike] = self._shared.get(alike, constant) & constant
        return self._shared.get(alike, frozenset())

    def call(
        self,
        name: str,
        function: Callable[..., list[Array]],
        arrays: Sequence[Array],
        n: int,
        split: Sequence[bool],
        per_instance: Sequence[bool] | None = None,
    ) -> list[Array]:
        """Return ``function(*arrays)``, of which results (n, ...) are NaN for the instances that it raises for.

        Parameters
        ----------
        name
            Which function of this simulator it is.
        function
            Takes arrays and returns a list of arrays.
        arrays
            The arguments.
        n
            How many instances there are.
        split
            Which of the arrays are (n, ...); the others are the same for all instances.
        per_instance
            Which of the results are (n, ...); the others are sums over the instances. ``None``: all.
        """
        parts: list[tuple[Rows, list[Array]]] = []
        errors: list[Exception] = []
        together: list[Exception] = []

        def attempt(rows: Rows) -> None:
            own = arrays
            if len(rows) < n:
                own = [array[rows] if each else array for array, each in zip(arrays, split, strict=True)]
            try:
                parts.append((rows, function(*own)))
            except KerasjointError:
                raise
            except Exception as error:
                if len(rows) == 1:
                    errors.append(error)
                    return
                together.append(error)
                for half in np.array_split(rows, 2):
                    attempt(half)

        attempt(np.arange(n))
        # Other sets may have results of other shapes.
        key = (name, *(array.shape[1:] if each else array.shape for array, each in zip(arrays, split, strict=True)))
        if parts:
            self._like[key] = parts[-1][1]
        if key not in self._like:
            raise errors[0]
        if errors:
            self._record(errors, n)
        elif len(parts) == 1:
            return parts[0][1]
        else:
            self._suspect(together[0], n)
        like = self._like[key]
        flags = [True] * len(like) if per_instance is None else per_instance
        return [_join(k, one, parts, n) if flags[k] else _sum(k, one, parts) for k, one in enumerate(like)]

    def _suspect(self, error: Exception, n: int) -> None:
        reason = f"{self._label}: {type(error).__name__}: {error}"
        if reason not in self._warned:
            self._warned.add(reason)
            message = (
                f"{reason} (for {n} instances together, for none of them alone: it is called for any of them, so what "
                "belongs to each must be an argument; said once)"
            )
            warnings.warn(message, SimulatorWarning, stacklevel=2)

    def _record(self, errors: list[Exception], n: int) -> None:
        counts = Counter(f"{self._label}: {type(error).__name__}: {error}" for error in errors)
        reasons = _reasons.get()
        if reasons is not None:
            reasons.update(counts)
            return
        for reason in counts.keys() - self._warned:
            message = f"{reason} (for {counts[reason]} of {n} instances, which count as not finite; said once)"
            warnings.warn(message, SimulatorWarning, stacklevel=2)
        self._warned |= counts.keys()


def _is_constant(tensor: tf.Tensor) -> bool:
    """Whether a tensor of a graph depends on none of the inputs of its function."""
    left, seen = [tensor], set()
    while left:
        one = left.pop()
        if isinstance(one, tf.__internal__.EagerTensor) or id(one) in seen:
            continue
        seen.add(id(one))
        if one.op.type.startswith("Placeholder"):
            outside = [given for given, inner in getattr(one.graph, "captures", ()) if inner is one]
            if not outside:
                return False
            left += outside
        left += one.op.inputs
    return True


def _join(k: int, like: Array, parts: list[tuple[Rows, list[Array]]], n: int) -> Array:
    whole = np.full((n, *like.shape[1:]), np.nan, like.dtype)
    for rows, results in parts:
        whole[rows] = results[k]
    return whole


def _sum(k: int, like: Array, parts: list[tuple[Rows, list[Array]]]) -> Array:
    return np.asarray(sum((results[k] for _, results in parts), start=np.zeros_like(like)), like.dtype)
