"""The fluid in PhiFlow (JAX backend), written with its own operators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from phi.jax.flow import (
    Box,
    Diverged,
    Field,
    NotConverged,
    Solve,
    StaggeredGrid,
    Tensor,
    advect,
    batch,
    channel,
    diffuse,
    dual,
    field,
    fluid,
    math,
    spatial,
    tensor,
)

LENGTH, CELLS, DT, STEPS, VISCOSITY = 100.0, 64, 2.0, 28, 0.1
FORCE_HEIGHT, FORCE_RADIUS = 20.0, 10.0
EDGES = ((18.75, 37.5, 43.75, 50.0), (62.5, 81.25, 37.5, 43.75), (43.75, 56.25, 68.75, 75.0))
OBSTACLES = [Box(x=(left, right), y=(bottom, top)) for left, right, bottom, top in EDGES]


def prepare(data: Path, n: int, rank_deficiency: int | None = 0) -> Callable[[], dict[str, object]]:
    """Find out whether the pressure converges, compile, and return what computes values and gradients once.

    The facts are of a forward run of all n outside of the compiled function, for only there PhiFlow tells of its
    solves; those of the gradient are not among them.

    Parameters
    ----------
    data
        Folder with ``fluid.npz``: initial and y, (instances, 32, 64, 2), and guess, (instances, 3).
    n
        How many instances.
    rank_deficiency
        Of the pressure matrix, for ``Solve``. With None, PhiFlow's default, most solves do not converge.
    """
    with np.load(data / "fluid.npz") as file:
        known, y = (_grid(_faces(file[name][:n])) for name in ("initial", "y"))
        seen = _grid(_faces(np.ones((1, *file["y"].shape[1:]))).instance[0])
        guess = tensor(file["guess"][:n].astype(np.float32), batch("instance"), channel(parameter="x0,v0x,v0y"))

    def project(velocity: Field, pressure: Field | None = None) -> tuple[Field, Field]:
        # Left to itself, make_incompressible declares the matrix rank deficient, whereupon the solver borders it with a
        # row and a column of ones: indefinite, and CG fails. It balances the divergence anyway; CG needs no more.
        solve = Solve("CG", 1e-5, x0=pressure, suppress=(NotConverged, Diverged), rank_deficiency=rank_deficiency)
        return fluid.make_incompressible(velocity, OBSTACLES, solve)

    def loss(unknowns: Tensor, known: Field, y: Field) -> Tensor:
        velocity, pressure = project(_start(unknowns, known))
        for _ in range(STEPS):
            velocity, pressure = project(_transport(velocity), pressure)
        return math.l2_loss(((velocity - y) * seen).values)

    value_and_gradient = math.jit_compile(math.gradient(loss, "unknowns", get_output=True))

    facts = _facts(project, _start(guess, known))

    def run() -> dict[str, object]:
        value, gradient = value_and_gradient(guess, known, y)
        value.numpy("instance"), gradient.numpy("instance,parameter")
        return dict(facts)

    run()
    return run


def _facts(project: Callable[..., tuple[Field, Field]], velocity: Field) -> dict[str, object]:
    """Run to the end uncompiled, with every solve on tape."""
    transport = math.jit_compile(_transport)
    pressure, solves = None, []
    for step in range(STEPS + 1):
        with math.SolveTape() as tape:
            velocity, pressure = project(transport(velocity) if step else velocity, pressure)
        solves.append(tape[0])
    outflow = _largest(field.divergence(velocity)) * LENGTH / CELLS
    return {
        "converged": all(bool(solve.converged.all) for solve in solves),
        "iterations": max(int(solve.iterations.max) for solve in solves),
        "divergence": float((outflow / _largest(velocity)).max),
    }


def _largest(values: Field) -> Tensor:
    """Return the largest magnitude in each instance."""
    return math.max(math.abs(values.values), math.non_batch)


def _start(unknowns: Tensor, known: Field) -> Field:
    """Add the blob to the known velocity."""
    x0, v0x, v0y = unknowns.parameter

    def blob(place: Tensor) -> Tensor:
        square = (place.vector["x"] - x0) ** 2 + (place.vector["y"] - FORCE_HEIGHT) ** 2
        return math.stack([v0x, v0y], channel(vector="x,y")) * math.exp(-0.5 * square / FORCE_RADIUS**2)

    return known + _grid(blob)


def _transport(velocity: Field) -> Field:
    return diffuse.explicit(advect.semi_lagrangian(velocity, velocity, DT), VISCOSITY, DT)


def _grid(values: Any) -> Field:
    return StaggeredGrid(values, 0, x=CELLS, y=CELLS, bounds=Box(x=LENGTH, y=LENGTH))


def _faces(upper: NDArray[Any]) -> Tensor:
    """Turn velocities of the upper half, (instances, rows, columns, 2), into those of all faces but the walls'."""
    whole = np.pad(upper.astype(np.float32), ((0, 0), (CELLS - upper.shape[1], 0), (0, 0), (0, 0)))
    whole = whole.transpose(0, 2, 1, 3)
    places = batch("instance"), spatial("x,y")
    return math.stack(
        {"x": tensor(whole[:, 1:, :, 0], *places), "y": tensor(whole[:, :, 1:, 1], *places)}, dual("vector")
    )
