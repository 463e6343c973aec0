"""The instances that all contenders get: ``python -m benchmarks.data FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from kerasjoint.problems import KuramotoSivashinsky

SEED = 1


def chaos() -> KuramotoSivashinsky:
    """Return the problem of the batched optimisers: 128 points, 100 steps."""
    from kerasjoint.problems import KuramotoSivashinsky

    return KuramotoSivashinsky(points=128, dt=0.2, end=20.0, stored=20)


def start_near(data: Path, n: int, name: str) -> NDArray[np.float64]:
    """Return starts of a refinement, in normalised coordinates: the true unknowns and 1 % noise."""
    truth = np.load(data / f"{name}.npz")["truth"][:n]
    near = np.arctanh((truth - [0.0, 1.0]) / [1.0, 0.5])
    return near + 0.01 * np.random.default_rng(SEED).normal(size=near.shape)


def write(folder: Path) -> None:
    """Write ``chaos.npz``, ``long-chaos.npz`` (the problem's defaults, 64 points and 250 steps) and ``fluid.npz``."""
    from kerasjoint.problems import KuramotoSivashinsky, NavierStokes

    for name, problem in {"chaos": chaos(), "long-chaos": KuramotoSivashinsky()}.items():
        drawn = problem.sample(128, SEED)
        np.savez(folder / f"{name}.npz", initial=drawn.x["initial"], y=drawn.y, truth=drawn.truth)
    fluid = NavierStokes()
    drawn = fluid.sample(64, SEED)
    masks = {"open_u": fluid.grid.open_u, "open_v": fluid.grid.open_v}
    np.savez(folder / "fluid.npz", initial=drawn.x["initial"], y=drawn.y, guess=drawn.guess, **masks)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
