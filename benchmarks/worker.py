"""One contender in a process of its own: ``python -m benchmarks.worker MODULE:FUNCTION ARGUMENTS``.

Prepares, then runs once for every line on standard input, and answers each with one line of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = {
    "kerasjoint": "kerasjoint",
    "tensorflow": "tensorflow",
    "tensorflow_probability": "tensorflow-probability",
    "keras": "keras",
    "scipy": "scipy",
    "numpy": "numpy",
    "jax": "jax",
    "optimistix": "optimistix",
    "exponax": "exponax",
    "phi": "phiflow",
    "phiml": "phiml",
}


def answer(**facts: Any) -> None:
    """Write one line of JSON to what standard output was."""
    os.write(OUT, (json.dumps(facts, default=float) + "\n").encode())


def main() -> None:
    """Serve."""
    module, function = sys.argv[1].split(":")
    arguments = json.loads(sys.argv[2])
    try:
        prepare = getattr(importlib.import_module(f"benchmarks.{module}"), function)
    except ModuleNotFoundError as error:
        answer(missing=error.name)
        return
    run = prepare(data=Path(arguments.pop("data")), **arguments)
    run()
    answer(versions={name: version(name) for module, name in LIBRARIES.items() if module in sys.modules})
    for _ in sys.stdin:
        start = time.perf_counter()
        facts = run()
        answer(**({"seconds": time.perf_counter() - start, "memory": _peak_memory()} | facts))


def _peak_memory() -> float:
    """Peak resident memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    # Libraries print; what they print must not reach the parent as an answer.
    OUT = os.dup(1)
    os.dup2(2, 1)
    main()
