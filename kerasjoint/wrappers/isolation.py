"""A function of arrays that raises for some instances: these are found and count as not finite, the others go on."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
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
        self._like: list[Array] | None = None
        self._warned: set[str] = set()

    def call(
        self, function: Callable[..., list[Array]], arrays: Sequence[Array], n: int, per_instance: Sequence[bool] | None
    ) -> list[Array]:
        """Return ``function(*arrays)``, of which results (n, ...) are NaN for the instances that it raises for.

        Parameters
        ----------
        function
            Takes arrays and returns a list of arrays.
        arrays
            Those with n on axis 0 hold the instances; others are the same for all.
        n
            How many instances there are.
        per_instance
            Which of the results are (n, ...); the others are sums over the instances. ``None``: all.
        """
        parts: list[tuple[Rows, list[Array]]] = []
        errors: list[Exception] = []

        def attempt(rows: Rows) -> None:
            own = [array[rows] if array.shape[:1] == (n,) else array for array in arrays] if len(rows) < n else arrays
            try:
                parts.append((rows, function(*own)))
            except KerasjointError:
                raise
            except Exception as error:
                if len(rows) == 1:
                    errors.append(error)
                    return
                for half in np.array_split(rows, 2):
                    attempt(half)

        attempt(np.arange(n))
        if parts:
            self._like = parts[-1][1]
        if self._like is None:
            raise errors[0]
        if not errors:
            if len(parts) == 1:
                return parts[0][1]
        else:
            self._record(errors, n)
        flags = [True] * len(self._like) if per_instance is None else per_instance
        return [self._join(k, parts, n) if flag else self._sum(k, parts) for k, flag in enumerate(flags)]

    def _join(self, k: int, parts: list[tuple[Rows, list[Array]]], n: int) -> Array:
        assert self._like is not None
        whole = np.full((n, *self._like[k].shape[1:]), np.nan, self._like[k].dtype)
        for rows, results in parts:
            whole[rows] = results[k]
        return whole

    def _sum(self, k: int, parts: list[tuple[Rows, list[Array]]]) -> Array:
        assert self._like is not None
        return np.sum([results[k] for _, results in parts], axis=0, initial=0.0).astype(self._like[k].dtype)

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
