from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "killed_sweep.py"


@pytest.mark.long
def test_rows_and_tables_are_the_same_whoever_is_killed_when(tmp_path):
    """One kill each while tasks are written, packed and reported; the script takes more of them."""
    command = [sys.executable, str(SCRIPT), str(tmp_path), "3", "0"]
    path = {"PYTHONPATH": ":".join([str(SCRIPT.parent), *filter(None, sys.path)])}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "different 0" in result.stdout
