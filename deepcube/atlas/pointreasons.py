"""Why a point is what it is: an interferogram that was scored, or an alert that it raised.

An alert keeps the explanation that it was raised with, and its picture. For other rows the deployment explains anew,
from inputs that the use case gives (:class:`Again`). Similar past cases come from the similarity index of the feature
group ``<use case>_embeddings``, where there is one.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from deepcube.atlas.atlas import Collection
from deepcube.atlas.errors import NotThereError, RequestError
from deepcube.atlas.evidence import CASES, calibration_of
from deepcube.atlas.layers import Stop, nobody_left
from deepcube.atlas.lineage import artifact, executions, tried
from deepcube.atlas.points import PointLayer, stored_explanation, told
from deepcube.atlas.pointtables import CERTAIN, truth_column
from deepcube.atlas.predictions import PredictionTable
from deepcube.atlas.reasons import MissingError, Reasoner, read_explanation
from deepcube.atlas.turns import Turns, go_on

MOST_PICTURE_BYTES = 8 << 20
"""Largest picture that is passed on."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PAST_ROWS = 12  # of one place that are listed
_SAID = {"file", "source", "volcano", "explanation", "model", "model_version", "alert"}  # told elsewhere
_TOLD_ELSEWHERE = _SAID | {"row", "col", "event_id", "patch_id", "cube"}


@dataclass(frozen=True)
class Again:
    """What a use case can tell again of a row that it has written.

    Attributes
    ----------
    instance : callable
        Returns what the deployment explains for a row, as ``instance(project, row)``; None where it is not kept.
    picture : callable
        Returns where the row's picture lies in the project's files, as ``picture(row)``; None where it has none.
    """

    instance: Callable[[Any, Mapping[str, Any]], Mapping[str, Any] | None] = lambda project, row: None
    picture: Callable[[Mapping[str, Any]], str | None] = lambda row: None


