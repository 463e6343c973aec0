"""Configuration of the site: MyST pages, tutorials executed at build, the API from the docstrings."""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
# Inherited by the tutorials' kernels.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from generated_pages import write_pages  # noqa: E402

project = "kerasjoint"
author = "The kerasjoint developers"
copyright = author
version = release = version_of("kerasjoint")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"kerasjoint {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Shell and Python blocks are read by Sphinx too, and the guides' ``python torch`` is Python.
suppress_warnings = ["misc.highlighting_failure"]

nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE.parent / "build" / "notebooks")
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True
# What TensorFlow logs when it starts. A page that has something to say prints it.
nb_output_stderr = "remove"

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

COLON = "\x00"

linkcheck_ignore = [r"https?://.*"]  # Only links within the site.


def escape_formulas(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Let bars and stars in docstrings, as in |a - b|, stand for themselves; code and emphasis stay as they are."""
    literal = None  # The indentation of the line that a block of code follows.
    for k, line in enumerate(lines):
        indentation = len(line) - len(line.lstrip())
        if literal is not None and line.strip() and indentation <= literal:
            literal = None
        if literal is None and line.rstrip().endswith("::"):
            literal = indentation
        elif literal is None and not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(``.*?``|(?<![\w*])\*\w[^*]*\*(?!\w))", line)
            parts[::2] = [re.sub(r"([|*])", r"\\\1", part) for part in parts[::2]]
            lines[k] = "".join(parts)


def hide_colons(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Hide the colons of a property's first line: Napoleon takes what is before one for a type."""
    if what == "property":
        lines[:1] = [line.replace(":", COLON) for line in lines[:1]]


def show_colons(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Undo ``hide_colons``."""
    lines[:] = [line.replace(COLON, ":") for line in lines]


def name_arrays(app: object, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Name NumPy's ArrayLike: Napoleon writes out all that it stands for."""
    lines[:] = [re.sub(r"^(:type \w+:).*_array_like.*", r"\1 ArrayLike", line) for line in lines]


def setup(app: Any) -> None:
    """Before, and after, Napoleon (priority 500) reads the sections."""
    app.connect("autodoc-process-docstring", escape_formulas, priority=400)
    app.connect("autodoc-process-docstring", hide_colons, priority=400)
    app.connect("autodoc-process-docstring", show_colons, priority=600)
    app.connect("autodoc-process-docstring", name_arrays, priority=600)


write_pages(HERE)
