"""A Keras model traced once into a graph, so that many small calls of it are cheap."""

from typing import Any


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

    def __call__(self, x: Any) -> Any:
        """Return the model's output for an array or tensor of real numbers, shape (rows, ...)."""
        return self._graph(self._to_float32(x))
