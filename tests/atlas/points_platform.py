"""A platform in memory that holds scored interferograms, alerts and places, as the client would show them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from conftest import Served, serve

from deepcube.atlas import Again, Atlas, PointReasoner, Turns, load_predictions
from deepcube.atlas.pictures import png

KINDS = ("mogi", "dyke")
PICTURE = png(np.tile(np.arange(1, 97, dtype=np.uint8), (48, 1)), bytes(range(256)) * 3)
PATH = "/Projects/test/Resources/alerts/x.png"
VOLCANOES = {"etna": (15.0, 37.75), "sierra_negra": (-91.17, -0.83), "somewhere_else": None}


class Column:
    """A comparison of a column with a value."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> Any:
        return self.name, other

    __hash__ = None  # type: ignore[assignment]


class Group:
    """A feature group of a few rows."""

    def __init__(self, name: str, rows: pd.DataFrame, keys: list[str], time: str | None, **more: Any) -> None:
        self.name, self.rows, self.primary_key, self.event_time = name, rows, keys, time
        self.version, self.id, self.feature_store_id, self.description = 1, 1, 67, ""
        self.embedding_index: Any = None
        kinds = {"f": "double", "i": "int", "O": "string", "M": "timestamp"}
        self.features = [
            SimpleNamespace(
                name=column, type=kinds.get(rows[column].dtype.kind, "string"), description=f"About {column} (unit 1)"
            )
            for column in rows
        ]
        vars(self).update(more)

    def read(self) -> pd.DataFrame:
        return self.rows.copy()

    def select(self, names: list[str]) -> Any:
        return Group(self.name, self.rows[names], self.primary_key, self.event_time)

    def select_all(self) -> Any:
        return self

    def get_feature(self, name: str) -> Column:
        return Column(name)

    def filter(self, wanted: tuple[str, Any]) -> Any:
        return Group(self.name, self.rows[self.rows[wanted[0]] == wanted[1]], self.primary_key, self.event_time)

    def find_neighbors(self, embedding: list[float], col: str, k: int) -> list[tuple[float, list[Any]]]:
        apart = [float(np.linalg.norm(np.subtract(each, embedding))) for each in self.rows[col]]
        order = np.argsort(apart, kind="stable")[:k]
        return [(apart[row], list(self.rows.iloc[row])) for row in order]


def predictions() -> pd.DataFrame:
    """Return thirty scored interferograms of each volcano, a week apart."""
    rows = [
        {
            "cube": "patches",
            "patch_id": f"{name}-{number}",
            "time": pd.Timestamp("2020-01-05") + pd.Timedelta(weeks=number),
            "volcano": name,
            "file": f"{name}_{number}.png",
            "probability_deformation": (number + 1) / 31,
            "probability_mogi": 0.7,
            "probability_dyke": 0.3,
            "row": np.int32(7),
            "col": np.int32(9),
            "model_version": np.int32(2),
        }
        for name in VOLCANOES
        for number in range(30)
    ]
    return pd.DataFrame(rows)


def events() -> pd.DataFrame:
    """Return two alerts and one row below the threshold, scored long after they were taken."""
    why = {
        "method": "integrated_gradients",
        "baseline": "noise",
        "largest": {"rows 0-35, columns 0-35": 0.4},
        "error": 0.01,
    }
    made = [
        ("a", "etna", 0.9, 1, "20200107"),
        ("b", "sierra_negra", 0.2, 0, "20200108"),
        ("c", "etna", 0.8, 1, "20200210"),
    ]
    rows = [
        {
            "event_id": name * 64,
            "time": pd.Timestamp("2026-05-01"),
            "source": "inbox",
            "file": f"{name}.png",
            "volcano": volcano,
            "second_date": date,
            "probability_deformation": value,
            "model": "volcano_patches",
            "model_version": np.int32(2),
            "threshold": 0.5,
            "alert": np.int32(alert),
            "explanation": json.dumps(why if alert else {}),
        }
        for name, volcano, value, alert, date in made
    ]
    return pd.DataFrame(rows)


def places(identities: dict[str, tuple[float, float]] | None = None) -> pd.DataFrame:
    """Return places of volcanoes by a catalogue, and of interferograms by their georeference."""
    named = [
        {
            "place": name.replace("_", ""),
            "name": name,
            "longitude": at[0],
            "latitude": at[1],
            "known_from": "catalogue x.csv",
        }
        for name, at in VOLCANOES.items()
        if at is not None
    ]
    own = [
        {"place": key, "name": "", "longitude": at[0], "latitude": at[1], "known_from": "georeference of the file"}
        for key, at in (identities or {}).items()
    ]
    return pd.DataFrame(named + own)


