"""The server: the key, the headers, and what it answers."""

from __future__ import annotations

import socket
import stat
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import KEY, Served, serve

from deepcube.atlas import Atlas, Sessions, read_key
from deepcube.atlas.errors import StoppedError
from deepcube.cubes import fit_climatology, season_of

CALLS = (
    "atlas",
    "layer?in=small&layer=ndvi",
    "tile?in=small&layer=ndvi&z=0&x=0&y=0&t=0",
    "frame?in=small&layer=ndvi&t=0",
    "series?in=small&layer=ndvi&lon=23&lat=39",
)


@pytest.fixture(scope="module")
def client(served: Served) -> Any:
    with httpx.Client(base_url=served.url, headers=served.headers, timeout=60) as client:
        yield client


@pytest.mark.parametrize("call", CALLS)
def test_every_call_needs_the_key(served: Served, call: str) -> None:
    url = f"{served.url}/api/{call}"
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": KEY}, {"cookie": "deepcube-atlas=x"}):
        assert httpx.get(url, headers=headers).status_code == 401
    assert httpx.get(url, headers=served.headers).status_code == 200


def test_every_answer_has_the_headers(served: Served, client: httpx.Client) -> None:
    paths = [
        "/",
        "/static/atlas.js",
        "/static/nothing",
        "/nothing",
        "/api/nothing",
        "/enter?token=x",
        *(f"/api/{c}" for c in CALLS),
    ]
    for path in paths:
        for answer in (client.get(path), httpx.get(served.url + path)):
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.status_code < 500


def test_it_answers_to_its_own_name_only(served: Served) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "", "localhost.evil:80"):
        assert httpx.get(f"{served.url}/api/atlas", headers={**served.headers, "host": host}).status_code in (400, 421)


def test_a_one_time_address_signs_in_once(served: Served) -> None:
    address = served.entrance()
    with httpx.Client() as browser:
        answer = browser.get(address)
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert browser.get(f"{served.url}/api/atlas").status_code == 200
        assert browser.delete(f"{served.url}/api/session", headers={"origin": "http://evil.example"}).status_code == 403
        assert browser.delete(f"{served.url}/api/session").status_code == 200
        assert browser.get(f"{served.url}/api/atlas").status_code == 401
    with httpx.Client() as second:
        second.get(address)
        assert second.get(f"{served.url}/api/atlas").status_code == 401


def test_signing_in_with_the_key(served: Served) -> None:
    url = f"{served.url}/api/session"
    with httpx.Client() as browser:
        for body in (b"", b"[]", b"{", b'{"key": 3}', b'{"key": "wrong"}', b"[" * 5000, b"x" * 2_000_000):
            assert browser.post(url, content=body).status_code in (400, 401)
        elsewhere = {"origin": "http://127.0.0.1:1", "sec-fetch-site": "same-site"}
        assert browser.post(url, json={"key": KEY}, headers=elsewhere).status_code == 403
        assert browser.post(url, json={"key": KEY}).status_code == 200
        assert browser.get(f"{served.url}/api/atlas").status_code == 200


def test_sessions_end() -> None:
    now = [0.0]
    sessions = Sessions("k", clock=lambda: now[0])
    session, ticket = sessions.open(), sessions.ticket()
    assert sessions.valid(session)
    now[0] = 301
    assert sessions.redeem(ticket) is None
    now[0] = 12 * 3600 + 1
    assert not sessions.valid(session)


