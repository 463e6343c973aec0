"""The time loop of the fluid, with the derivatives in the directions of the unknowns carried along."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from kerasjoint.problems.navier_stokes.grid import Grid
from kerasjoint.problems.navier_stokes.pressure import Projection
from kerasjoint.problems.navier_stokes.transport import Field, advect, diffuse


class Flow:
    """Advection, viscosity and projection on one grid, ``steps`` times."""

    def __init__(self, grid: Grid, dt: float, steps: int, viscosity: float) -> None:
        self.projection = Projection(grid)
        self.steps = steps
        self.courant = dt / grid.spacing
        self.diffusion = viscosity * dt / grid.spacing**2

    def step(self, field: Field, tangents: Field | None = None) -> tuple[Field, Field | None]:
        """Advance the velocity, and its derivatives if given."""
        field, tangents = advect(field, self.courant, tangents)
        return self._settle(field), None if tangents is None else self._settle(tangents)

    def run(self, start: Field, tangents: Field) -> tuple[Field, Field]:
        """Project and advance a velocity (instances, cells, cells) and its derivatives (directions * instances, ...)."""

        def body(i: tf.Tensor, *state: tf.Tensor) -> tuple[tf.Tensor, ...]:
            (u, v), moved = self.step((state[0], state[1]), (state[2], state[3]))
            return i + 1, u, v, *moved

        state = (0, *self.projection(start), *self.projection(tangents))
        _, u, v, du, dv = tf.while_loop(lambda i, *_: i < self.steps, body, state, maximum_iterations=self.steps)
        return (u, v), (du, dv)

    def _settle(self, field: Field) -> Field:
        return self.projection(diffuse(field, self.diffusion))
