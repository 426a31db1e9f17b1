"""The impact index by district and month, by hand."""

import numpy as np
import pandas as pd
import pytest

from features import drought
from features.drought.quantiles import LEVELS
from inference_pipelines.drought.batch import PREDICTED
from inference_pipelines.drought.impact import districts_of, draw_impact, impact_rows, impact_scores

TIMES = pd.to_datetime(["2020-01-05", "2020-01-15", "2020-01-25"])
CELLS = [11, 12]
OFFSETS = np.tile(np.linspace(-0.04, 0.04, len(LEVELS)), (3, 1))


def tables(predicted: float, observed: float) -> tuple[pd.DataFrame, ...]:
    keys = pd.DataFrame([("here", cell, time) for cell in CELLS for time in TIMES], columns=[*drought.KEYS, "time"])
    inputs = keys.assign(**dict.fromkeys(drought.CLIMATOLOGY, 0.5), ndvi_climatology_now=0.5, ndvi_last_observed=0.3)
    rows = keys.assign(**dict.fromkeys(PREDICTED, predicted))
    truth = keys.assign(**dict.fromkeys(drought.LABELS, observed))
    spread = pd.DataFrame(
        [(cell, s, 0.1) for cell in CELLS for s in range(40)], columns=["cell_id", "season", "ndvi_std"]
    )
    return inputs, rows, truth, spread


def index(predicted: float, observed: float = 0.5, districts: dict[int, str] | None = None) -> pd.DataFrame:
    named = pd.Series(districts or {11: "north", 12: "south"})
    return impact_rows(*tables(predicted, observed), named, OFFSETS)


def test_every_forecast_counts_in_the_month_and_district_of_its_target():
    found = index(0.5)
    assert set(zip(found["district"], found["month"].dt.strftime("%Y-%m"), strict=True)) == {
        (district, month) for district in ("north", "south") for month in ("2020-01", "2020-02")
    }
    per_month = found.groupby("month")["forecasts"].sum()
    assert per_month.tolist() == [6, 12], "targets of 15 and 25 January, the latter twice, are of that month"
    assert index(0.5, districts={11: "north"})["district"].unique().tolist() == ["north"]


def test_the_index_is_the_chance_to_be_far_below_normal():
    assert index(0.4)["impact_index"].to_numpy() == pytest.approx(50), "the threshold is the median"
    assert (index(0.6)["impact_index"] < 10).all() and (index(0.2)["impact_index"] > 90).all()
    values = [index(value)["impact_index"].mean() for value in np.linspace(0.2, 0.6, 9)]
    assert (np.diff(values) <= 1e-9).all()
    assert index(0.45)["mean_departure"].to_numpy() == pytest.approx(-0.05)
    assert (index(0.5)["persistence_index"] == 100).all(), "0.3 was seen last, 0.5 is normal, 0.1 the spread"


def test_the_index_is_scored_where_something_was_observed():
    right = impact_scores(index(0.2, 0.2))
    assert right["rmse"]["model"] < right["rmse"]["climatology"] and right["rmse"]["persistence"] == 0
    assert right["n"] == 4 and right["districts"] == 2 and right["months"] == 2
    unseen = index(0.2, np.nan)
    assert unseen["observed_index"].isna().all() and (unseen["observations"] == 0).all()
    assert impact_scores(unseen)["rmse"]["model"] is None


def test_districts_are_polygons_with_names(tmp_path):
    grid = pd.DataFrame({"cell_id": [1, 2, 3], "longitude": [0.5, 1.5, 9.0], "latitude": [0.5, 0.5, 9.0]})

    def square(west: float, name: str) -> dict[str, object]:
        ring = [[west, 0], [west + 1, 0], [west + 1, 1], [west, 1], [west, 0]]
        return {"type": "Feature", "properties": {"name": name}, "geometry": {"type": "Polygon", "coordinates": [ring]}}

    found = districts_of({"type": "FeatureCollection", "features": [square(0, "west"), square(1, "east")]}, grid)
    assert found.to_dict() == {1: "west", 2: "east"}, "the third cell lies outside all"
    with pytest.raises(ValueError, match="named features"):
        districts_of({"type": "FeatureCollection", "features": []}, grid)
    assert draw_impact(index(0.4), tmp_path / "impact.png", title="here").read_bytes()[:4] == b"\x89PNG"
