"""A cube that is written again while the atlas has it open: the old one, a refusal or the new one, never a half."""

from __future__ import annotations

import io
import shutil
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import serve
from PIL import Image

from deepcube.atlas import Atlas
from deepcube.cubes import open_cube

ROWS, COLUMNS, BEFORE, AFTER = 60, 80, 6, 9


def write(path: Path, value: float, steps: int, slowly: float = 0.0) -> None:
    """Write a cube of one value, replacing what is there, chunk after chunk; its metadata are made one at the end."""
    data = xr.Dataset(
        {"level": (("time", "y", "x"), np.full((steps, ROWS, COLUMNS), value, np.float32), {"units": "1"})},
        {
            "time": pd.date_range("2020-01-01", periods=steps),
            "y": ("y", 45 - 0.01 * np.arange(ROWS), {"units": "degrees_north", "standard_name": "latitude"}),
            "x": ("x", 22 + 0.01 * np.arange(COLUMNS), {"units": "degrees_east", "standard_name": "longitude"}),
        },
    )
    data["level"].encoding["chunks"] = (1, ROWS // 2, COLUMNS)
    shutil.rmtree(path, ignore_errors=True)
    if not slowly:
        data.to_zarr(path, zarr_format=2, consolidated=True)
        return
    import zarr

    data.to_zarr(path, zarr_format=2, consolidated=False, compute=False)
    for step in range(steps):
        time.sleep(slowly)
        part = data.isel(time=[step]).drop_vars(["y", "x"])
        part.to_zarr(path, region={"time": slice(step, step + 1)}, zarr_format=2, consolidated=False)
    zarr.consolidate_metadata(path, zarr_format=2)


def colours(content: bytes) -> set[int]:
    """Return the colour numbers of a picture, without that of gaps."""
    return set(np.unique(np.asarray(Image.open(io.BytesIO(content)))).tolist()) - {0}


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    path = tmp_path / "changing.zarr"
    write(path, 1.0, BEFORE)
    return path


def test_a_cube_being_written_is_never_shown_half(cube: Path) -> None:
    picture = {"in": "changing", "layer": "level", "t": 0, "low": 0, "high": 4}
    with serve(Atlas([open_cube(cube)])) as served, httpx.Client(base_url=served.url, headers=served.headers) as client:

        def ask(call: str, **query: Any) -> httpx.Response:
            return client.get(f"/api/{call}", params=query, timeout=60)

        old = colours(ask("frame", **picture).content)
        stale = ask("layer", **{"in": "changing", "layer": "level"}).json()["version"]
        writing = threading.Thread(target=write, args=(cube, 3.0, AFTER, 0.05))
        writing.start()
        seen: list[set[int]] = []
        statuses: Counter[int] = Counter()
        done_at = 0.0
        while not done_at or time.monotonic() < done_at + 4:
            done_at = done_at or (0.0 if writing.is_alive() else time.monotonic())
            for step in range(BEFORE):
                answer = ask("frame", **{**picture, "t": step})
                statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    seen.append(colours(answer.content))
            series = ask("series", **{"in": "changing", "layer": "level", "lon": 22.3, "lat": 44.8})
            if series.status_code == 200:
                values = series.json()["series"][0]["values"]
                assert values in ([1.0] * BEFORE, [3.0] * AFTER)
        writing.join()
        new = colours(ask("frame", **{**picture, "t": AFTER - 1}).content)
        assert old != new and len(old) == len(new) == 1
        assert all(each in (old, new) for each in seen)
        assert seen[-1] == new
        assert set(statuses) == {200, 503} and statuses[503] > 0
        assert len(ask("layer", **{"in": "changing", "layer": "level"}).json()["times"]) == AFTER
        outdated = ask("frame", **picture, v=stale)
        assert outdated.status_code == 409
        assert "written again" in outdated.json()["error"]


def test_a_cube_that_is_gone_is_refused_and_seen_when_it_is_back(cube: Path) -> None:
    atlas = Atlas([open_cube(cube)])
    with serve(atlas) as served, httpx.Client(base_url=served.url, headers=served.headers) as client:
        query = {"in": "changing", "layer": "level", "lon": 22.3, "lat": 44.8}
        assert client.get("/api/series", params=query).status_code == 200
        shutil.rmtree(cube)
        refused = client.get("/api/series", params=query)
        assert refused.status_code == 503
        assert "changing" in refused.json()["error"]
        write(cube, 2.0, BEFORE)
        for _ in range(100):
            answer = client.get("/api/series", params=query)
            if answer.status_code == 200:
                break
            time.sleep(0.1)
        assert answer.json()["series"][0]["values"] == [2.0] * BEFORE


def test_what_does_not_change_is_not_opened_again(cube: Path) -> None:
    atlas = Atlas([open_cube(cube)])
    first = atlas.collection("changing")
    unchanged = atlas.steady("changing")
    assert unchanged()
    assert atlas.collection("changing") is first
    assert atlas.steady("nothing")()
    (cube / ".zattrs").write_text("{}")
    assert not unchanged()
