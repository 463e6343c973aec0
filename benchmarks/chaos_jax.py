"""Kuramoto-Sivashinsky in JAX: the same scheme with fast Fourier transforms, and optimisers on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy.optimize import minimize

from benchmarks.data import start_near

jax.config.update("jax_enable_x64", True)

Run = Callable[[], dict[str, Any]]
Array = Any
STEPS, DT = {"chaos": 100, "long-chaos": 250}, {"chaos": 0.2, "long-chaos": 0.1}
LENGTH, FORCE, SOLVED, FIRST_STEP = 22.0, 0.5, 1e-18, 0.5


def value_and_gradient(data: Path, n: int, reverse: bool, name: str = "chaos") -> Run:
    """Evaluate all instances at the guess."""
    arrays = _load(data, n, name)
    xi = jnp.tile(jnp.array([0.0, 1.0]), (n, 1))
    both = jax.jit(jax.vmap(_both(_simulator(name, arrays["y"]), reverse)))

    def run() -> dict[str, Any]:
        jax.block_until_ready(both(xi, arrays["initial"], arrays["y"]))
        return {}

    return run


def scipy_loop(data: Path, n: int) -> Run:
    """Minimise by SciPy's L-BFGS-B one instance after the other, with the compiled value and gradient."""
    arrays = _load(data, n, "chaos")
    both = jax.jit(_both(_normalised(arrays["y"]), reverse=False))

    def run() -> dict[str, Any]:
        solved, evaluations = 0, 0
        for initial, y in zip(arrays["initial"], arrays["y"], strict=True):
            scale = FIRST_STEP / float(jnp.linalg.norm(both(jnp.zeros(2), initial, y)[1]))

            def scaled(z: Array, initial: Array = initial, y: Array = y, scale: float = scale) -> tuple[float, Array]:
                value, gradient = both(z, initial, y)
                return float(value) * scale, np.asarray(gradient) * scale

            options = {"maxiter": 200, "ftol": 1e-20, "gtol": 1e-12}
            result = minimize(scaled, np.zeros(2), jac=True, method="L-BFGS-B", options=options)
            solved += result.fun / scale <= SOLVED * float(jnp.sum(y**2))
            evaluations += result.nfev + 1
        return {"solved": solved / n, "evaluations": evaluations / n}

    return run


def optimistix(data: Path, n: int) -> Run:
    """Minimise by Optimistix's BFGS, vmapped over the instances and compiled as a whole."""
    import optimistix as optx

    arrays = _load(data, n, "chaos")
    loss = _normalised(arrays["y"])

    def one(initial: Array, y: Array) -> tuple[Array, Array]:
        start = jnp.zeros(2)
        scale = FIRST_STEP / jnp.linalg.norm(jax.grad(loss)(start, initial, y))
        found = optx.minimise(
            lambda z, _: scale * loss(z, initial, y), optx.BFGS(1e-12, 1e-20), start, max_steps=200, throw=False
        )
        return loss(found.value, initial, y) <= SOLVED * jnp.sum(y**2), found.stats["num_steps"]

    solve = jax.jit(jax.vmap(one))

    def run() -> dict[str, Any]:
        solved, steps = jax.block_until_ready(solve(arrays["initial"], arrays["y"]))
        return {"solved": float(solved.mean()), "evaluations": float(steps.mean())}

    return run


def optimistix_lm(data: Path, n: int) -> Run:
    """Solve by Optimistix's Levenberg-Marquardt from near the solutions, vmapped and compiled as a whole."""
    import optimistix as optx

    arrays, near = _load(data, n, "chaos"), jnp.asarray(start_near(data, n, "chaos"))
    simulate = _trajectory("chaos", arrays["y"])

    def one(start: Array, initial: Array, y: Array) -> tuple[Array, Array]:
        def residuals(z: Array, _: None) -> Array:
            return simulate(jnp.array([0.0, 1.0]) + jnp.array([1.0, 0.5]) * jnp.tanh(z), initial) - y

        solver = optx.LevenbergMarquardt(1e-12, 1e-20)
        options = {"jac": "fwd"}
        found = optx.least_squares(residuals, solver, start, options=options, max_steps=200, throw=False)
        return jnp.sum(residuals(found.value, None) ** 2) <= SOLVED * jnp.sum(y**2), found.stats["num_steps"]

    solve = jax.jit(jax.vmap(one))

    def run() -> dict[str, Any]:
        solved, steps = jax.block_until_ready(solve(near, arrays["initial"], arrays["y"]))
        return {"solved": float(solved.mean()), "evaluations": float(steps.mean())}

    return run


