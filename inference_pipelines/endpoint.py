"""What every use case's predictor has in common: reading a request, looking cells up in the online store, answering."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from deepcube.explain import ExplainOptions, ServedExplainer
from deepcube.oblivious import InstanceError, Signature

_KEYS = {"cube", "cell_id"}
_log = logging.getLogger(__name__)


def split_options(
    explainer: ServedExplainer, inputs: Any, explain: Any
) -> tuple[list[Any], list[ExplainOptions | None]]:
    """Take the wish for an explanation out of the instances of a request.

    Parameters
    ----------
    explainer : deepcube.explain.ServedExplainer
        What reads such a wish.
    inputs : object
        The instances as they came; each may have its own ``explain``.
    explain : object
        The ``explain`` beside the instances: the wish of those without their own.

    Returns
    -------
    (list, list of ExplainOptions or None)
        The instances without ``explain``, and for each how it is to be explained, if at all.

    Raises
    ------
    InstanceError, deepcube.explain.ExplainError
        If there are no instances, or a wish is not understood.
    """
    if not isinstance(inputs, list):
        raise InstanceError(f"Found instances of type {type(inputs).__name__}; expected a list of instances.")
    if not inputs:
        raise InstanceError("Found no instance; expected at least one.")
    for_all = explainer.options(explain)
    instances, wishes = [], []
    for position, instance in enumerate(inputs):
        own = None
        if isinstance(instance, Mapping) and "explain" in instance:
            own = explainer.options(instance["explain"], where=f"instance {position}")
            instance = {name: value for name, value in instance.items() if name != "explain"}
        instances.append(instance)
        wishes.append(own or for_all)
    return instances, wishes


def explained_by_wish(
    wishes: list[ExplainOptions | None], explain: Callable[[list[int], ExplainOptions], list[Any]]
) -> Iterator[tuple[int, Any]]:
    """Explain instances with equal wishes in one go; budgets all run from when the request came: the smallest is first.

    Parameters
    ----------
    wishes : list of ExplainOptions or None
        How each instance is to be explained, if at all.
    explain : callable
        From positions and a wish to one explanation for each.

    Yields
    ------
    (int, object)
        Position of an instance, and its explanation.
    """
    asked = dict.fromkeys(one for one in wishes if one is not None)
    for wanted in sorted(asked, key=lambda one: one.budget_seconds):
        positions = [position for position, one in enumerate(wishes) if one == wanted]
        yield from zip(positions, explain(positions, wanted), strict=True)


def answered(
    forecasts: list[dict[str, Any]],
    inputs: pd.DataFrame,
    wishes: list[ExplainOptions | None],
    explain: Callable[[pd.DataFrame, ExplainOptions], list[dict[str, Any]]],
    *,
    simulated: bool,
) -> list[dict[str, Any]]:
    """Put forecasts and their explanations together.

    Parameters
    ----------
    forecasts : list of dict
        One forecast per instance.
    inputs : pandas.DataFrame
        What the model was given, one row per instance.
    wishes : list of ExplainOptions or None
        How each is to be explained, if at all.
    explain : callable
        From rows of the inputs and a wish to their explanations.
    simulated : bool
        Whether the model was trained on a simulated cube, which explained answers say.

    Returns
    -------
    list of dict
        The forecast as it is, or ``prediction``, ``inputs``, ``explanation`` and, where it is true, ``simulated``.
    """
    answers = list(forecasts)
    for position, explanation in explained_by_wish(wishes, lambda some, wanted: explain(inputs.iloc[some], wanted)):
        answers[position] = {
            "prediction": forecasts[position],
            "inputs": inputs.iloc[position].to_dict(),
            "explanation": explanation,
            **({"simulated": True} if simulated else {}),
        }
    return answers


class OnlineFeatures:
    """Reads the newest features of cells from the online store, connecting before or when first asked.

    Parameters
    ----------
    signature : deepcube.oblivious.Signature
        What the model expects, and of which feature view.
    cube : str
        Name of the model's cube.
    """

    def __init__(self, signature: Signature, cube: str) -> None:
        self.signature = signature
        self.cube = cube
        self._view: Any = None
        self._connecting = threading.Lock()

    def connect(self) -> None:
        """Connect, if this is a deployment, so that no request waits for it: that takes longer than an explanation may.

        A failure is logged and tried again when a cell is asked for; instances that bring their values need no store.
        """
        if "DEPLOYMENT_NAME" in os.environ:
            try:
                self._ready()
            except Exception:
                _log.warning("No online store of %s yet", self.cube, exc_info=True)

    def resolve(self, instances: list[Any]) -> list[Any]:
        """Replace instances that name a cell by the features of that cell, leaving the others as they are.

        Raises
        ------
        InstanceError
            If an instance names a cell wrongly, of another cube, or one without features.
        """
        return [
            self._features(instance, f"instance {position}")
            if isinstance(instance, Mapping) and _KEYS & set(instance)
            else instance
            for position, instance in enumerate(instances)
        ]

    def connected(self, store: Any) -> None:
        """Look up what :meth:`key` needs; called once, before the first vector is read.

        Parameters
        ----------
        store : hsfs.feature_store.FeatureStore
            The project's feature store.
        """

    def key(self, cell: int) -> dict[str, Any] | None:
        """Return the serving key of a cell; None if there is no such cell."""
        return {"cube": self.cube, "cell_id": cell}

    def usable(self, values: pd.Series) -> bool:
        """Tell whether the features of a cell (1-D, by input) are enough for the model: here, whether none lacks."""
        return not values.isna().any()

    def _features(self, instance: Mapping[str, Any], where: str) -> dict[str, float | None]:
        cell = instance.get("cell_id")
        if set(instance) != _KEYS or isinstance(cell, bool) or not isinstance(cell, int):
            raise InstanceError(f'{where}: found {dict(instance)}; expected {{"cube": "...", "cell_id": 123}}.')
        if instance["cube"] != self.cube:
            raise InstanceError(f"{where}: found cube {instance['cube']!r}; this model is for {self.cube!r}.")
        view = self._ready()
        key = self.key(cell)
        row = None if key is None else view.get_feature_vector(key, return_type="pandas", allow_missing=True)
        values = pd.Series(dtype=float) if row is None or row.empty else row.iloc[0].reindex(self.signature.inputs)
        if values.empty or not self.usable(values):
            raise InstanceError(f"{where}: found no features of cell {cell} in the online store.")
        return {str(name): None if pd.isna(value) else float(value) for name, value in values.items()}

    def _ready(self) -> Any:
        with self._connecting:
            if self._view is None:
                import hopsworks

                store = hopsworks.login().get_feature_store()
                view = store.get_feature_view(self.signature.feature_view, self.signature.feature_view_version)
                view.init_serving(self.signature.training_dataset_version)
                self.connected(store)
                self._view = view
            return self._view
