"""The YAML files of presets: those that come with the package, and the user's own."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from kerasjoint.errors import ArgumentError


def preset_names() -> list[str]:
    """Return the names of the presets that come with the package."""
    return sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir() if path.name.endswith(".yaml"))


def read_preset(name_or_path: str) -> dict[str, Any]:
    """Read a preset by its name, or from a YAML file, without validating its content."""
    if name_or_path in preset_names():
        text = (_folder() / f"{name_or_path}.yaml").read_text()
    elif Path(name_or_path).is_file():
        text = Path(name_or_path).read_text()
    else:
        raise ArgumentError("preset", f"one of {', '.join(preset_names())}, or a YAML file", repr(name_or_path))
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ArgumentError(f"preset {name_or_path}", "YAML", str(error).replace("\n", " ")) from None
    if not isinstance(content, dict):
        raise ArgumentError(f"preset {name_or_path}", "a mapping of keys", type(content).__name__)
    return content


def _folder() -> Traversable:
    return files("kerasjoint.experiments") / "presets"
