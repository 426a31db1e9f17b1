"""Requests that make no sense, to maps, series, exports and explanations: no server error, and no growth."""

from __future__ import annotations

import random
import resource
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from conftest import Served, serve

from deepcube.atlas import Atlas, Reasoner
from deepcube.atlas.atlas import Collection, Shown
from deepcube.atlas.predictions import PredictionTable
from deepcube.atlas.tables import table_layers
from deepcube.cubes import Variable, pixel_cells

GOOD = {"in": "small", "layer": "ndvi", "z": "5", "x": "18", "y": "12", "t": "3", "lon": "23", "lat": "39"}
EXPLAINED = {"in": "danger", "layer": "fire_probability", "t": "1", "lon": "22.02", "lat": "44.98"}
CALLS = ("tile", "frame", "layer", "series", "atlas", "session", "face", "export", "reason", "reason", "nothing", "")
NAMES = (*GOOD, "size", "low", "high", "palette", "axis", "other", "token", "as", "bounds", "at", "from", "to")
MOST_GROWTH_KIB = 96 * 1024


@pytest.fixture(scope="module")
def asked(cubes: list[Any]) -> Iterator[Served]:
    """Serve cubes, and predictions of a platform that answers nothing but errors."""
    longitude, latitude = np.meshgrid(22.0 + 0.004 * np.arange(20), 45.0 - 0.003 * np.arange(15))
    cells = pixel_cells(longitude, latitude)[0].ravel()
    days = pd.to_datetime(["2020-01-01", "2020-01-11"])
    rows = pd.concat(
        pd.DataFrame({"time": day, "cell_id": cells, "fire_probability": np.linspace(0, 1, 300), "model_version": 1})
        for day in days
    )
    variable = Variable("fire_probability", "table", ("time", "y", "x"), "1", "danger", "continuous")
    shown = {name: Shown(layer) for name, layer in table_layers(rows, [variable], "time").items()}
    group: Any = SimpleNamespace(name="wildfire_danger", feature_store_id=1)
    atlas = Atlas(cubes)
    atlas.add(Collection("danger", "Danger", shown, kind="predictions"))
    reasoner = Reasoner(SimpleNamespace(), PredictionTable("wildfire", group, None, rows, "time"))
    with serve(atlas, reasoners={"danger": reasoner}) as running:
        yield running


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_random_requests_never_break_it(asked: Served, count: int) -> None:
    answered: Counter[int] = Counter()
    reasons = 0
    with httpx.Client(base_url=asked.url, headers=asked.headers, timeout=60) as client:
        for number, (method, path) in enumerate(_requests(count)):
            answer = client.request(method, httpx.URL(client.base_url).copy_with(raw_path=path))
            answered[answer.status_code] += 1
            reasons += path.startswith(b"/api/reason") and answer.status_code == 200
            assert answer.status_code < 500, (path, answer.text)
            if number == count // 4:  # what is kept between requests is full by now
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert answered[200] > count // 20
    assert answered[400] > count // 20
    assert reasons > 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_GROWTH_KIB


def _requests(count: int) -> Iterator[tuple[str, bytes]]:
    generator = random.Random(8)
    for _ in range(count):
        call = generator.choice(CALLS)
        query = dict(EXPLAINED if call == "reason" else GOOD) if generator.random() < 0.7 else {}
        for name in generator.sample(NAMES, generator.randint(0, 4)):
            query[name] = _anything(generator)
        raw = "&".join(
            f"{name}={value.encode('utf-8', 'surrogateescape').hex() if generator.random() < 0.05 else value}"
            for name, value in query.items()
        )
        method = generator.choice(["GET"] * 8 + ["POST", "DELETE", "HEAD"])
        yield method, _escaped(f"/api/{call}?{raw}".encode("utf-8", "surrogateescape"))


def _anything(generator: random.Random) -> str:
    junk = [
        "",
        "-1",
        "0",
        "1e400",
        "nan",
        "inf",
        "١",
        "99999999999999999999",
        "%00",
        "../../etc/passwd",
        "<script>",
        "small",
        "ndvi",
        "hostile",
        "quantity",
        "rotated",
        "number",
        "\udcff",
        "3.5",
        "é" * 300,
        "1_0",
        "0x10",
        " 1",
        "None",
    ]
    if generator.random() < 0.6:
        return generator.choice(junk)
    return str(generator.choice([generator.uniform(-400, 400), generator.randint(-5, 90)]))


def _escaped(path: bytes) -> bytes:
    return b"".join(bytes([c]) if 33 <= c < 127 and c not in b'"<>\\^`{|}#' else b"%%%02X" % c for c in path)
