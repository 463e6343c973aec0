"""The fluid's scheme in JAX, compiled and vmapped: the pressure by a matrix-free conjugate gradient solver."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.ndimage import map_coordinates
from jax.scipy.sparse.linalg import cg

LENGTH = 100.0
FORCE_HEIGHT, FORCE_RADIUS = 20.0, 10.0

Field = tuple[jax.Array, jax.Array]
Run = Callable[[], dict[str, Any]]


class Fluid:
    """One instance of ``kerasjoint.problems.NavierStokes``: velocity on left and bottom faces, (cells, cells) each.

    Parameters
    ----------
    open_u, open_v
        Which faces let fluid through.
    dt, steps, viscosity
        As in the problem.
    tolerance
        Of the conjugate gradients, relative to the divergence to be removed.
    warm
        Whether they start from the pressure of the step before.
    """

    def __init__(
        self, open_u: Any, open_v: Any, dt: float, steps: int, viscosity: float, tolerance: float, warm: bool
    ) -> None:
        self.open_u, self.open_v = jnp.asarray(open_u, jnp.float32), jnp.asarray(open_v, jnp.float32)
        self.cells, self.steps, self.tolerance, self.warm = len(open_u), steps, tolerance, warm
        self.spacing = LENGTH / self.cells
        self.courant, self.diffusion = dt / self.spacing, viscosity * dt / self.spacing**2

    def value_and_gradient(self, reverse: bool) -> Callable[..., tuple[jax.Array, jax.Array]]:
        """Return a function of (unknowns (n, 3), initial, y) giving losses (n,) and gradients (n, 3)."""

        def one(xi: jax.Array, initial: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
            if reverse:
                return jax.value_and_grad(self.loss)(xi, initial, y)
            gradient, value = jax.jacfwd(lambda xi: (self.loss(xi, initial, y),) * 2, has_aux=True)(xi)
            return value, gradient

        return jax.jit(jax.vmap(one))

    def loss(self, xi: jax.Array, initial: jax.Array, y: jax.Array) -> jax.Array:
        """Return half the squared error of the velocity in the upper half."""
        u, v = self.run(xi, initial)
        return 0.5 * jnp.sum((jnp.stack([u, v], axis=-1)[self.cells // 2 :] - y) ** 2)

    def run(self, xi: jax.Array, initial: jax.Array) -> Field:
        """Return the velocity at the end; ``initial`` (cells / 2, cells, 2) is the upper half at the start."""
        known = jnp.pad(initial, ((self.cells // 2, 0), (0, 0), (0, 0)))
        edges = jnp.arange(self.cells) * self.spacing
        centres = edges + self.spacing / 2
        blobs = []
        for x, y, speed in ((edges, centres, xi[1]), (centres, edges, xi[2])):
            square = (x[None, :] - xi[0]) ** 2 + (y[:, None] - FORCE_HEIGHT) ** 2
            blobs.append(speed * jnp.exp(-0.5 * square / FORCE_RADIUS**2))
        start = self.project((known[..., 0] + blobs[0], known[..., 1] + blobs[1]), jnp.zeros((self.cells, self.cells)))

        def step(state: tuple[Field, jax.Array], _: None) -> tuple[tuple[Field, jax.Array], None]:
            field, pressure = state
            return self.project(self.diffuse(self.advect(field)), pressure), None

        (field, _), _ = lax.scan(step, start, None, length=self.steps)
        return field

    def divergence(self, u: jax.Array, v: jax.Array) -> jax.Array:
        """Return the net outflow of each cell."""
        right, top = jnp.pad(u[:, 1:], ((0, 0), (0, 1))), jnp.pad(v[1:], ((0, 1), (0, 0)))
        return right - u + top - v

    def gradient(self, pressure: jax.Array) -> Field:
        """Return the pressure differences over the open faces."""
        before_u, before_v = jnp.pad(pressure[:, :-1], ((0, 0), (1, 0))), jnp.pad(pressure[:-1], ((1, 0), (0, 0)))
        return self.open_u * (pressure - before_u), self.open_v * (pressure - before_v)

    def project(self, field: Field, guess: jax.Array) -> tuple[Field, jax.Array]:
        """Return the velocity without divergence, and the pressure."""
        u, v = field[0] * self.open_u, field[1] * self.open_v
        source = self.divergence(u, v)
        guess = lax.stop_gradient(guess) if self.warm else None
        pressure, _ = cg(
            lambda p: -self.divergence(*self.gradient(p)), -source, x0=guess, tol=self.tolerance, maxiter=2000
        )
        du, dv = self.gradient(pressure)
        return (u - du, v - dv), pressure

    def advect(self, field: Field) -> Field:
        """Carry the velocity along itself, semi-Lagrangian with bilinear interpolation."""
        u, v = field
        index = jnp.arange(self.cells, dtype=u.dtype)
        v_sum = v + jnp.pad(v[1:], ((0, 1), (0, 0)))
        u_sum = u + jnp.pad(u[:, 1:], ((0, 0), (0, 1)))
        v_at_u = 0.25 * (v_sum + jnp.pad(v_sum[:, :-1], ((0, 0), (1, 0))))
        u_at_v = 0.25 * (u_sum + jnp.pad(u_sum[:-1], ((1, 0), (0, 0))))
        rows, columns = index[:, None], index[None, :]
        u_from = (rows - self.courant * v_at_u, columns - self.courant * u)
        v_from = (rows - self.courant * v, columns - self.courant * u_at_v)
        padded = jnp.pad(u, ((0, 0), (0, 1))), jnp.pad(v, ((0, 1), (0, 0)))
        moved = [
            map_coordinates(values, places, order=1, mode="nearest")
            for values, places in zip(padded, (u_from, v_from), strict=True)
        ]
        return moved[0], moved[1]

    def diffuse(self, field: Field) -> Field:
        """Take one explicit step of viscosity; walls let the velocity along them slip."""
        u, v = field
        u_ghosts = jnp.pad(jnp.pad(u, ((1, 1), (0, 0)), mode="symmetric"), ((0, 0), (1, 1)))
        v_ghosts = jnp.pad(jnp.pad(v, ((0, 0), (1, 1)), mode="symmetric"), ((1, 1), (0, 0)))
        return u + self.diffusion * _laplacian(u_ghosts), v + self.diffusion * _laplacian(v_ghosts)


def _laplacian(field: jax.Array) -> jax.Array:
    around = field[:-2, 1:-1] + field[2:, 1:-1] + field[1:-1, :-2] + field[1:-1, 2:]
    return around - 4 * field[1:-1, 1:-1]


def value_and_gradient(data: Path, n: int, reverse: bool, warm: bool) -> Run:
    """Evaluate n instances at the guess, in float32; state the divergence left at the end."""
    with np.load(data / "fluid.npz") as arrays:
        fluid = Fluid(arrays["open_u"], arrays["open_v"], 2.0, 28, 0.1, 1e-5, warm)
        guess, initial, y = (jnp.asarray(arrays[key][:n], jnp.float32) for key in ("guess", "initial", "y"))
    both = fluid.value_and_gradient(reverse)
    u, v = jax.jit(jax.vmap(fluid.run))(guess, initial)
    divergence = float(jnp.abs(jax.vmap(fluid.divergence)(u, v)).max() / jnp.hypot(u, v).max())

    def run() -> dict[str, Any]:
        jax.block_until_ready(both(guess, initial, y))
        return {"divergence": divergence}

    return run
