"""Incompressible Navier-Stokes."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kerasjoint.errors import ArgumentError
from kerasjoint.problem import InverseProblem, check_count
from kerasjoint.problem_set import ProblemSet
from kerasjoint.problems.navier_stokes.grid import LENGTH, Box, Grid
from kerasjoint.problems.navier_stokes.flow import Flow
from kerasjoint.unknown import Unknown

OBSTACLES = (Box(18.75, 37.5, 43.75, 50.0), Box(62.5, 81.25, 37.5, 43.75), Box(43.75, 56.25, 68.75, 75.0))


class NavierStokes(InverseProblem):
    chunk = 8
    unknowns = (
        Unknown("x0", lower=10.0, upper=90.0, guess=50.0),
        Unknown("v0", shape=(2,), lower=(-2.0, -1.0), upper=(2.0, 5.0), guess=(0.0, 2.0)),
    )

    def __init__(self, cells=64, dt=2.0, end=56.0, viscosity=0.1, obstacles=OBSTACLES, noise=0.3, radius=10.0):
        self.cells = cells
        self.dt = dt
        self.end = end
        self.viscosity = viscosity
        self.obstacles = tuple(obstacles)
        self.noise = noise
        self.radius = radius
        self.grid = Grid(cells, self.obstacles)
        self.flow = Flow(self.grid, dt, round(end / dt), viscosity)

    def forward(self, xi, x):
        initial = x["initial"]
        half = self.cells // 2
        fill = tf.pad(initial, ((0, 0), (half, 0), (0, 0), (0, 0)))
        return self.evolve(xi, fill)[:, half:]

    def evolve(self, xi, start):
        @tf.custom_gradient
        def run(x0, v0):
            (fu, fv), tangents = self.force(x0, v0)
            (u, v), (du, dv) = self.flow.run((start[..., 0] + fu, start[..., 1] + fv), tangents)
            last = tf.stack([u, v], axis=-1)

            def gradient(upstream):
                t = tf.stack([du, dv], axis=-1)
                t = tf.reshape(t, (3, *last.shape)) * upstream
                g = tf.reduce_sum(t, axis=(2, 3, 4))
                return g[0], tf.stack([g[1], g[2]], axis=1)
            return last, gradient
        return run(xi["x0"], xi["v0"])

    def force(self, x0, v0):
        dtype = x0.dtype
        ux, uy, vx, vy = (tf.constant(p, dtype) for p in self.grid.positions())
        x0 = x0[:, None, None]
        def blob(px, py):
            return tf.exp(-0.5 * (tf.square(px - x0) + tf.square(py - 20.0)) / self.radius**2)
        bu, bv = blob(ux, uy), blob(vx, vy)
        v0x, v0y = v0[:, 0, None, None], v0[:, 1, None, None]
        z = tf.zeros_like(bu)
        du = tf.concat([v0x * bu * (ux - x0) / self.radius**2, bu, z], 0)
        dv = tf.concat([v0y * bv * (vx - x0) / self.radius**2, z, bv], 0)
        return (v0x * bu, v0y * bv), (du, dv)

    def loss(self, prediction, y):
        return 0.5 * super().loss(prediction, y)

    def sample(self, n, seed):
        n = check_count("n", n)
        rng = np.random.default_rng(seed)
        x0 = rng.uniform(20, 80, size=n)
        v0 = np.stack([rng.normal(0, 0.5, n).clip(-1, 1), rng.uniform(1.0, 3.0, n)], axis=1)
        start = self.noise_field(n, rng)
        truth = {"x0": x0, "v0": v0}
        y = self.full(tf.constant(start), {k: tf.constant(a) for k, a in truth.items()}).numpy()
        half = self.cells // 2
        return ProblemSet(self, {"initial": start[:, half:]}, y[:, half:], truth)

    @tf.function(jit_compile=True)
    def full(self, start, xi):
        return self.evolve(xi, start)

    def noise_field(self, n, rng):
        m = self.cells
        modes = 20
        k = np.arange(1, modes + 1)
        wave = np.pi / LENGTH * k
        kk = wave[:, None]**2 + wave[None, :]**2
        ell = 10.0
        amp = np.exp(-0.25 * kk * ell**2)
        c = rng.standard_normal((n, modes, modes)) * amp
        c *= self.noise / np.sqrt(np.sum(amp**2 * kk) / 8)
        nodes = np.arange(m + 1) * LENGTH / m
        s = np.sin(wave[:, None] * nodes)
        psi = np.einsum("nkl,ki,lj->nij", c, s, s, optimize=True)
        h = LENGTH / m
        u = (psi[:, 1:, :-1] - psi[:, :-1, :-1]) / h
        v = -(psi[:, :-1, 1:] - psi[:, :-1, :-1]) / h
        pu, pv = self.flow.projection((tf.constant(u), tf.constant(v)))
        return np.stack([pu, pv], axis=-1)
