"""The script that a deployment runs: drought forecasts and their explanations over HTTP.

It is uploaded alone, so everything else comes from the installed package. A request is
``{"instances": [...]}`` with instances of these kinds, alone or mixed:

- ``{"ndvi_anomaly_lag_0": -0.1, ...}``: a number for every model input, by name;
- ``[-0.1, ...]``: the same in the model's order;
- ``{"cube": "sample", "cell_id": 42}``: the newest features of a cell, read from the online store.

Each is answered with ``{"ndvi_step_1": ..., ...}``. With ``"explain": true`` beside ``instances``, or in an instance,
the answer is ``{"prediction": {...}, "inputs": {...}, "explanation": {...}}``, with ``"simulated": true`` if the model
was trained on a simulated cube. Instead of true,
``{"method": "kernel_shap", "scores": true, "budget_seconds": 2}`` chooses how; see
:class:`deepcube.explain.ExplainOptions`. What the time budget did not allow is listed in the answer.
"""

import os
import time
from pathlib import Path
from typing import Any

import pandas as pd

from deepcube.explain import ExplainOptions
from inference_pipelines.drought.forecaster import Forecaster
from inference_pipelines.endpoint import OnlineFeatures, answered, split_options


class Predict:
    """Loads the model that the platform put in ``$MODEL_FILES_PATH`` and answers requests."""

    def __init__(self) -> None:
        self._forecaster = Forecaster.load(Path(os.environ["MODEL_FILES_PATH"]))
        self._forecaster.warm_up()
        self._online = OnlineFeatures(self._forecaster.signature, self._forecaster.cube)
        self._online.connect()

    def predict(self, inputs: list[Any], **options: Any) -> list[dict[str, Any]]:
        """Answer the instances of one request.

        Parameters
        ----------
        inputs : list of dict or list
            The instances.
        **options : Any
            Further keys of the request; ``explain`` asks for an explanation of every instance. The budget is for the
            whole request and runs from when it came.

        Returns
        -------
        list of dict
            One answer per instance, in order.

        Raises
        ------
        deepcube.oblivious.InstanceError, deepcube.explain.ExplainError
            If an instance or an option does not fit (a ``ValueError``: the server answers with status 400).
        """
        arrived = time.perf_counter()
        instances, explain = split_options(self._forecaster.explainer, inputs, options.get("explain", False))
        table = self._forecaster.signature.table(self._online.resolve(instances))
        self._forecaster.check(table)
        forecasts: list[dict[str, Any]] = [dict(row) for _, row in self._forecaster.forecast(table).iterrows()]

        def explained(rows: pd.DataFrame, wanted: ExplainOptions) -> list[dict[str, Any]]:
            return self._forecaster.answer(rows, wanted, since=arrived)

        return answered(forecasts, table, explain, explained, simulated=self._forecaster.simulated)
