"""The time loop of the fluid, with derivatives of the velocity carried along where they are wanted."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from kerasjoint.problems.navier_stokes.grid import Grid
from kerasjoint.problems.navier_stokes.pressure import Projection
from kerasjoint.problems.navier_stokes.transport import Field, advect, diffuse
from kerasjoint.time_loop import Parameters, integrate


class Flow:
    """A fluid on one grid: advection, viscosity and projection, ``steps`` times.

    Where derivatives with respect to a few numbers travel along, they are stacked over the instances, (directions *
    instances, cells, cells): viscosity and projection, being linear, treat them like more instances.
    """

    def __init__(self, grid: Grid, dt: float, steps: int, viscosity: float) -> None:
        self.grid = grid
        self.projection = Projection(grid)
        self.steps = steps
        self.courant = dt / grid.spacing
        self.diffusion = viscosity * dt / grid.spacing**2

    def run(self, start: Callable[[Parameters], Field], parameters: Parameters) -> Field:
        """Project the velocity ``start(parameters)``, each (instances, cells, cells), then advance it to the end."""
        return integrate(
            lambda parameters: self.projection(start(parameters)),
            lambda field, _: self.step(field)[0],
            parameters,
            self.steps,
            linearized=lambda field, tangents, *_: self.step(field, tangents),
        )

    def step(self, field: Field, tangents: Field | None = None) -> tuple[Field, Field | None]:
        """Advance the velocity, and its derivatives if given."""
        field, tangents = advect(field, self.courant, tangents)
        if tangents is None:
            return self._settle(field), None
        # One call for all: its parts are large enough to be worth a core each.
        n = field[0].shape[0]
        u, v = self._settle((tf.concat([field[0], tangents[0]], axis=0), tf.concat([field[1], tangents[1]], axis=0)))
        return (u[:n], v[:n]), (u[n:], v[n:])

    def _settle(self, field: Field) -> Field:
        return self.projection(diffuse(field, self.diffusion))
