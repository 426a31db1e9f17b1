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
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from deepcube.explain import ExplainOptions
from deepcube.oblivious import InstanceError
from inference_pipelines.drought.forecaster import Forecaster

_KEYS = {"cube", "cell_id"}


class Predict:
    """Loads the model that the platform put in ``$MODEL_FILES_PATH`` and answers requests."""

    def __init__(self) -> None:
        self._forecaster = Forecaster.load(Path(os.environ["MODEL_FILES_PATH"]))
        self._forecaster.warm_up()
        self._online = OnlineFeatures(self._forecaster)

    def predict(self, inputs: list[Any], **options: Any) -> list[dict[str, Any]]:
        """Answer the instances of one request.

        Parameters
        ----------
        inputs : list of dict or list
            The instances.
        **options : Any
            Further keys of the request; ``explain`` asks for an explanation of every instance. The budget is for all
            instances of equal options together.

        Returns
        -------
        list of dict
            One answer per instance, in order.

        Raises
        ------
        deepcube.oblivious.InstanceError, deepcube.explain.ExplainError
            If an instance or an option does not fit (a ``ValueError``: the server answers with status 400).
        """
        explain_all = self._forecaster.explainer.options(options.get("explain", False))
        instances, explain = self._split_options(inputs, explain_all)
        table = self._forecaster.signature.table(self._online.resolve(instances))
        self._forecaster.check(table)
        forecasts: list[dict[str, Any]] = [dict(row) for _, row in self._forecaster.forecast(table).iterrows()]
        for wanted in dict.fromkeys(one for one in explain if one is not None):
            positions = [position for position, one in enumerate(explain) if one == wanted]
            explanations = self._forecaster.answer(table.iloc[positions], wanted)
            for position, explanation in zip(positions, explanations, strict=True):
                forecasts[position] = {
                    "prediction": forecasts[position],
                    "inputs": table.iloc[position].to_dict(),
                    "explanation": explanation,
                    **({"simulated": True} if self._forecaster.simulated else {}),
                }
        return forecasts

    def _split_options(
        self, inputs: Any, explain_all: ExplainOptions | None
    ) -> tuple[list[Any], list[ExplainOptions | None]]:
        """Return the instances without their own ``explain``, and for each how it is to be explained, if at all."""
        if not isinstance(inputs, list):
            raise InstanceError(f"Found instances of type {type(inputs).__name__}; expected a list of instances.")
        instances, explain = [], []
        for position, instance in enumerate(inputs):
            own = None
            if isinstance(instance, Mapping) and "explain" in instance:
                own = self._forecaster.explainer.options(instance["explain"], where=f"instance {position}")
                instance = {name: value for name, value in instance.items() if name != "explain"}
            instances.append(instance)
            explain.append(own or explain_all)
        return instances, explain


class OnlineFeatures:
    """Reads the newest features of cells from the online store, connecting when first asked.

    Parameters
    ----------
    forecaster : Forecaster
        The model that the features are for.
    """

    def __init__(self, forecaster: Forecaster) -> None:
        self._signature = forecaster.signature
        self._cube = forecaster.cube
        self._view: Any = None
        self._connecting = threading.Lock()

    def resolve(self, instances: list[Any]) -> list[Any]:
        """Replace instances that name a cell by the features of that cell, leaving the others as they are."""
        return [
            self._vector(instance, position) if isinstance(instance, Mapping) and _KEYS & set(instance) else instance
            for position, instance in enumerate(instances)
        ]

    def _vector(self, instance: Mapping[str, Any], position: int) -> dict[str, float]:
        where = f"instance {position}"
        if set(instance) != _KEYS or isinstance(instance["cell_id"], bool) or not isinstance(instance["cell_id"], int):
            raise InstanceError(f'{where}: found {dict(instance)}; expected {{"cube": "...", "cell_id": 123}}.')
        if instance["cube"] != self._cube:
            raise InstanceError(f"{where}: found cube {instance['cube']!r}; this model is for {self._cube!r}.")
        key = {"cube": instance["cube"], "cell_id": instance["cell_id"]}
        row = self._connected().get_feature_vector(key, return_type="pandas", allow_missing=True)
        values = row.iloc[0].reindex(self._signature.inputs) if len(row) else pd.Series(dtype=float)
        if values.empty or values.isna().any():
            raise InstanceError(f"{where}: found no features of cell {instance['cell_id']} in the online store.")
        return {str(name): float(value) for name, value in values.items()}

    def _connected(self) -> Any:
        with self._connecting:
            if self._view is None:
                import hopsworks

                store = hopsworks.login().get_feature_store()
                view = store.get_feature_view(self._signature.feature_view, self._signature.feature_view_version)
                view.init_serving(self._signature.training_dataset_version)
                self._view = view
            return self._view
