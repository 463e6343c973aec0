"""The time loop of the fluid, with derivatives of the velocity carried along where they are wanted."""

from __future__ import annotations

import tensorflow as tf

from kerasjoint.problems.navier_stokes.grid import Grid
from kerasjoint.problems.navier_stokes.pressure import Projection
from kerasjoint.problems.navier_stokes.transport import Field, advect, diffuse


class Flow:
    """A fluid on one grid: advection, viscosity and projection, ``steps`` times.

    Derivatives with respect to a few numbers travel in the same loop as ``tangents``, stacked over the instances,
    (directions * instances, cells, cells): nothing is stored from step to step, no gather turns into a scatter, and
    viscosity and projection, being linear, treat them like more instances.
    """

    def __init__(self, grid: Grid, dt: float, steps: int, viscosity: float) -> None:
        self.grid = grid
        self.projection = Projection(grid)
        self.steps = steps
        self.courant = dt / grid.spacing
        self.diffusion = viscosity * dt / grid.spacing**2

    def step(self, field: Field, tangents: Field | None = None) -> tuple[Field, Field | None]:
        """Advance the velocity, and its derivatives if given."""
        field, tangents = advect(field, self.courant, tangents)
        return self._settle(field), None if tangents is None else self._settle(tangents)

    def run(self, start: Field, tangents: Field | None = None) -> tuple[Field, Field | None]:
        """Project the velocity (instances, cells, cells), then advance it to the end, and its derivatives if given."""
        state = self.projection(start) + (() if tangents is None else self.projection(tangents))

        def body(i: tf.Tensor, *state: tf.Tensor) -> tuple[tf.Tensor, ...]:
            field, moved = self.step(state[:2], state[2:] or None)
            return i + 1, *field, *(moved or ())

        last = tf.while_loop(lambda i, *_: i < self.steps, body, (0, *state), maximum_iterations=self.steps)
        return last[1:3], last[3:] or None

    def _settle(self, field: Field) -> Field:
        return self.projection(diffuse(field, self.diffusion))
