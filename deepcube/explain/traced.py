"""A Keras model traced once into a graph, so that many small calls of it are cheap."""

import copy
from collections.abc import Callable
from typing import Any, Self


class TracedModel:
    """Calls a TensorFlow-backed Keras model as one compiled graph.

    An explanation calls its model many times on few rows; executed layer by layer, nearly all of that time is overhead.
    The graph is traced at the first call and serves any number of rows; gradients pass through it.

    Parameters
    ----------
    model : keras.Model
        A built model with one input.

    Attributes
    ----------
    inputs : list
        The model's symbolic inputs.
    output_shape : tuple
        Shape of the model's output, the number of rows being None.
    model : keras.Model
        The model itself.
    """

    def __init__(self, model: Any) -> None:
        import tensorflow as tf

        self.model = model
        self.inputs = model.inputs
        self.output_shape = model.output_shape
        self._to_float32 = lambda x: tf.cast(x, tf.float32)  # alibi integrates in double precision
        self._graph = tf.function(model, input_signature=[tf.TensorSpec(model.input_shape, tf.float32)])
        self._announce: Callable[[int], None] | None = None

    def announced(self, before: Callable[[int], None]) -> Self:
        """Return the same graph, which tells a function the number of rows before every call."""
        other = copy.copy(self)
        other._announce = before
        return other

    def __call__(self, x: Any) -> Any:
        """Return the model's output for an array or tensor of real numbers, shape (rows, ...)."""
        if self._announce is not None:
            self._announce(len(x))
        return self._graph(self._to_float32(x))
