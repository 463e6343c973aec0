"""Compiled code is kept between processes: TensorFlow's persistent cache of XLA, checked, private and bounded."""

from __future__ import annotations

import os
import warnings
from multiprocessing.util import Finalize
from pathlib import Path

from kerasjoint.cache_folder import Session, check_private, machine_key
from kerasjoint.errors import ArgumentError, describe

VARIABLE = "KERASJOINT_CACHE"
TENSORFLOW = "TF_XLA_FLAGS"
SWITCH = "--tf_xla_persistent_cache_directory"
OFF = "off"
# Elsewhere files have no owner and mode to check: nothing is kept.
POSIX = os.name == "posix"

_chosen: str | os.PathLike[str] | None = None
_was_set = _began = False
_session: Session | None = None


def set_cache(folder: str | os.PathLike[str] | None = "default") -> None:
    """Choose where compiled code is kept for later processes; ``None``: nowhere, as without a call.

    Call it before the first problem set is made: TensorFlow reads this once. ``"default"`` is ``kerasjoint`` in the
    user's cache folder (``$XDG_CACHE_HOME`` or ``~/.cache``), where the command line keeps its code. Without a call,
    the environment variable ``KERASJOINT_CACHE`` decides: a folder, ``default`` or ``off``. On Windows nothing is kept.

    TensorFlow logs lines about the processor wherever it loads such code; ``TF_CPP_MIN_LOG_LEVEL=3`` silences them.

    What is in the folder is run: it must be yours, and nobody else may be able to write to it or to replace it.

    Example
    -------
    >>> kerasjoint.set_cache("compiled")
    """
    global _chosen, _was_set
    if _began:
        raise ArgumentError("set_cache", "a call before the first problem set", "a call after TensorFlow was started")
    if folder is not None:
        if not isinstance(folder, (str, os.PathLike)) or not os.fspath(folder):
            raise ArgumentError("folder", "a path, 'default' or None", describe(folder))
        if POSIX:
            check_private(_path(folder))
    _chosen, _was_set = folder, True


def begin() -> Session | None:
    """Open the chosen cache for this process, if there is one; warn where its folder is refused."""
    global _began, _session
    _began = True
    folder = _folder()
    if folder is None or not POSIX or SWITCH in os.environ.get(TENSORFLOW, ""):
        return None
    try:
        check_private(folder)
        session = Session(folder, machine_key())
    except ArgumentError as error:
        warnings.warn(f"compiled code is not kept: {error} ({VARIABLE}={OFF} turns the cache off)", RuntimeWarning, 2)
        return None
    except OSError:  # No home, a full or read-only disk: then everything is compiled anew.
        return None
    # Unlike atexit, this is also called at the end of the processes of multiprocessing.
    Finalize(None, session.close, exitpriority=0)
    _session = session
    return session


def forget_refused(error: Exception) -> bool:
    """Remove all entries if an error is TensorFlow's refusal of one; return whether to compile again."""
    if _session is None or "cache" not in str(error):
        return False
    return _session.forget()


def _folder() -> Path | None:
    chosen = _chosen if _was_set else os.environ.get(VARIABLE) or OFF
    return None if chosen is None or (chosen == OFF and not _was_set) else _path(chosen)


def _path(folder: str | os.PathLike[str]) -> Path:
    if folder != "default":
        return Path(folder).expanduser().absolute()
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if os.path.isabs(given) else Path("~/.cache").expanduser()) / "kerasjoint"
