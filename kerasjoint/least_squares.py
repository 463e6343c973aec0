"""Least squares inside compiled code: Jacobians of the residuals, and the normal equations made of them."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import tensorflow as tf

from kerasjoint.differences import transposed_jacobian
from kerasjoint.errors import NoGradientError
from kerasjoint.hooks import Condition, Hooks, misfit_and_residuals, regularizer
from kerasjoint.robust import robust_weights
from kerasjoint.time_loop import traced_for
from kerasjoint.unknown import UnknownSpace


class Linear(NamedTuple):
    """Misfit (n,), residuals (n, m), and the transpose of their Jacobian, (n, d, m); and the misfit's gradient (n, d).

    Without one, the gradient is that of the Jacobian.
    """

    misfit: tf.Tensor
    residuals: tf.Tensor
    transposed: tf.Tensor
    gradient: tf.Tensor | None = None


# Regularizer (n,), gradient (n, d) and Hessian (n, d, d).
Prior = tuple[tf.Tensor, tf.Tensor, tf.Tensor]

# Where these are differentiated backwards twice, rows cost many simulations each.
LOOPS = ("While", "StatelessWhile")
# Further rows of a Jacobian are computed in a loop, since each written out takes time to compile.
WRITTEN_OUT = 9
# Of the slope, in a model to step by: where all residuals are far beyond a robust loss's scale, none has any curvature.
LEAST_CURVATURE = 0.1


def linearized(problem: Hooks, space: UnknownSpace, xi: tf.Tensor, x: Condition, y: tf.Tensor) -> Linear:
    """Return the residuals and their Jacobian.

    J^T u is linear in u, so its derivatives with respect to u are the rows. Where tangents of the unknowns travel
    through a time loop (``integrate``), all rows are read from that one loop, at once. With fewer residuals than
    unknowns, or where an operation has no second derivative, the gradients of the residuals are taken one by one.
    Other loops, which would be differentiated backwards twice for every row, are simulated d times more instead.
    """
    with traced_for("jacobian") as tracing:
        misfit, residuals = misfit_and_residuals(problem, space, xi, x, y)
    if tracing.forward != {True} and _has_loop(residuals.graph):
        misfit, residuals = misfit_and_residuals(problem, space, xi, x, y)
        (gradient,) = tf.gradients(misfit, xi)
        _require(problem, gradient)
        return Linear(misfit, residuals, transposed_jacobian(problem, space, xi, x, y, residuals), gradient)
    direction = tf.zeros_like(residuals)
    (pulled,) = tf.gradients(residuals, xi, direction)
    _require(problem, pulled)
    if residuals.shape[1] is None or residuals.shape[1] >= space.size:
        with suppress(LookupError):
            return Linear(misfit, residuals, _rows(pulled, direction, together=tracing.forward == {True}))
    return Linear(misfit, residuals, tf.transpose(_rows(residuals, xi), (0, 2, 1)))


def _require(problem: Hooks, gradient: tf.Tensor | None) -> None:
    if gradient is None:
        raise NoGradientError(problem.hook_name("forward"))


def _has_loop(graph: tf.Graph) -> bool:
    """Return whether a graph has a loop, or a function that it calls."""
    definition = graph.as_graph_def()
    inside = [node for function in definition.library.function for node in function.node_def]
    return any(node.op in LOOPS for node in [*definition.node, *inside])


def regularizer_with_hessian(problem: Hooks, space: UnknownSpace, xi: tf.Tensor, x: Condition) -> Prior:
    """Return the regularizer (n,), its gradient (n, d) and Hessian (n, d, d)."""
    value = regularizer(problem, space, xi, x)
    (gradient,) = tf.gradients(value, xi)
    if gradient is None:
        zeros = tf.zeros_like(xi)
        return value, zeros, tf.zeros((*xi.shape, xi.shape[1]), xi.dtype)
    return value, gradient, _rows(gradient, xi)


def normal_equations(problem: Hooks, linear: Linear, prior: Prior) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the objective (n,), its gradient (n, d), and an approximation of its Hessian (n, d, d).

    That is 2 J^T W J, with the Jacobian J of the residuals and the weights W of a robust loss, not too small, plus the
    exact Hessian of the regularizer.
    """
    misfit, residuals, transposed, gradient = linear
    slope, curvature = robust_weights(problem.robust_loss, problem.robust_scale, residuals)
    if gradient is None:
        gradient = 2 * tf.linalg.matvec(transposed, slope * residuals)
    curvature = tf.maximum(curvature, LEAST_CURVATURE * slope)
    hessian = 2 * tf.matmul(transposed * curvature[:, None, :], transposed, transpose_b=True)
    return misfit + prior[0], gradient + prior[1], hessian + prior[2]


def weighted_jacobian(
    problem: Hooks, linear: Linear, prior: Prior
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return misfit (n,), Jacobian W^(1/2) J (n, m, d), Hessian of the regularizer (n, d, d) and residuals (n, m)."""
    misfit, residuals, transposed, _ = linear
    _, curvature = robust_weights(problem.robust_loss, problem.robust_scale, residuals)
    jacobian = tf.transpose(transposed * tf.sqrt(curvature)[:, None, :], (0, 2, 1))
    return misfit, jacobian, prior[2], residuals


def _rows(target: tf.Tensor, source: tf.Tensor, together: bool = False) -> tf.Tensor:
    """Return the derivatives of each column of ``target`` (n, k) with respect to ``source`` (n, l), (n, k, l).

    ``together``: by operations on all rows at once, not one after the other.
    """
    size = target.shape[1]

    def row(unit: tf.Tensor) -> tf.Tensor:
        # Graph mode's function: a tape that is asked several times differentiates every time loop twice beforehand.
        return tf.gradients(tf.reduce_sum(target * unit), source, unconnected_gradients="zero")[0]

    units = tf.eye(size, dtype=target.dtype)
    if size <= WRITTEN_OUT:
        return tf.stack([row(units[k]) for k in range(size)], axis=1)
    rows = tf.vectorized_map(row, units) if together else tf.map_fn(row, units)
    return tf.transpose(rows, (1, 0, 2))
