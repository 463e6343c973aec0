"""The errors a user of kerasjoint meets."""

from __future__ import annotations

from collections.abc import Callable


class KerasjointError(Exception):
    """Base of every error that kerasjoint raises on purpose."""


class ArgumentError(KerasjointError, ValueError):
    """An argument, array or file that cannot be used.

    Parameters
    ----------
    argument
        The name of what is wrong, as the user wrote it.
    expected
        What would have been right.
    got
        What came instead.

    Example
    -------
    >>> raise ArgumentError("n", "a positive integer", 0)
    Traceback (most recent call last):
    kerasjoint.errors.ArgumentError: n: expected a positive integer, got 0
    """

    def __init__(self, argument: str, expected: str, got: object) -> None:
        self.argument = argument
        self.expected = _text(expected, str, 2000)
        self.got = _text(got, str, 1000)
        super().__init__(f"{argument}: expected {self.expected}, got {self.got}")

    def __reduce__(self) -> tuple[type[ArgumentError], tuple[str, str, str]]:
        """Let the error pass from one process to another."""
        return type(self), (self.argument, self.expected, self.got)


class WriteError(KerasjointError, OSError):
    """A file or folder that cannot be written, as on a full or read-only disk.

    Parameters
    ----------
    path
        What was to be written.
    why
        The system's reason.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: cannot be written: {why}")
        self.path = path
        self.why = why

    def __reduce__(self) -> tuple[type[WriteError], tuple[str, str]]:
        """Let the error pass from one process to another."""
        return type(self), (self.path, self.why)


class ClusterError(KerasjointError, RuntimeError):
    """A Dask cluster that cannot be used: no scheduler, another version of kerasjoint, or a connection that broke."""


class NoGradientError(ArgumentError):
    """The objective does not depend on the unknowns in a way that TensorFlow can differentiate."""

    def __init__(self, argument: str, expected: str = "", got: object = "") -> None:
        expected = expected or (
            "a result that depends on the unknowns through TensorFlow, or a method that needs no gradient"
        )
        super().__init__(argument, expected, got or "no gradient")


class BackendError(KerasjointError, RuntimeError):
    """Keras is configured for a backend that cannot run TensorFlow simulators."""


class SimulatorError(KerasjointError, RuntimeError):
    """An error inside one of a problem's methods, with the line of the user's code that it came from.

    The original error is its ``__cause__``.

    Parameters
    ----------
    where
        Class and method, such as ``Decay.forward``.
    what
        The original error and its place.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.what = what

    def __reduce__(self) -> tuple[type[SimulatorError], tuple[str, str]]:
        """Let the error pass from one process to another."""
        return type(self), (self.where, self.what)


class RouteWarning(UserWarning):
    """A simulator runs on a slower route than XLA, or XLA will take long to compile it."""


class SimulatorWarning(UserWarning):
    """A simulator raised an error for some instances, which count as not finite; the others go on."""


class ScaleWarning(UserWarning):
    """The losses of some instances are so much larger than the others' that joint optimisation sees these alone."""


def describe(value: object, most: int = 200) -> str:
    """Return the ``repr`` of a value for a message, shortened; its type where it has none, as integers of 5000 digits.

    Example
    -------
    >>> describe(10**5000)
    'int'
    """
    return _text(value, repr, most)


def _text(value: object, convert: Callable[[object], str], most: int) -> str:
    try:
        text = convert(value)
    except Exception:
        return type(value).__name__
    return text if len(text) <= most else f"{text[:most]}..."
