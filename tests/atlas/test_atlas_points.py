"""Scored interferograms and alerts as points: where they lie, when, why, and what is like them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pandas as pd
import points_platform as platform
import pytest
from conftest import Served

from deepcube.atlas import StoppedError, Turns, load_predictions
from deepcube.atlas.points import PointLayer, stored_explanation
from deepcube.atlas.pointtables import located, moments
from deepcube.cubes import Variable

EVENTS, SET = "volcano_events", "volcano_predictions_patches"
ETNA = {"lon": 15.0, "lat": 37.75}


@pytest.fixture(scope="module")
def deployment() -> platform.Deployment:
    return platform.Deployment()


@pytest.fixture(scope="module")
def asked(deployment: platform.Deployment) -> Iterator[Served]:
    """Serve the points of a platform."""
    with platform.served_points(deployment) as running:
        yield running


def get(asked: Served, call: str, **query: Any) -> httpx.Response:
    return httpx.get(f"{asked.url}/api/{call}", params=query, headers=asked.headers, timeout=60)


def test_rows_lie_where_their_file_or_the_catalogue_says_and_nowhere_else() -> None:
    rows = platform.predictions()
    found = located(rows, ["cube", "patch_id"], platform.places({"etna-3": (15.2, 37.8)}))
    assert len(found) == 60, "of the third volcano nothing is known"
    own = found[found["patch_id"] == "etna-3"].iloc[0]
    assert (own["longitude"], own["known_from"]) == (15.2, "georeference of the file")
    rest = found[(found["volcano"] == "etna") & (found["patch_id"] != "etna-3")]
    assert set(rest["longitude"]) == {15.0} and set(rest["known_from"]) == {"catalogue x.csv"}
    assert set(found["place_name"]) == {"etna", "sierra negra"}
    assert located(rows, ["patch_id"], platform.places()[:0]).empty


def test_alerts_are_dated_by_what_they_are_about() -> None:
    rows = platform.events().assign(second_date=["20200107", "", "20200210"])
    assert [str(each.date()) for each in moments(rows, "time")] == ["2020-01-07", "2026-05-01", "2020-02-10"]


def test_the_newest_row_of_every_place_is_shown() -> None:
    days = pd.Series(pd.to_datetime(["2020-01-03", "2020-01-01", "2020-01-03", "2020-01-02"]))
    table = pd.DataFrame({"longitude": [1.0, 1, 1, 5], "latitude": [2.0, 2, 2, 6], "x": [0.3, 0.1, 0.9, 0.5]})
    layer = PointLayer(Variable("x", "table", ("time",), "1", "x", "continuous"), table, days)
    whole = slice(None), slice(None)
    steps = [layer.read(step, whole)[:, 0].tolist() for step in range(3)]
    places = [layer.placement.centre(place, 0)[0] for place in range(2)]
    shown = [dict(zip(places, values, strict=True)) for values in steps]
    assert [each[1.0] for each in shown] == pytest.approx([0.1, 0.1, 0.9]), "of two rows at once the greater"
    assert np.isnan(shown[0][5.0]) and shown[1][5.0] == shown[2][5.0] == 0.5


def test_alerts_are_a_layer_of_their_own(asked: Served) -> None:
    listed = {each["id"]: each for each in get(asked, "atlas").json()["collections"]}
    assert [layer["id"] for layer in listed[EVENTS]["layers"]] == ["alert", "probability_deformation"]
    layer = get(asked, "layer", **{"in": EVENTS, "layer": "alert"}).json()
    assert (layer["mode"], layer["times"]) == ("points", ["2020-01-07", "2020-02-10"])
    points = get(asked, "points", **{"in": EVENTS, "layer": "alert"}).json()
    assert points["symbol"] == "triangle"
    assert points["places"] == [[15.0, 37.75, "etna"]]
    assert points["rows"] == [[0, 0, 0.9], [0, 1, 0.8]]


def test_what_has_no_place_is_said(asked: Served) -> None:
    contents = get(asked, "atlas").json()
    assert [note.split(" have")[0] for note in contents["notes"]] == [
        "30 of 90 rows of volcano_predictions for patches"
    ]
    known = {each["id"]: each for each in contents["collections"]}
    assert known[SET]["leftOut"] == contents["notes"]
    assert known[SET]["simulated"], "as the view of the set says"


def test_a_set_without_any_place_is_a_note() -> None:
    store = platform.Store(
        [platform.Group("volcano_predictions", platform.predictions(), ["cube", "patch_id"], "time")]
    )
    notes: list[str] = []
    assert load_predictions(platform.project(store, platform.Deployment()), notes.append) == []
    assert notes[0].startswith("90 of 90 rows")


def test_an_alert_tells_why_with_its_picture(asked: Served, deployment: platform.Deployment) -> None:
    before = len(deployment.asked)
    query = {"in": EVENTS, "layer": "alert", "t": 1, **ETNA}
    reason = get(asked, "reason", **query).json()
    assert (reason["value"], reason["time"][:10], reason["stored"]) == (pytest.approx(0.8), "2020-02-10", True)
    assert reason["explanation"]["attributions"][0]["value"] == 0.4
    assert reason["explanation"]["scores"] == {"completeness_error": 0.01}
    assert reason["model"]["version"] == 2 and reason["model"]["metrics"] == {"auroc": 0.9}
    assert [other["file"] for other in reason["others"]] == ["a.png"]
    assert dict(reason["facts"])["place known from"] == "catalogue x.csv"
    assert {"kind": "File", "name": "inbox/c.png", "url": ""} in reason["lineage"]
    assert len(deployment.asked) == before, "nobody need be asked"
    picture = get(asked, "picture", **query)
    assert (picture.content, picture.headers["content-type"]) == (platform.PICTURE, "image/png")
    below = {"in": EVENTS, "layer": "probability_deformation", "t": 1, "lon": -91.17, "lat": -0.83}
    assert get(asked, "picture", **below).status_code == 404
    assert "not kept" in get(asked, "reason", **below).json()["missing"]


def test_a_prediction_is_explained_anew_with_similar_past_cases(asked: Served) -> None:
    reason = get(asked, "reason", **{"in": SET, "layer": "probability_deformation", "t": 20, **ETNA}).json()
    assert reason["explanation"]["scores"] == {"completeness_error": 0.002, "complexity": 0.5}
    assert reason["explanation"]["baseValue"] == 0.1
    share = reason["calibration"]
    assert share["count"] >= 20 and share["low"] <= reason["value"] <= share["high"] and 0 <= share["share"] <= 1
    assert dict(reason["facts"])["probability dyke"] == 0.3
    assert dict(reason["facts"])["most like"] == "mogi, 70% probable"
    cases = reason["similar"]
    assert len(cases) == 3
    assert all(case["time"] < reason["time"] for case in cases)
    assert [case["distance"] for case in cases] == sorted(case["distance"] for case in cases)
    assert {case["title"] for case in cases} <= set(platform.VOLCANOES)


def test_series_of_points_hold_their_own_times_only(asked: Served) -> None:
    answer = get(asked, "series", **{"in": EVENTS, "layer": "probability_deformation", **ETNA}).json()
    (series,) = answer["series"]
    assert (series["times"], series["values"]) == (["2020-01-07", "2020-02-10"], [0.9, 0.8])
    assert get(asked, "series", **{"in": EVENTS, "layer": "alert", "lon": 0, "lat": 0}).json()["beyond"] == ["alert"]


def test_points_are_exported_as_points(asked: Served) -> None:
    query = {"in": SET, "layer": "probability_deformation", "t": 29}
    found = json.loads(get(asked, "export", **query, **{"as": "geojson"}).content)["features"]
    assert {each["geometry"]["type"] for each in found} == {"Point"}
    near = get(asked, "export", **query, **{"as": "csv", "bounds": "14,37,15.1,38"}).text.splitlines()
    assert near[0] == "longitude,latitude,time,place,probability_deformation (1)"
    assert len(near) == 2 and near[1].startswith("15.000000,37.750000,2020-07-26T00:00:00,etna,")


@pytest.mark.parametrize("call", ["tile?z=1&x=1&y=1", "frame?", "face?axis=t&at=0&from=0&to=1"])
def test_points_are_no_picture(asked: Served, call: str) -> None:
    name, _, query = call.partition("?")
    answer = httpx.get(
        f"{asked.url}/api/{name}?{query}&in={SET}&layer=probability_deformation&t=0", headers=asked.headers
    )
    assert answer.status_code == 400
    assert "oints" in answer.json()["error"]


def test_an_explanation_that_nobody_waits_for_holds_nobody_up(asked: Served, deployment: platform.Deployment) -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        leave.wait(60)

    deployment.wait = wait
    query: dict[str, Any] = {"in": SET, "layer": "probability_deformation", "t": 5, **ETNA}
    try:
        for _ in range(12):  # more than are answered at once
            with pytest.raises(httpx.TimeoutException):
                httpx.get(f"{asked.url}/api/reason", params=query, headers=asked.headers, timeout=0.2)
        assert entered.wait(10)
        assert get(asked, "points", **{"in": EVENTS, "layer": "alert"}).status_code == 200
        asked_before = len(deployment.asked)
        deployment.wait = lambda: None
    finally:
        leave.set()
    assert get(asked, "reason", **query).json()["explanation"] is not None
    assert len(deployment.asked) == asked_before + 1, "what was given up while it waited was never asked"


def test_work_whose_asker_has_left_is_given_up() -> None:
    turns, left, busy = Turns(), threading.Event(), threading.Event()
    began = time.monotonic()
    threading.Timer(0.2, left.set).start()
    with pytest.raises(StoppedError):
        turns.take(lambda: busy.wait(30), left.is_set)
    assert time.monotonic() - began < 10
    with pytest.raises(StoppedError):
        turns.take(lambda: pytest.fail("must not begin"), lambda: True)
    busy.set()
    assert turns.take(lambda: 3, lambda: False) == 3
    with pytest.raises(ZeroDivisionError):
        turns.take(lambda: 1 // 0, lambda: False)


@pytest.mark.parametrize("text", [None, "", "{}", "[]", "[" * 100_000, '{"largest": 3}', float("nan")])
def test_what_is_no_explanation_is_none(text: Any) -> None:
    assert stored_explanation(text) is None
