"""Where results come from: versions, machine and commit of this process."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("kerasjoint", "tensorflow", "keras", "tensorflow-probability", "numpy", "scipy")


def versions() -> dict[str, str]:
    """Return the versions of what numbers depend on.

    Example
    -------
    >>> sorted(versions())
    ['keras', 'kerasjoint', 'numpy', 'python', 'scipy', 'tensorflow', 'tensorflow-probability']
    """
    return {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}


def machine() -> str:
    """Return system, processor and number of cores."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def commit() -> str | None:
    """Return the commit of the source tree; ``None`` where it is not under git, or git is not installed."""
    tree = Path(__file__).resolve().parents[1]
    if not (tree / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=tree, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return found.stdout.strip() or None
