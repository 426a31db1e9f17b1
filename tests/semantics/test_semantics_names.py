"""Names that published cubes have and that IRIs do not allow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from deepcube.cubes import cell_at, cell_centre
from deepcube.semantics import SemanticCube, VectorStore
from deepcube.semantics.feature_triples import frame_features
from deepcube.semantics.loading import load_file


def test_a_variable_with_spaces_is_asked_with_underscores(tmp_path: Path) -> None:
    values = np.arange(4.0).reshape(1, 2, 2)
    data = xr.Dataset(
        {"1 km 16 days NDVI": (("time", "lat", "lon"), values)},
        {"time": np.array(["2020-01-01"], "datetime64[ns]"), "lat": [1.0, 0.0], "lon": [10.0, 11.0]},
    )
    data.to_zarr(tmp_path / "modis.zarr", consolidated=False)
    engine = SemanticCube([tmp_path / "modis.zarr"])
    answer = engine.query("SELECT ?o ?v { ?o sosa:observedProperty var:1_km_16_days_NDVI ; sosa:hasSimpleResult ?v }")
    found = {str(thing.value): float(value.value) for thing, value in answer.rows}
    assert sorted(found.values()) == [0.0, 1.0, 2.0, 3.0]
    assert all("/observation/1%20km%2016%20days%20NDVI/0/" in iri for iri in found)
    assert engine.query(f"ASK {{ <{next(iter(found))}> a sosa:Observation }}").truth is True


def test_a_class_that_no_feature_has_is_named_with_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "places.nt").write_text(
        "<urn:a> <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <https://w3id.org/deepcube/feature#Hospital> .\n"
    )
    store = VectorStore()
    store.add(load_file(tmp_path / "places.nt"))
    engine = SemanticCube(vector=store)
    wrong = engine.query("SELECT ?x\n{ ?x a feature:Hospitl }")
    assert list(wrong.rows) == []
    assert wrong.plan.notes == ["Line 2: the linked data have no feature:Hospitl; did you mean 'Hospital'?"]
    right = engine.query("SELECT ?x { ?x a feature:Hospital }")
    assert len(list(right.rows)) == 1
    assert right.plan.notes == []


def test_rows_that_name_their_cell_lie_at_its_middle() -> None:
    cells = cell_at([10.0, 20.5], [45.0, -3.25], 12)
    longitude, latitude = cell_centre(cells)
    frame = pd.DataFrame({"cell_id": cells, "danger": [0.1, 0.9]})
    found = list(frame_features(frame))
    assert [(point.x, point.y) for _, _, point in found] == list(zip(longitude, latitude, strict=True))
    assert [fields["cell_id"] for _, fields, _ in found] == cells.tolist()
    named = pd.DataFrame({"cell_id": cells, "lon": [1.0, 2.0], "lat": [3.0, 4.0]})
    assert [point.coords[0] for _, _, point in frame_features(named)] == [(1.0, 3.0), (2.0, 4.0)]
