"""Tables of predictions as layers, and explanations of deployments as the page reads them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from deepcube.atlas.reasons import read_explanation
from deepcube.atlas.tables import Places, TableError, table_layers
from deepcube.cubes import Variable, cell_centre, pixel_cells

VARIABLE = Variable("predicted_x", "table", ("time", "y", "x"), "mm", "x", "continuous")


def _rows(keys: bool) -> pd.DataFrame:
    """Return a value for every cell of a grid of 300 m at two times, but for some that are missing."""
    longitude, latitude = np.meshgrid(22.0 + 0.004 * np.arange(20), 45.0 - 0.003 * np.arange(15))
    cells, _ = pixel_cells(longitude, latitude)
    frames = []
    for number, time in enumerate(pd.to_datetime(["2020-01-01", "2020-01-11"])):
        frame = pd.DataFrame({"time": time, "predicted_x": np.arange(300.0) + 1000 * number})
        if keys:
            frame["cell_id"] = cells.ravel()
        else:
            frame["longitude"], frame["latitude"] = longitude.ravel(), latitude.ravel()
        frames.append(frame.drop(index=[7, 100]) if number else frame)
    return pd.concat(frames).sample(frac=1, random_state=0)


@pytest.mark.parametrize("keys", [True, False], ids=["cells", "degrees"])
def test_every_row_is_found_at_its_place(keys: bool) -> None:
    rows = _rows(keys)
    layer = table_layers(rows, [VARIABLE], "time")["predicted_x"]
    assert layer.times is not None
    assert len(layer.times) == 2
    if keys:
        longitude, latitude = cell_centre(rows["cell_id"].to_numpy())
    else:
        longitude, latitude = rows["longitude"].to_numpy(), rows["latitude"].to_numpy()
    for x, y, (_, row) in zip(longitude[:200], latitude[:200], rows.iterrows(), strict=False):
        cell = layer.placement.cell(float(x), float(y))
        assert cell is not None
        step = int(layer.times.get_indexer([row["time"]])[0])
        assert layer.series(*cell, slice(0, 2))[step] == row["predicted_x"]
        window = slice(cell[0], cell[0] + 1), slice(cell[1], cell[1] + 1)
        assert layer.read(step, window)[0, 0] == row["predicted_x"]


def test_what_is_missing_is_a_gap_and_the_rest_has_no_holes() -> None:
    layer = table_layers(_rows(False), [VARIABLE], "time")["predicted_x"]
    whole = tuple(slice(0, size) for size in layer.placement.shape)
    first, second = (layer.read(step, whole) for step in (0, 1))  # type: ignore[arg-type]
    inner = slice(2, -2)
    assert np.isfinite(first[inner, inner]).all()
    assert set(np.unique(first[np.isnan(second) & np.isfinite(first)])) == {7.0, 100.0}


def test_rows_without_a_place_are_refused() -> None:
    with pytest.raises(TableError, match="expected cell_id"):
        Places.of(pd.DataFrame({"name": ["x"]}))
    with pytest.raises(TableError, match="0 rows"):
        table_layers(_rows(True)[:0], [VARIABLE], "time")


def test_one_place_is_drawn() -> None:
    rows = pd.DataFrame({"longitude": [20.0], "latitude": [40.0], "time": ["2020-01-01"], "predicted_x": [3.0]})
    layer = table_layers(rows, [VARIABLE], "time")["predicted_x"]
    cell = layer.placement.cell(20.0, 40.0)
    assert cell is not None
    assert layer.series(*cell, slice(0, 1)).tolist() == [3.0]


def test_explanations_are_read_by_variable_and_lag() -> None:
    document = {
        "method": "integrated_gradients",
        "baseline": "a normal year",
        "units": "1",
        "base_value": {"a": 0.5, "b": 0.7},
        "completeness_error": {"a": 1e-4, "b": 2e-4},
        "attributions": {
            "a": {"ndvi_lag_0": 0.01, "ndvi_lag_2": -0.3, "climate_step_1": 0.02, "season_sin": 0.0},
            "b": {"ndvi_lag_0": 1.0},
        },
        "scores": {"faithfulness": {"a": 0.9, "b": 0.1}, "text": "x", "sparseness": 0.4},
        "left_out": ["kernel_shap"],
    }
    read = read_explanation(document, "a", {"ndvi_lag_2": 0.25})
    assert [(one["name"], one["lag"], one["value"], one["input"]) for one in read["attributions"]] == [
        ("ndvi", 2, -0.3, 0.25),
        ("climate", -1, 0.02, None),
        ("ndvi", 0, 0.01, None),
        ("season sin", None, 0.0, None),
    ]
    assert read["scores"] == {"completeness_error": 1e-4, "faithfulness": 0.9, "sparseness": 0.4}
    assert read["baseValue"] == 0.5
    assert read_explanation({"attributions": {"x": 0.1}}, "anything", {})["attributions"][0]["value"] == 0.1
    assert read_explanation(document, "unknown", {})["output"] == "a"
