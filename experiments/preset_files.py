"""The YAML files of presets: those in the folders ``presets`` of this package and its parts, and the user's own."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from kerasjoint.errors import ArgumentError, describe
from kerasjoint.experiments.plain_yaml import read_yaml


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    return sorted(_presets())


def read_preset(name_or_path: str) -> dict[str, Any]:
    """Read a preset by its name, or from a YAML file, without validating its content."""
    known = _presets()
    if name_or_path in known:
        path = known[name_or_path]
    elif _is_file(name_or_path):
        path = Path(name_or_path)
    else:
        expected = (
            "an existing file"
            if name_or_path.endswith((".yaml", ".yml"))
            else f"one of {', '.join(sorted(known))}, or a YAML file"
        )
        raise ArgumentError("preset", expected, describe(name_or_path))
    content = read_yaml(path, f"preset {name_or_path}")
    if not isinstance(content, dict):
        raise ArgumentError(f"preset {name_or_path}", "a mapping of keys", type(content).__name__)
    return content


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # A name too long, or with a character that no name has.
        return False


def _presets() -> dict[str, Traversable]:
    here = files("kerasjoint.experiments")
    folders = [place / "presets" for place in (here, *here.iterdir()) if place.is_dir()]
    found = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    return {path.name.removesuffix(".yaml"): path for path in found if path.name.endswith(".yaml")}
