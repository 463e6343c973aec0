"""Batched L-BFGS on TensorFlow Probability: every instance for itself, one history each."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.cores import usable_cores
from kerasjoint.counting import CountingObjective
from kerasjoint.errors import ArgumentError, describe
from kerasjoint.methods.base import QuasiNewtonMethod
from kerasjoint.methods.local_run import LocalRun
from kerasjoint.methods.stopping import Stagnation, stalled_status
from kerasjoint.solution import Status

FloatArray = NDArray[np.float64]

LINE_SEARCH_EVALUATIONS = 30
SHORTER_STEP = 0.1


class LBFGS(QuasiNewtonMethod):
    """``tfp.optimizer.lbfgs_minimize`` for many instances, in float64.

    Each instance's objective is scaled so that its first trial step has length ``first_step`` in normalised coordinates
    (tfp steps one whole gradient; scaling does not move a minimum). Finished instances leave the batch, and those whose
    line search failed start again there with an empty history and a shorter first step. An instance that stagnates
    (gains below 1e-9 of its loss that do not grow) ends: ``PRECISION`` if its gradient is small, else ``FAILED``.

    Parameters
    ----------
    max_iterations, history_size, tolerance, first_step
        As in ``QuasiNewtonMethod``; ``max_iterations`` counts over all restarts.
    restarts
        How often an instance may start again after a failed line search.

    Example
    -------
    >>> baseline = LBFGS().solve(problem_set)
    """

    name = "lbfgs"

    def __init__(
        self,
        max_iterations: int = 200,
        history_size: int = 10,
        tolerance: float = 1e-12,
        first_step: float = 0.5,
        restarts: int = 2,
    ) -> None:
        super().__init__(max_iterations, history_size, tolerance, first_step)
        if isinstance(restarts, bool) or not isinstance(restarts, int) or restarts < 0:
            raise ArgumentError("restarts", "a whole number not below 0", describe(restarts))
        self.restarts = restarts

    def _advance(self, run: LocalRun) -> None:
        loop = _tfp_loop(run.z.shape[1], self.history_size)
        run.objective.compile_seconds += loop.compile_seconds()
        gradient = run.gradient.copy()
        waiting = run.movable
        for attempt in range(self.restarts + 1):
            if waiting.size:
                waiting = self._attempt(run, loop, gradient, waiting, attempt)

    def _attempt(
        self, run: LocalRun, loop: _TfpLoop, gradient: FloatArray, rows: NDArray[Any], attempt: int
    ) -> NDArray[Any]:
        """Run tfp on the instances ``rows`` until each ends; return those whose line search failed.

        ``gradient``, of all instances at their current points, is kept up to date.
        """
        scale = self.first_step * SHORTER_STEP**attempt / np.linalg.norm(gradient[rows], axis=1)
        tolerance = self.tolerance * run.largest[rows] * scale
        state = loop.start(run.z[rows], run.loss[rows] * scale, gradient[rows] * scale[:, None])
        began_at = run.loss[rows]
        run.status[rows] = Status.RUNNING
        failed_rows: list[NDArray[Any]] = []
        stagnation = Stagnation(began_at)
        while rows.size:
            state = loop.advance(run.objective, state, rows, scale, tolerance)
            gradient[rows] = state.objective_gradient / scale[:, None]
            run.reach(rows, state.position, state.objective_value / scale)
            used_up = run.iterations[rows] >= self.max_iterations
            stagnant = stagnation.update(run.loss[rows], ~state.failed)
            failed = state.failed & ~state.converged
            # A fresh history that gets nowhere twice has reached what the precision allows.
            stuck = failed & ~(run.loss[rows] < began_at) & (attempt > 0)
            stalled = rows[failed | stagnant]
            run.end(rows[used_up], Status.ITERATIONS)
            run.end(stalled, stalled_status(np.abs(gradient[stalled]).max(axis=1) / run.largest[stalled]))
            run.end(rows[state.converged], Status.CONVERGED)
            failed_rows.append(rows[failed & ~stuck & ~used_up])
            keep = ~(state.converged | state.failed | used_up | stagnant)
            if not keep.all():
                rows, scale, tolerance, began_at = rows[keep], scale[keep], tolerance[keep], began_at[keep]
                stagnation.keep(keep)
                state = loop.keep(state, keep)
        return np.sort(np.concatenate(failed_rows))


class _TfpState(NamedTuple):
    """The fields that ``lbfgs_minimize`` carries from one iteration to the next, for m instances of d unknowns."""

    converged: Any
    failed: Any
    num_iterations: Any
    num_objective_evaluations: Any
    position: Any
    objective_value: Any
    objective_gradient: Any
    position_deltas: Any
    gradient_deltas: Any


class _TfpLoop:
    """One iteration of tfp's L-BFGS as a graph that any batch size and any objective can use without tracing again."""

    def __init__(self, size: int, history_size: int) -> None:
        import tensorflow_probability as tfp

        self._lbfgs_minimize = tfp.optimizer.lbfgs_minimize
        self._history_size = history_size
        self._size = size
        self._lock = threading.Lock()
        self._evaluate: Callable[[FloatArray], tuple[FloatArray, FloatArray]] | None = None
        vector, scalar = tf.TensorSpec((None,), tf.float64), tf.TensorSpec((), tf.int32)
        flag, matrix = tf.TensorSpec((None,), tf.bool), tf.TensorSpec((None, size), tf.float64)
        pairs = tf.TensorSpec((history_size, None, size), tf.float64)
        state = _TfpState(flag, flag, scalar, scalar, matrix, vector, matrix, pairs, pairs)
        self._step = tf.function(self._one_iteration, input_signature=(state, vector))
        self._compiled = False

    def compile_seconds(self) -> float:
        """Trace the graph unless it was; return the time that took."""
        if self._compiled:
            return 0.0
        start = time.perf_counter()
        self._step.get_concrete_function()
        self._compiled = True
        return time.perf_counter() - start

    def start(self, z: FloatArray, value: FloatArray, gradient: FloatArray) -> _TfpState:
        """Return the state before the first iteration."""
        none, pairs = np.zeros(len(z), dtype=bool), np.zeros((self._history_size, *z.shape))
        return _TfpState(none, none, np.int32(0), np.int32(1), z, value, gradient, pairs, pairs)

    def advance(
        self,
        objective: CountingObjective,
        state: _TfpState,
        rows: NDArray[Any],
        scale: FloatArray,
        tolerance: FloatArray,
    ) -> _TfpState:
        """Run one iteration on the instances ``rows``, whose objectives are multiplied by ``scale``."""

        def evaluate(z: FloatArray) -> tuple[FloatArray, FloatArray]:
            value, gradient = objective(z, rows)
            return value * scale, gradient * scale[:, None]

        with self._lock:
            self._evaluate = evaluate
            try:
                step = self._step if _inter_op_threads() > 1 else self._one_iteration
                state = step(tf.nest.map_structure(tf.constant, state), tf.constant(tolerance, tf.float64))
            finally:
                self._evaluate = None
        return tf.nest.map_structure(lambda part: part.numpy(), state)

    def keep(self, state: _TfpState, mask: NDArray[np.bool_]) -> _TfpState:
        """Drop instances from the state."""
        return _TfpState(
            state.converged[mask],
            state.failed[mask],
            state.num_iterations,
            state.num_objective_evaluations,
            state.position[mask],
            state.objective_value[mask],
            state.objective_gradient[mask],
            state.position_deltas[:, mask],
            state.gradient_deltas[:, mask],
        )

    def _one_iteration(self, state: _TfpState, tolerance: tf.Tensor) -> _TfpState:
        def value_and_gradient(z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            value, gradient = tf.numpy_function(lambda z: self._call(z), (z,), (tf.float64, tf.float64))
            value.set_shape((None,))
            gradient.set_shape((None, self._size))
            return value, gradient

        return self._lbfgs_minimize(
            value_and_gradient,
            previous_optimizer_results=state,
            num_correction_pairs=self._history_size,
            tolerance=tolerance,
            max_iterations=state.num_iterations + 1,
            max_line_search_iterations=LINE_SEARCH_EVALUATIONS,
            initial_position=None,
        )

    def _call(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        assert self._evaluate is not None
        return self._evaluate(z)


def _inter_op_threads() -> int:
    """The threads that TensorFlow runs graphs on. One alone, in the loop, would wait forever for the objective's."""
    from_environment = int(os.environ.get("TF_NUM_INTEROP_THREADS", 0))
    return tf.config.threading.get_inter_op_parallelism_threads() or from_environment or usable_cores()


@lru_cache(maxsize=16)
def _tfp_loop(size: int, history_size: int) -> _TfpLoop:
    return _TfpLoop(size, history_size)
