"""The instances that all contenders get: ``python -m benchmarks.data FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from kerasjoint.problems import KuramotoSivashinsky, NavierStokes

SEED = 1


def chaos() -> KuramotoSivashinsky:
    """Return the problem of the batched optimisers: 128 points, 100 steps."""
    return KuramotoSivashinsky(points=128, dt=0.2, end=20.0, stored=20)


def write(folder: Path) -> None:
    """Write ``chaos.npz``, ``long-chaos.npz`` (the problem's defaults, 64 points and 250 steps) and ``fluid.npz``."""
    for name, problem in {"chaos": chaos(), "long-chaos": KuramotoSivashinsky()}.items():
        drawn = problem.sample(128, SEED)
        np.savez(folder / f"{name}.npz", initial=drawn.x["initial"], y=drawn.y, truth=drawn.truth)
    fluid = NavierStokes()
    drawn = fluid.sample(64, SEED)
    masks = {"open_u": fluid.grid.open_u, "open_v": fluid.grid.open_v}
    np.savez(folder / "fluid.npz", initial=drawn.x["initial"], y=drawn.y, guess=drawn.guess, **masks)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
