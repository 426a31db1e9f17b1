"""Serve a Keras model or a TensorFlow SavedModel, in place of TensorFlow Serving."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


class Predict:
    """Predictions of the model in ``MODEL_FILES_PATH``: a ``.keras`` or ``.h5`` file, or a folder with a SavedModel.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    """

    def __init__(self) -> None:
        folder = Path(os.environ["MODEL_FILES_PATH"])
        keras_files = sorted([*folder.rglob("*.keras"), *folder.rglob("*.h5")])
        saved_models = sorted(folder.rglob("saved_model.pb"))
        self._function: Callable[[Any], Any]
        if keras_files:
            import keras

            model = keras.models.load_model(keras_files[0], compile=False)
            self._function = lambda inputs: model.predict(inputs, verbose=0)
        elif saved_models:
            self._function = _signature(saved_models[-1].parent)
        else:
            raise FileNotFoundError(f"no .keras or .h5 file and no saved_model.pb in {folder}")

    def predict(self, inputs: Any) -> Any:
        """Return the model's outputs: a list of rows, or of objects if the model has several outputs."""
        if inputs and isinstance(inputs[0], dict):
            argument: Any = {name: np.asarray([row[name] for row in inputs]) for name in inputs[0]}
        else:
            argument = np.asarray(inputs, dtype="float32")
        result = self._function(argument)
        if isinstance(result, dict):
            columns = {name: np.asarray(value) for name, value in result.items()}
            if len(columns) == 1:
                return next(iter(columns.values()))
            return [{name: value[row] for name, value in columns.items()} for row in range(len(inputs))]
        return result


def _signature(folder: Path) -> Callable[[Any], Any]:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    function = loaded.signatures["serving_default"]
    specifications = function.structured_input_signature[1]

    def call(argument: Any) -> Any:
        named = argument if isinstance(argument, dict) else {next(iter(specifications)): argument}
        tensors = {name: tf.cast(value, specifications[name].dtype) for name, value in named.items()}
        return {name: value.numpy() for name, value in function(**tensors).items()}

    call.owner = loaded  # type: ignore[attr-defined]  # the function keeps no reference to what owns its variables
    return call