class PointReasoner(Reasoner):
    """Tells of the points of one table.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    table : PredictionTable
        The predictions.
    opened : callable, optional
        Returns what the atlas shows.
    turns : Turns, optional
        Shared with all who ask the same client.
    again : Again, optional
        What the use case can tell again.
    """

    def __init__(
        self,
        project: Any,
        table: PredictionTable,
        opened: Callable[[], Iterable[Collection]] = tuple,
        turns: Turns | None = None,
        again: Again | None = None,
    ) -> None:
        super().__init__(project, table, opened, turns)
        self._again = again or Again()
        self._titles = {feature.name: feature.name.replace("_", " ") for feature in table.group.features} | _TITLES
        self._pictures: dict[str, bytes | None] = {}
        self._holding = threading.Lock()

    def explain_point(
        self, name: str, layer: PointLayer, place: int, step: int, stop: Stop = nobody_left
    ) -> dict[str, Any]:
        """Tell why the newest row of a place is what it is.

        Parameters
        ----------
        name : str
            Column of the prediction, or ``alert``.
        layer : PointLayer
            Its layer.
        place : int
            Number of the place.
        step : int
            Position on the time axis; rows after it are not looked at.
        stop : callable
            Tells whether the client has left.

        Returns
        -------
        dict
            As of :meth:`deepcube.atlas.reasons.Reasoner.explain`; beside, ``facts``, what else the row tells;
            ``others``, earlier rows of the place; ``picture``, whether there is one.

        Raises
        ------
        RequestError
            If there is no row there at that time.
        StoppedError
            If the client has left.
        """
        here = layer.rows_at(place, step)
        if not len(here):
            raise RequestError("There is no prediction at this place until this time.")
        position = int(here[-1])
        row = layer.table.iloc[position]
        value, time = float(layer.values[position]), layer.times[layer.step[position]]

        def answer() -> dict[str, Any]:
            version = int(row["model_version"]) if pd.notna(row.get("model_version")) else None
            model = self._remembered(
                ("model", row.get("model"), version), lambda: tried(lambda: self._of(row, version))
            )
            described = self._described(name, value, layer.variable.units, time, self._key(row), version, model)
            output = name.removeprefix(CERTAIN)
            described["calibration"] = self._calibration(name, layer, value)
            described["lineage"] = [*self._own_lineage(row), *described["lineage"]]
            left_out = _TOLD_ELSEWHERE | {name} | ({self._table.time} if "second_date" not in row else set())
            described["facts"] = [*_most_like(row, output), *told(row, left_out, self._titles)]
            described["others"] = [_tell(layer, int(other)) for other in here[-2 : -2 - _PAST_ROWS : -1]]
            described["picture"] = self._again.picture(_document(row)) is not None
            try:
                explanation = stored_explanation(row.get("explanation")) or self._anew(model, row, stop)
                described["explanation"] = read_explanation(explanation, output, {})
                described["stored"] = bool(row.get("explanation")) and row.get("explanation") != "{}"
            except MissingError as missing:
                described["missing"] = str(missing)
            go_on(stop)
            described["similar"] = tried(lambda: self._alike(row, layer)) or []
            return described

        return self._turns.take(answer, stop)

    def picture(self, layer: PointLayer, place: int, step: int, stop: Stop = nobody_left) -> bytes:
        """Return the picture of the newest row of a place, a PNG.

        Raises
        ------
        NotThereError
            If it has none.
        StoppedError
            If the client has left.
        """
        here = layer.rows_at(place, step)
        path = self._again.picture(_document(layer.table.iloc[int(here[-1])])) if len(here) else None
        if path is None:
            raise NotThereError("There is no picture of this prediction.")
        if path not in self._pictures:
            found = self._turns.take(lambda: tried(lambda: self._read_picture(path)), stop)
            with self._holding:
                while len(self._pictures) >= _PAST_ROWS:
                    del self._pictures[next(iter(self._pictures))]
                self._pictures[path] = found
        content = self._pictures.get(path)
        if content is None:
            raise NotThereError(f"The picture {path} is not among the project's files any more.")
        return content

    def _read_picture(self, path: str) -> bytes | None:
        content: bytes = self._project.get_dataset_api().read_content(f"/Projects/{self._project.name}/{path}").content
        return content if content.startswith(_PNG) and len(content) <= MOST_PICTURE_BYTES else None

    def _key(self, row: pd.Series) -> str:
        return "/".join(str(row[key]) for key in self._table.group.primary_key if key in row)

    def _of(self, row: pd.Series, version: int | None) -> Any:
        """Return the model that a row names, or that its table belongs to."""
        if isinstance(row.get("model"), str):
            return self._project.get_model_registry().get_model(row["model"], version=version)
        return self._model(version)

    def _own_lineage(self, row: pd.Series) -> list[dict[str, str]]:
        """Return the file that a row was made from, and the execution that looked for it."""
        file, source = str(row.get("file") or ""), str(row.get("source") or "")
        found = [artifact("File", f"{source}/{file}" if source else file, "")] if file else []
        if "alert" in row:
            found += executions(self._project, f"{self._table.use_case}_alert", None)
        return found

    def _calibration(self, name: str, layer: PointLayer, value: float) -> dict[str, Any] | None:
        known = truth_column(name)
        if known not in layer.table:
            return None
        came = layer.table[known].to_numpy(float)
        held = np.isfinite(came) & (came >= 0) & np.isfinite(layer.values)
        forecast = layer.values[held].astype(float)
        return calibration_of(forecast, came[held], np.ones(len(forecast)), value)

    def _anew(self, model: Any, row: pd.Series, stop: Stop) -> Mapping[str, Any]:
        """Have the deployment explain a row."""
        if model is None:
            raise MissingError("The registry has no model of this version.")
        instance = tried(lambda: self._again.instance(self._project, _document(row)))
        if instance is None:
            raise MissingError("What the model saw is not kept in the feature store, so nothing can explain it.")
        go_on(stop)
        return self._explanation(model, instance)

    def _alike(self, row: pd.Series, layer: PointLayer) -> list[dict[str, Any]]:
        """Return past cases near in the similarity index of the feature store."""
        group = self._remembered("embeddings", lambda: tried(self._embeddings))
        if group is None:
            return []
        keys = [key for key in group.primary_key if key in row]
        query = group.select_all()
        for key in keys:
            query = query.filter(group.get_feature(key) == row[key])
        own = query.read() if keys else pd.DataFrame()
        if own.empty:
            return []
        column = next(iter(group.embedding_index.get_embeddings())).name
        names = [feature.name for feature in group.features]
        found = group.find_neighbors([float(each) for each in own.iloc[0][column]], col=column, k=4 * CASES)
        cases = pd.DataFrame([dict(zip(names, values, strict=True)) | {"distance": far} for far, values in found])
        if cases.empty:
            return []
        before = pd.to_datetime(cases[group.event_time], utc=True).dt.tz_localize(None)
        same = np.logical_and.reduce([cases[key].astype(str) == str(row[key]) for key in keys])
        when = pd.to_datetime(row[self._table.time], utc=True).tz_localize(None)
        cases = cases.assign(moment=before)[~same & (before < when).to_numpy()].head(CASES)
        return [self._case(case, keys, layer) for _, case in cases.iterrows()]

    def _embeddings(self) -> Any:
        group = self._project.get_feature_store().get_feature_group(f"{self._table.use_case}_embeddings")
        return group if group is not None and group.embedding_index is not None else None

    def _case(self, case: pd.Series, keys: list[str], layer: PointLayer) -> dict[str, Any]:
        """Tell of a similar case, with its place where it has one."""
        matches = np.logical_and.reduce([layer.table[key].astype(str) == str(case[key]) for key in keys])
        position = next(iter(np.flatnonzero(matches)), None)
        seen = _tell(layer, int(position)) if position is not None else None
        labels = [name for name in case.index if name == layer.variable.name.removeprefix(CERTAIN)]
        truth = float(case[labels[0]]) if labels and float(case[labels[0]]) >= 0 else None
        place = layer.placement.centre(int(layer.place[position]), 0) if position is not None else (None, None)
        return {
            "time": str(pd.Timestamp(case["moment"]).isoformat()),
            "longitude": place[0],
            "latitude": place[1],
            "title": str(case.get("volcano") or case.get("name") or ""),
            "distance": float(case["distance"]),
            "predicted": seen["value"] if seen else None,
            "truth": truth,
        }


_TITLES = {"place_name": "place", "known_from": "place known from"}


def _document(row: pd.Series) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _most_like(row: pd.Series, output: str) -> list[list[Any]]:
    """Return of which kind a row most likely is, where it tells the probabilities of several kinds."""
    kinds = {
        str(name).removeprefix(CERTAIN): float(value)
        for name, value in row.items()
        if str(name).startswith(CERTAIN) and isinstance(value, float) and math.isfinite(value)
    }
    kinds = {kind: value for kind, value in kinds.items() if kind != next(iter(kinds)) and kind != output}
    if len(kinds) < 2:
        return []
    kind = max(kinds, key=lambda one: kinds[one])
    return [["most like", f"{kind}, {kinds[kind]:.0%} probable"]]


def _tell(layer: PointLayer, position: int) -> dict[str, Any]:
    row = layer.table.iloc[position]
    return {
        "time": str(layer.times[layer.step[position]].isoformat()),
        "value": float(layer.values[position]),
        "file": str(row.get("file") or ""),
    }
