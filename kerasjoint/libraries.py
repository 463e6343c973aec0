"""Which files hold libraries, not the user's own code."""

from __future__ import annotations

import os
import sysconfig

PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
# Beginnings of the file names of kerasjoint's core, of installed packages and of Python itself.
LIBRARIES = (
    PACKAGE,
    *(sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib")),
    "<frozen",
    "<__array",
)
