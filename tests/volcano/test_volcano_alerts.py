"""The alert service: every interferogram once, whatever happens in between."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from inference_pipelines.volcano import AlertError, alert, score
from inference_pipelines.volcano.alerts import parse_settings

ATOM = "{http://www.w3.org/2005/Atom}"


class Receiver(HTTPServer):
    """A webhook; answers with the statuses it is given, then with 204."""

    calls: list[tuple[str, dict[str, Any]]]
    statuses: list[int]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append((self.headers["Idempotency-Key"], json.loads(body)))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def webhook() -> Iterator[Receiver]:
    server = Receiver(("127.0.0.1", 0), _Handler)
    server.calls, server.statuses = [], []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def settle(platform: Any, webhook: Receiver | None = None, threshold: float = 1e-6) -> None:
    """Have every interferogram raise an alert, told to the webhook if there is one."""
    folder = platform.root / "Resources" / "volcano" / "alerts"
    folder.mkdir(parents=True, exist_ok=True)
    webhooks = [] if webhook is None else [f"http://127.0.0.1:{webhook.server_port}/hook?token=secret"]
    (folder / "settings.json").write_text(json.dumps({"webhooks": webhooks, "threshold": threshold}))


def feeds(platform: Any) -> tuple[list[dict[str, Any]], list[ElementTree.Element]]:
    folder = platform.root / "Resources" / "volcano" / "alerts"
    items = json.loads((folder / "feed.json").read_text())["items"]
    entries = ElementTree.parse(folder / "feed.atom").getroot().findall(f"{ATOM}entry")
    for item in items:
        assert (folder / item["image"]).read_bytes().startswith(b"\x89PNG")
    return items, entries


def test_each_interferogram_raises_one_alert(platform: Any, inbox: Path, webhook: Receiver) -> None:
    settle(platform, webhook)
    shutil.copy(inbox / "x_014A_07885_131313_etna2_20200101_20200112.png", inbox / "copy.png")
    first = alert(platform, str(inbox))
    assert (first["scored"], first["duplicates"], len(first["alerts"]), first["undelivered"]) == (4, 1, 4, [])
    again = alert(platform, str(inbox))
    assert (again["scored"], again["duplicates"], again["alerts"]) == (0, 5, [])
    assert len(webhook.calls) == len({key for key, _ in webhook.calls}) == 4
    rows = platform.group.rows
    assert set(rows) == {key for key, _ in webhook.calls}
    assert {row["delivery"] for row in rows.values()} == {"delivered"}
    named = {row["volcano"]: row for row in rows.values()}
    assert named["etna3"]["second_date"] == "20200113"
    items, entries = feeds(platform)
    assert {item["id"] for item in items} == {f"urn:sha256:{key}" for key in rows}
    assert [entry.findtext(f"{ATOM}id") for entry in entries] == [item["id"] for item in items]
    _, body = webhook.calls[0]
    row = rows[body["id"]]
    assert body["probability"] == row["probability_deformation"]
    why = json.loads(row["explanation"])
    assert set(why["largest"]) and abs(why["error"]) < 0.1


def test_nothing_below_the_threshold_is_told(platform: Any, inbox: Path, webhook: Receiver) -> None:
    settle(platform, webhook, threshold=1.0)
    found = alert(platform, str(inbox))
    assert (found["scored"], found["alerts"], webhook.calls) == (4, [], [])
    assert {row["delivery"] for row in platform.group.rows.values()} == {"none"}
    items, entries = feeds(platform)
    assert items == [] and entries == []


def test_a_file_that_cannot_be_read_is_put_aside_once_and_stays(platform: Any, inbox: Path) -> None:
    for _ in range(2):
        found = alert(platform, str(inbox))
        assert [each["file"] for each in found["quarantined"]] == ["broken_20200101_20200113.png"]
        assert "PNG" in found["quarantined"][0]["reason"]
    held = sorted((platform.root / "Resources" / "volcano" / "quarantine").iterdir())
    assert [file.suffix for file in held] == [".json", ".png"]
    assert held[1].read_bytes() == (inbox / "broken_20200101_20200113.png").read_bytes()
    assert json.loads(held[0].read_text())["reason"] == found["quarantined"][0]["reason"]


@pytest.mark.parametrize("writes", [0, 1])
def test_an_interrupted_run_goes_on(platform: Any, inbox: Path, webhook: Receiver, writes: int) -> None:
    settle(platform, webhook)
    platform.group.fails_at = writes  # before the events are written, or before they are noted as delivered
    with pytest.raises(RuntimeError, match="interrupted"):
        alert(platform, str(inbox))
    platform.group.fails_at = None
    found = alert(platform, str(inbox))
    assert len(found["alerts"]) == 4
    assert {row["delivery"] for row in platform.group.rows.values()} == {"delivered"}
    assert len({key for key, _ in webhook.calls}) == len(feeds(platform)[0]) == 4


def test_what_a_webhook_refused_is_told_in_the_next_run(platform: Any, inbox: Path, webhook: Receiver) -> None:
    settle(platform, webhook)
    webhook.statuses += [500, 503]
    found = alert(platform, str(inbox))
    assert (len(found["alerts"]), len(found["undelivered"])) == (2, 2)
    assert "status 50" in found["undelivered"][0]["reason"]
    assert "secret" not in json.dumps(found)
    again = alert(platform, str(inbox))
    assert (again["scored"], len(again["alerts"]), again["undelivered"]) == (0, 2, [])


def test_a_folder_of_the_projects_files_is_an_inbox(platform: Any, inbox: Path) -> None:
    empty = alert(platform, "Resources/volcano/inbox")
    assert (empty["scored"], empty["quarantined"]) == (0, [])
    for file in inbox.iterdir():
        shutil.copy(file, platform.root / "Resources" / "volcano" / "inbox")
    found = alert(platform, "Resources/volcano/inbox")
    assert (found["scored"], len(found["quarantined"])) == (4, 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "no JSON"),
        (b"[]", "expected"),
        (b'{"hooks": []}', "expected"),
        (b'{"webhooks": ["file:///etc/passwd"]}', "http or https"),
        (b'{"threshold": 2}', "at most 1"),
        (b'{"model": 3}', "name of a registered model"),
    ],
)
def test_settings_that_make_no_sense_are_refused(content: bytes, said: str) -> None:
    with pytest.raises(AlertError, match=said):
        parse_settings(content)


def test_a_folder_gets_a_probability_for_each_interferogram(platform: Any, inbox: Path) -> None:
    found = score(platform, inbox)
    assert len(found["scores"]) == 4
    assert [each["file"] for each in found["refused"]] == ["broken_20200101_20200113.png"]
    assert all(0 <= each["probability"] <= 1 for each in found["scores"])
    assert found["model"]["name"] == "volcano_test"
    json.dumps(found, allow_nan=False)
    assert score(platform, inbox) == found


def test_the_surest_part_of_a_large_image_counts(
    platform: Any, tmp_path: Path, phases: list[np.ndarray], write_phase: Any
) -> None:
    large = np.block([[phases[0], phases[1]], [phases[2], phases[3]]])
    folder = tmp_path / "large"
    folder.mkdir()
    write_phase(folder / "all.png", large)
    for number, phase in enumerate(phases[:4]):
        write_phase(folder / f"part_{number}.png", phase)
    whole, *parts = score(platform, folder)["scores"]
    best = max(parts, key=lambda part: part["probability"])
    assert whole["probability"] == pytest.approx(best["probability"], abs=1e-6)
    corner = divmod(int(best["file"][5]), 2)
    assert (whole["row"], whole["column"]) == (best["row"] + 216 * corner[0], best["column"] + 216 * corner[1])
