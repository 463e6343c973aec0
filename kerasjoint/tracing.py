"""Functions traced into graphs, of which nothing stays when they go."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops

REGISTERED = "CustomGradient-"


def concrete_function(function: Callable[..., Any], *arguments: Any, jit_compile: bool = False) -> Any:
    """Trace a function of tensors or ``tf.TensorSpec``; return its ``ConcreteFunction``, which runs that graph.

    Two traces never share a graph, as those of one ``tf.function`` may: it recognises a function by its code.

    Example
    -------
    >>> concrete_function(tf.square, tf.TensorSpec((3,), tf.float64)).structured_outputs.shape
    TensorShape([3])
    """
    traced = tf.function(partial(function), jit_compile=jit_compile, autograph=False)
    concrete = traced.get_concrete_function(*arguments)
    _hand_gradients_to_graphs(concrete.graph)
    return concrete


def _hand_gradients_to_graphs(root: tf.Graph) -> None:
    """Let graphs within ``root`` hold what ``tf.custom_gradient`` registered for good when it was traced in them.

    The registered functions hold tensors, these their graph, and graphs some megabytes each. Afterwards the registry
    knows them only as long as their graph is there.
    """
    registered = ops.gradient_registry._registry
    for name in [name for name in list(registered) if name.startswith(REGISTERED)]:
        gradient = registered[name]["type"]
        graph = _graph_of(gradient)
        if graph is None or not _is_within(graph, root):
            continue
        registered[name]["type"] = partial(_call, weakref.ref(gradient))
        graph._own_gradients = [*getattr(graph, "_own_gradients", ()), gradient]
        weakref.finalize(graph, registered.pop, name, None).atexit = False


def _call(gradient: weakref.ref[Callable[..., Any]], *arguments: Any) -> Any:
    function = gradient()
    assert function is not None, "a gradient is asked for whose graph is gone"
    return function(*arguments)


def _graph_of(gradient: Callable[..., Any]) -> tf.Graph | None:
    """Return the graph that a registered gradient was traced in, ``None`` where TensorFlow does it otherwise."""
    for name in ("tape_grad_fn", "result"):
        code, cells = getattr(gradient, "__code__", None), getattr(gradient, "__closure__", None) or ()
        inside = dict(zip(code.co_freevars, cells, strict=True)) if code else {}
        if name not in inside:
            return None
        gradient = inside[name].cell_contents
    tensors = [leaf for leaf in tf.nest.flatten(gradient) if tf.is_symbolic_tensor(leaf)]
    return tensors[0].graph if tensors else None


def _is_within(graph: tf.Graph | None, root: tf.Graph) -> bool:
    while graph is not None and graph is not root:
        graph = getattr(graph, "outer_graph", None)
    return graph is root