def phiml(data: Path, n: int) -> Run:
    """Minimise by PhiML: a thread of SciPy's L-BFGS-B for each instance, evaluated in batches."""
    from phiml import math
    from phiml.math import Solve, batch, channel, use

    use("jax")
    math.set_global_precision(64)
    arrays = _load(data, n, "chaos")
    loss = jax.jit(jax.vmap(_normalised(arrays["y"])))
    both = jax.jit(jax.vmap(_both(_normalised(arrays["y"]), reverse=True)))
    gradient = both(jnp.zeros((n, 2)), arrays["initial"], arrays["y"])[1]
    scale = FIRST_STEP / jnp.linalg.norm(gradient, axis=1)

    def scaled(z: Any) -> Any:
        values = loss(z.native("instances,vector"), arrays["initial"], arrays["y"])
        return math.reshaped_tensor(scale * values, [batch(instances=n)])

    def run() -> dict[str, Any]:
        start = math.zeros(batch(instances=n), channel(vector=2))
        suppress = (math.NotConverged, math.Diverged)
        with math.SolveTape() as solves:
            method = Solve("L-BFGS-B", rel_tol=0, abs_tol=1e-12, max_iterations=200, x0=start, suppress=suppress)
            z = math.minimize(scaled, method)
        values = loss(z.native("instances,vector"), arrays["initial"], arrays["y"])
        solved = values <= SOLVED * jnp.sum(arrays["y"] ** 2, axis=(1, 2))
        evaluations = float(math.mean(solves[0].function_evaluations, "instances"))
        return {"solved": float(solved.mean()), "evaluations": evaluations}

    return run


def _both(loss: Callable[..., Array], reverse: bool) -> Callable[..., tuple[Array, Array]]:
    """Return value and gradient of one instance, in reverse or in forward mode."""
    if reverse:
        return jax.value_and_grad(loss)

    def forward(xi: Array, initial: Array, y: Array) -> tuple[Array, Array]:
        gradient, value = jax.jacfwd(lambda xi: (loss(xi, initial, y),) * 2, has_aux=True)(xi)
        return value, gradient

    return forward


def _normalised(y: Array) -> Callable[[Array, Array, Array], Array]:
    """Return the loss in the coordinates that all optimisers of this benchmark use: tanh of the bounds."""
    loss = _simulator("chaos", y)
    return lambda z, initial, y: loss(jnp.array([0.0, 1.0]) + jnp.array([1.0, 0.5]) * jnp.tanh(z), initial, y)


def _simulator(name: str, y: Array) -> Callable[[Array, Array, Array], Array]:
    """Return the loss of one instance."""
    simulate = _trajectory(name, y)
    return lambda xi, initial, y: jnp.sum((simulate(xi, initial) - y) ** 2)


def _trajectory(name: str, y: Array) -> Callable[[Array, Array], Array]:
    """Return the simulator of one instance: fourth-order exponential time differencing, 2/3 rule."""
    stored, points = y.shape[1:]
    steps, dt = STEPS[name], DT[name]
    count = np.arange(points // 2 + 1)
    k = 2 * np.pi * count / LENGTH
    kept = count <= (points - 1) // 3
    growth = k**2 - k**4
    one, two, three = _phi(growth * dt)
    whole, half = np.exp(growth * dt), np.exp(growth * dt / 2)
    half_step = dt / 2 * _phi(growth * dt / 2)[0]
    weights = dt * (one - 3 * two + 4 * three), dt * (2 * two - 4 * three), dt * (4 * three - two)
    force = np.fft.rfft(FORCE * np.cos(2 * np.pi * np.arange(points) / points))
    advect = -0.5j * k * kept

    def simulate(xi: Array, initial: Array) -> Array:
        def slope(modes: Array) -> Array:
            return xi[0] * force + xi[1] * advect * jnp.fft.rfft(jnp.fft.irfft(modes, points) ** 2)

        def step(modes: Array, _: None) -> tuple[Array, None]:
            first = slope(modes)
            middle = half * modes + half_step * first
            second = slope(middle)
            third = slope(half * modes + half_step * second)
            fourth = slope(half * middle + half_step * (2 * third - first))
            moved = whole * modes + weights[0] * first + weights[1] * (second + third) + weights[2] * fourth
            return moved, None

        def store(modes: Array, _: None) -> tuple[Array, Array]:
            modes, _ = lax.scan(step, modes, None, length=steps // stored)
            return modes, jnp.fft.irfft(modes, points)

        _, history = lax.scan(store, kept * jnp.fft.rfft(initial), None, length=stored)
        return history

    return simulate


def _phi(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    circle = z[:, None] + np.exp(1j * np.pi * (np.arange(32) + 0.5) / 32)
    one = (np.exp(circle) - 1) / circle
    two = (one - 1) / circle
    three = (two - 0.5) / circle
    return one.real.mean(axis=1), two.real.mean(axis=1), three.real.mean(axis=1)


def _load(data: Path, n: int, name: str) -> dict[str, Array]:
    arrays = np.load(data / f"{name}.npz")
    return {key: jnp.asarray(arrays[key][:n]) for key in ("initial", "y")}
