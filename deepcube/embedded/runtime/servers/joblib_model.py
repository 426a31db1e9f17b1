"""Serve the one pickle or joblib file of a model, as the model servers of a cluster do for scikit-learn.

The file is the project's own, and is read in the predictor's process, with the same rights as any predictor script.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

_ENDINGS = (".pkl", ".pickle", ".joblib")


class Predict:
    """Predictions of the model in ``MODEL_FILES_PATH``.

    Raises
    ------
    FileNotFoundError
        If there is not exactly one candidate file.
    """

    def __init__(self) -> None:
        folder = Path(os.environ["MODEL_FILES_PATH"])
        found = sorted(place for place in folder.rglob("*") if place.suffix in _ENDINGS)
        if len(found) != 1:
            names = ", ".join(place.name for place in found) or "none"
            raise FileNotFoundError(
                f"a model deployed without a script needs exactly one {', '.join(_ENDINGS)} file, found {names}; "
                "deploy with a script_file"
            )
        self._model = importlib.import_module("joblib").load(found[0])

    def predict(self, inputs: Any) -> Any:
        """Return the model's predictions for a list of rows."""
        return self._model.predict(inputs)
