"""Kuramoto-Sivashinsky with Exponax's fourth-order stepper; unlike the others', its forcing is added between steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import exponax as ex
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

LENGTH, DT, STEPS = 22.0, 0.1, 250


def value_and_gradient(data: Path, n: int) -> Callable[[], dict[str, Any]]:
    """Evaluate the loss over the trajectory at the guess, with its derivatives in forward mode."""
    with np.load(data / "long-chaos.npz") as arrays:
        initial, y = (jnp.asarray(arrays[key][:n]) for key in ("initial", "y"))
    stored, points = y.shape[1:]
    force = 0.5 * jnp.cos(2 * jnp.pi * jnp.arange(points) / points)[None]

    def loss(xi: jax.Array, initial: jax.Array, y: jax.Array) -> jax.Array:
        stepper = ex.stepper.KuramotoSivashinskyConservative(
            1, LENGTH, points, DT, convection_scale=xi[1], order=4, num_circle_points=32
        )
        forced = ex.ForcedStepper(stepper)
        interval = ex.repeat(lambda u: forced(u, xi[0] * force), STEPS // stored)
        history = ex.rollout(interval, stored)(initial[None])
        return jnp.sum((history[:, 0] - y) ** 2)

    def one(xi: jax.Array, initial: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        gradient, value = jax.jacfwd(lambda xi: (loss(xi, initial, y),) * 2, has_aux=True)(xi)
        return value, gradient

    both = jax.jit(jax.vmap(one))
    guess = jnp.tile(jnp.array([0.0, 1.0]), (n, 1))

    def run() -> dict[str, Any]:
        jax.block_until_ready(both(guess, initial, y))
        return {}

    return run
