"""What a traced graph calls Python for, and whether the gradient gets lost there."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import tensorflow as tf

WITHOUT_GRADIENT = ("PyFunc", "PyFuncStateless")
HOST_OPERATIONS = (*WITHOUT_GRADIENT, "EagerPyFunc")
# How kerasjoint's own wrappers name their operations, with and without a gradient: who uses them knows what they cost.
WRAPPED, BLACK_BOX = "kerasjoint_host", "kerasjoint_black_box"


class HostCalls:
    """The operations of a traced graph that call Python.

    Parameters
    ----------
    traced
        A ``ConcreteFunction`` whose first input are the unknowns.

    Attributes
    ----------
    size
        How many operations the graph has, with those of the functions that it calls.
    names
        Of the operations that call Python.

    Example
    -------
    >>> HostCalls(concrete_function(objective, *specs)).foreign
    []
    """

    def __init__(self, traced: Any) -> None:
        self._traced = traced
        definition = traced.graph.as_graph_def()
        inside = [node for function in definition.library.function for node in function.node_def]
        self.size = len(definition.node) + len(inside)
        self.names = [node.name for node in [*definition.node, *inside] if node.op in HOST_OPERATIONS]
        self._inside = [node.name for node in inside if node.op in WITHOUT_GRADIENT]

    @property
    def foreign(self) -> list[str]:
        """Those that are none of kerasjoint's wrappers."""
        return [name for name in self.names if WRAPPED not in name and BLACK_BOX not in name]

    @cached_property
    def lose_gradients(self) -> bool:
        """Whether what depends on the unknowns goes into one of which no gradient is known, and on to the result."""
        if any(WRAPPED not in name for name in self._inside):
            return True
        changed = {self._traced.inputs[0].op.name}
        for operation in self._traced.graph.get_operations():
            if any(tensor.op.name in changed for tensor in operation.inputs):
                changed.add(operation.name)
                if operation.type in WITHOUT_GRADIENT and self._loses_gradient(operation):
                    return True
        return False

    def _loses_gradient(self, operation: tf.Operation) -> bool:
        if WRAPPED in operation.name or BLACK_BOX in operation.name:
            return BLACK_BOX in operation.name
        with self._traced.graph.as_default():
            try:
                # Where a tf.custom_gradient is around it, none arrives here.
                arriving = tf.gradients(self._traced.outputs, list(operation.outputs))
            except LookupError:
                return True
        return any(gradient is not None for gradient in arriving)
