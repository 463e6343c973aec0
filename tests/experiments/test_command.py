"""The command as the shell sees it: its version, as a module, and completion; and what the package says of itself."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import kerasjoint
from kerasjoint.experiments.cli import app

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_has_one_source() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"kerasjoint {kerasjoint.__version__}\n"
    assert kerasjoint.__version__ == PROJECT["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == PROJECT["version"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [("kerasjoint run bil", "billiards"), ("kerasjoint solve x y --method scipy", "scipy-lbfgs"),
     ("kerasjoint run --preset qui", "quick")],
)  # fmt: skip
def test_the_shell_completes_names_without_tensorflow(words: str, expected: str) -> None:
    environment = {
        "_KERASJOINT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    command = [sys.executable, "-X", "importtime", "-m", "kerasjoint"]
    found = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert found.stdout.split() == [expected]
    assert " tensorflow\n" not in found.stderr


def test_every_extra_is_documented() -> None:
    page = (ROOT / "docs" / "install.md").read_text()
    for extra in PROJECT["optional-dependencies"]:
        assert f"`{extra}`" in page, extra