def test_the_key_file_is_for_its_owner(tmp_path: Path) -> None:
    keys: list[str] = []
    threads = [
        threading.Thread(target=lambda: keys.append(read_key(tmp_path / "home" / "atlas.key"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(keys)) == 1
    assert len(keys[0]) > 30
    assert stat.S_IMODE((tmp_path / "home" / "atlas.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["atlas.key"]


def test_series_have_gaps_and_the_season(client: httpx.Client, cubes: list[Any]) -> None:
    answer = client.get(
        "/api/series", params={"in": "small", "layer": ["ndvi", "cover"], "lon": 23.0, "lat": 39.0}
    ).json()
    ndvi, cover = answer["series"]
    data = cubes[0]["ndvi"].isel(y=ndvi["row"], x=ndvi["column"])
    expected = data.to_numpy().astype(float)
    found = np.array([np.nan if value is None else value for value in ndvi["values"]])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.isnan(found).any()
    assert abs(float(data["y"]) - 39.0) <= 0.1001
    assert abs(float(data["x"]) - 23.0) <= 0.1001
    times = cubes[0].grid_of("ndvi").times
    season = season_of(times, 23)
    normal = fit_climatology(expected[:, None], season, 23)
    np.testing.assert_allclose(ndvi["normal"]["mean"], normal.mean[season, 0], rtol=1e-4)
    assert ndvi["times"][0] == "2018-01-05"
    assert cover["times"] is None
    assert len(cover["values"]) == 1


def test_a_place_beyond_the_grid_is_said(client: httpx.Client) -> None:
    answer = client.get("/api/series", params={"in": "small", "layer": "ndvi", "lon": -70, "lat": 10}).json()
    assert answer == {"longitude": -70.0, "latitude": 10.0, "series": [], "beyond": ["ndvi"]}


def test_what_is_wrong_is_said(client: httpx.Client) -> None:
    for path, status, part in (
        ("layer?in=nothing&layer=x", 404, "the atlas shows small"),
        ("layer?in=small&layer=x", 404, "it has cover"),
        ("layer?in=small", 400, "'layer' is missing"),
        ("tile?in=small&layer=ndvi&z=3&x=9&y=0&t=0", 400, "no tile"),
        ("tile?in=small&layer=ndvi&z=3&x=0&y=0&t=80", 400, "expected 0 to 79"),
        ("tile?in=small&layer=ndvi&z=3&x=0&y=0&t=0&size=100000", 400, "expected 64 to 512"),
        ("frame?in=small&layer=ndvi&t=0&low=2&high=1", 400, "low below high"),
        ("frame?in=small&layer=ndvi&t=0&palette=nothing", 400, "expected one of"),
        ("series?in=small&layer=ndvi&lon=x&lat=1", 400, "expected a number"),
        ("series?in=small&lon=1&lat=1", 400, "expected 1 to 12"),
    ):
        answer = client.get(f"/api/{path}")
        assert answer.status_code == status, path
        assert part in answer.json()["error"]


def test_exports_hold_the_values_of_the_cube(client: httpx.Client, cubes: list[Any]) -> None:
    data = cubes[0]["ndvi"].isel(time=3)
    answer = client.get("/api/export?in=small&layer=ndvi&t=3&as=csv")
    header, *lines = answer.text.splitlines()
    assert header == "longitude,latitude,time,ndvi (1)"
    assert len(lines) == int(np.isfinite(data.to_numpy()).sum())
    for line in lines[:50]:
        longitude, latitude, time_, value = line.split(",")
        assert time_ == "2018-02-22"
        assert float(value) == pytest.approx(float(data.sel(x=float(longitude), y=float(latitude), method="nearest")))
    bounds = "21,37,23,39"
    inside = client.get(f"/api/export?in=small&layer=ndvi&t=3&as=geojson&bounds={bounds}").json()["features"]
    assert 20 < len(inside) < len(lines)
    for feature in inside:
        ring = np.array(feature["geometry"]["coordinates"][0])
        west, north = ring.min(axis=0), ring.max(axis=0)
        assert (west <= (23, 39)).all()
        assert (north >= (21, 37)).all()
        assert ((ring[:-1, 0] * ring[1:, 1] - ring[1:, 0] * ring[:-1, 1]).sum()) > 0
        assert (ring[0] == ring[-1]).all()
    nothing = client.get("/api/export?in=small&layer=ndvi&t=3&as=csv&bounds=100,0,101,1")
    assert nothing.status_code == 200
    assert len(nothing.text.splitlines()) == 1
    assert (
        client.get("/api/export?in=rotated&layer=number&t=0&as=geojson").json()["features"][0]["properties"]["time"]
        is None
    )


def test_faces_cut_the_block(client: httpx.Client, cubes: list[Any], served: Served) -> None:
    from io import BytesIO

    from PIL import Image

    style = served.atlas.collection("small").layer("ndvi").style
    data = cubes[0]["ndvi"].to_numpy()  # the first row is the northernmost
    for axis, at, expected in (
        ("t", 0.0, data[10]),
        ("t", 1.0, data[60]),
        ("y", 1.0, data[10:61, 0]),
        ("y", 0.0, data[10:61, -1]),
        ("x", 0.0, data[10:61, :, 0].T),
        ("x", 1.0, data[10:61, :, -1].T),
    ):
        answer = client.get(f"/api/face?in=small&layer=ndvi&axis={axis}&at={at}&from=10&to=60")
        assert answer.status_code == 200, answer.text
        image = np.asarray(Image.open(BytesIO(answer.content)))
        np.testing.assert_array_equal(image, style.indices(expected))
    assert client.get("/api/face?in=small&layer=cover&axis=t&from=0&to=0").status_code == 400
    assert client.get("/api/face?in=small&layer=ndvi&axis=z&from=0&to=9").status_code == 400
    assert client.get("/api/face?in=small&layer=ndvi&axis=t&from=9&to=3").status_code == 400


def test_work_for_a_client_that_left_ends(cubes: list[Any]) -> None:
    """One image takes long; the clients that wait for others leave, and those are never drawn."""
    atlas = Atlas(cubes[:1])
    layer: Any = atlas.collections[0].layer("ndvi").layer
    assert atlas.collections[0].layer("ndvi").style
    started, stopped, going = [], [], threading.Event()
    original = layer.read

    def slow(step: int, window: Any, thin: int = 1, stop: Any = lambda: False) -> Any:
        started.append(step)
        for _ in range(500):
            if stop():
                stopped.append(step)
                raise StoppedError("the client has left")
            if going.wait(0.02):
                break
        return original(step, window, thin)

    layer.read = slow
    with serve(atlas) as running:
        port = int(running.url.rpartition(":")[2])
        asking = []
        for step in range(12):
            asking.append(connection := socket.create_connection(("127.0.0.1", port)))
            call = f"GET /api/frame?in=small&layer=ndvi&t={step} HTTP/1.1"
            connection.sendall(f"{call}\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
        _until(lambda: len(started) == 3)
        for connection in asking:
            connection.close()
        _until(lambda: len(stopped) == len(started))
        going.set()
        answer = httpx.get(f"{running.url}/api/frame?in=small&layer=ndvi&t=50", headers=running.headers, timeout=30)
        assert answer.status_code == 200
    assert started[-1] == 50
    assert len(started) < 12


def _until(true: Any) -> None:
    for _ in range(1500):
        if true():
            return
        time.sleep(0.02)
    pytest.fail("never true")
