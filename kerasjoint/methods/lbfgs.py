"""Batched L-BFGS on TensorFlow Probability: every instance for itself, one history each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kerasjoint.errors import ArgumentError
from kerasjoint.methods.base import LocalMethod, check_positive, check_start
from kerasjoint.methods.stopping import Stagnation, stalled_status
from kerasjoint.problem_set import ProblemSet
from kerasjoint.solution import Solution, Status
from kerasjoint.tracking import History, TrackedObjective, stationary_status

FloatArray = NDArray[np.float64]

LINE_SEARCH_EVALUATIONS = 30


class LBFGS(LocalMethod):
    """``tfp.optimizer.lbfgs_minimize`` for many instances, in float64.

    Each instance's objective is scaled so that its first trial step has length ``first_step`` in normalised coordinates
    (tfp steps one whole gradient; scaling does not move a minimum). Finished instances leave the batch, and those whose
    line search failed start again there with an empty history and a shorter first step. An instance that gains less
    than 1e-9 of its loss in five iterations ends: ``PRECISION`` if its gradient is small, else ``FAILED``.

    Parameters
    ----------
    max_iterations, history_size, tolerance, first_step
        As in ``LocalMethod``; ``max_iterations`` counts over all restarts.
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
            raise ArgumentError("restarts", "a whole number not below 0", repr(restarts))
        self.restarts = restarts

    def solve(
        self,
        problem_set: ProblemSet,
        seed: int = 0,
        *,
        start: FloatArray | None = None,
        first_step: float | None = None,
        callback: Callable[[int, FloatArray], None] | None = None,
    ) -> Solution:
        """Solve all instances; see ``LocalMethod.solve``.

        ``callback(iteration, z)``, if given, is called after each iteration with the current iterates (n, d).
        """
        z = check_start(problem_set, start).copy()
        first_step = self.first_step if first_step is None else first_step
        check_positive(first_step=first_step)
        began = time.perf_counter()
        objective = TrackedObjective(problem_set)
        rows = np.arange(len(problem_set))
        loop = _tfp_loop(z.shape[1], self.history_size)
        objective.compile_seconds += loop.compile_seconds()
        loss, gradient = objective(z, rows)
        status = stationary_status(loss, gradient)
        run = _Run(
            objective,
            z,
            loss,
            gradient,
            status,
            np.zeros(len(rows), dtype=np.int64),
            History(problem_set),
            began,
            first_step,
            np.linalg.norm(gradient, axis=1),
            callback,
        )
        run.record()
        waiting = rows[status == Status.ITERATIONS]
        for attempt in range(self.restarts + 1):
            if not waiting.size:
                break
            waiting = self._descend(run, loop, waiting, first_step * 0.1**attempt, attempt)
        return objective.solution(
            self.name,
            type(self).__name__,
            (run.z, run.loss),
            run.status,
            run.iterations,
            time.perf_counter() - began,
            run.history.frame,
        )

    def _descend(self, run: _Run, loop: _TfpLoop, rows: NDArray[Any], first_step: float, attempt: int) -> NDArray[Any]:
        """Run tfp on the instances ``rows`` until each ends; return those whose line search failed."""
        scale = first_step / np.linalg.norm(run.gradient[rows], axis=1)
        state = loop.start(run.z[rows], run.loss[rows] * scale, run.gradient[rows] * scale[:, None])
        began_at = run.loss[rows].copy()
        run.status[rows] = Status.ITERATIONS
        failed_rows: list[NDArray[Any]] = []
        stagnation = Stagnation(began_at)
        while rows.size:
            state = loop.advance(run.objective, state, rows, scale, self.tolerance)
            run.z[rows] = state.position
            run.loss[rows] = state.objective_value / scale
            run.gradient[rows] = state.objective_gradient / scale[:, None]
            run.iterations[rows] += 1
            run.record()
            used_up = run.iterations[rows] >= self.max_iterations
            stagnant = stagnation.update(run.loss[rows], ~state.failed)
            failed = state.failed & ~state.converged
            # A fresh history that gets nowhere twice has reached what the precision allows.
            stuck = failed & ~(run.loss[rows] < began_at) & (attempt > 0)
            stalled = rows[failed | stagnant]
            run.status[stalled] = stalled_status(run.largest(stalled), run.first_step)
            run.status[rows[state.converged]] = Status.CONVERGED
            failed_rows.append(rows[failed & ~stuck & ~used_up])
            keep = ~(state.converged | state.failed | used_up | stagnant)
            if not keep.all():
                rows, scale, began_at = rows[keep], scale[keep], began_at[keep]
                stagnation.keep(keep)
                state = loop.keep(state, keep)
        return np.sort(np.concatenate(failed_rows)) if failed_rows else rows


class _Run(NamedTuple):
    """The current iterates of all instances."""

    objective: TrackedObjective
    z: FloatArray
    loss: FloatArray
    gradient: FloatArray
    status: NDArray[np.int8]
    iterations: NDArray[np.int64]
    history: History
    began: float
    first_step: float
    start_norm: FloatArray
    callback: Callable[[int, FloatArray], None] | None

    def largest(self, rows: NDArray[Any]) -> FloatArray:
        """The largest components of the gradients, scaled such that they had length ``first_step`` at the start."""
        return np.abs(self.gradient[rows]).max(axis=1) * self.first_step / self.start_norm[rows]

    def record(self) -> None:
        seconds = time.perf_counter() - self.began - self.objective.compile_seconds
        evaluations = float(self.objective.evaluations.mean())
        self.history.record(int(self.iterations.max()), evaluations, seconds, self.z, self.loss)
        if self.callback is not None:
            self.callback(int(self.iterations.max()), self.z)


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
        self._step = tf.function(self._one_iteration, input_signature=(state, tf.TensorSpec((), tf.float64)))
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
        self, objective: TrackedObjective, state: _TfpState, rows: NDArray[Any], scale: FloatArray, tolerance: float
    ) -> _TfpState:
        """Run one iteration on the instances ``rows``, whose objectives are multiplied by ``scale``."""

        def evaluate(z: FloatArray) -> tuple[FloatArray, FloatArray]:
            value, gradient = objective(z, rows)
            return value * scale, gradient * scale[:, None]

        with self._lock:
            self._evaluate = evaluate
            try:
                state = self._step(tf.nest.map_structure(tf.constant, state), tf.constant(tolerance, tf.float64))
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


@lru_cache(maxsize=16)
def _tfp_loop(size: int, history_size: int) -> _TfpLoop:
    return _TfpLoop(size, history_size)