class Store:
    """A feature store."""

    def __init__(self, groups: list[Group]) -> None:
        self.groups = {group.name: group for group in groups}

    def get_feature_groups(self) -> list[Group]:
        return list(self.groups.values())

    def get_feature_group(self, name: str, version: int | None = None) -> Any:
        if name not in self.groups:
            raise LookupError(name)
        return self.groups[name]

    def get_feature_view(self, name: str) -> Any:
        return SimpleNamespace(description="SIMULATED DATA: patches")


def embeddings() -> Group:
    """Return a vector for each prediction: the later, the larger."""
    rows = predictions()[["cube", "patch_id", "time", "volcano", "probability_deformation"]]
    rows = rows.assign(deformation=np.arange(90) % 2, embedding=pd.Series([[float(n % 30), 1.0] for n in range(90)]))
    group = Group("volcano_embeddings", rows, ["cube", "patch_id"], "time")
    group.embedding_index = SimpleNamespace(get_embeddings=lambda: [SimpleNamespace(name="embedding")])
    return group


class Deployment:
    """A deployment that explains, once it is let."""

    name, model_name, model_version = "volcanopatches", "volcano_patches", 2

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.wait: Any = lambda: None

    def is_running(self, or_idle: bool = False) -> bool:
        return True

    def predict(self, data: Any) -> Any:
        self.asked.append(data)
        self.wait()
        explanation = {
            "method": "integrated_gradients",
            "baseline": "noise",
            "base_value": {"deformation": 0.1},
            "completeness_error": {"deformation": 0.002},
            "attributions": {"deformation": {"rows 0-35, columns 0-35": 0.3, "rows 36-71, columns 0-35": -0.1}},
            "scores": {"complexity": {"deformation": 0.5}},
        }
        return {"predictions": [{"explanation": explanation}]}


def project(store: Store, deployment: Deployment, files: dict[str, bytes] | None = None) -> Any:
    """Return a project with a store, a model and its deployment."""
    held = files or {}
    model = SimpleNamespace(
        name="volcano_patches",
        version=2,
        description="SIMULATED DATA: finds deformation",
        training_metrics={"auroc": 0.9},
        get_url=lambda: "https://host/p/119/models/volcano_patches/2",
        get_training_dataset_provenance=lambda: None,
        get_feature_view=lambda: None,
    )
    registry = SimpleNamespace(get_model=lambda name, version=None: model if name == model.name else None)
    datasets = SimpleNamespace(read_content=lambda path: SimpleNamespace(content=held[path]))
    return SimpleNamespace(
        name="test",
        get_feature_store=lambda: store,
        get_model_registry=lambda: registry,
        get_model_serving=lambda: SimpleNamespace(get_deployments=lambda: [deployment]),
        get_job_api=lambda: SimpleNamespace(get_job=lambda name: None),
        get_dataset_api=lambda: datasets,
    )


@contextmanager
def served_points(deployment: Deployment) -> Iterator[Served]:
    """Serve an atlas of scored interferograms and alerts."""
    labels = predictions()[["cube", "patch_id", "time"]].assign(deformation=np.arange(90) % 30 >= 15)
    store = Store(
        [
            Group("volcano_predictions", predictions(), ["cube", "patch_id"], "time"),
            Group("volcano_events", events(), ["event_id"], "time"),
            Group("volcano_places", places({"etna-3": (15.2, 37.8)}), ["place"], None),
            Group("volcano_labels", labels, ["cube", "patch_id"], "time"),
            embeddings(),
        ]
    )
    held, atlas, turns = project(store, deployment, {PATH: PICTURE}), Atlas(), Turns()
    again = Again(
        lambda project, row: {"phase": [[0.0]]} if "patch_id" in row else None,
        lambda row: "Resources/alerts/x.png" if row.get("alert") else None,
    )
    reasoners = {}
    for table, collection in load_predictions(held, atlas.notes.append):
        reasoners[collection.id] = PointReasoner(held, table, lambda: atlas.collections, turns, again)
        atlas.add(collection)
    with serve(atlas, reasoners=reasoners) as running:
        yield running
