"""The alert service: new interferograms are scored once each, kept as events, and those that deform are told about.

Everything is keyed by the content of the interferogram. An event is written as ``pending`` before anybody is told, and
becomes ``delivered`` when everybody has been: after an interruption the next run scores what is left and tells what was
not told, and nothing raises an alert twice. A webhook that answered just before an interruption may be called again;
the header ``Idempotency-Key`` lets it notice.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from deepcube.cubes import slug
from deepcube.oblivious import upload_files
from features import volcano
from inference_pipelines.deployments import newest_model
from inference_pipelines.volcano import feed
from inference_pipelines.volcano.detector import Detector, Judgement
from inference_pipelines.volcano.figures import draw_judgement
from inference_pipelines.volcano.inbox import Item, open_inbox
from inference_pipelines.volcano.models import best_model

if TYPE_CHECKING:
    from hopsworks.project import Project

Progress = Callable[[float, str], None]
"""Told how much is done, from 0 to 1, and what is being done."""

INBOX = "Resources/volcano/inbox"
"""Folder of the project's files that the scheduled service looks into."""

ALERTS = "Resources/volcano/alerts"
"""Folder of the project's files with the feeds, their pictures and the settings."""

QUARANTINE = "Resources/volcano/quarantine"
"""Folder of the project's files that a copy of what cannot be read is put into, with the reason."""

SETTINGS = "settings.json"
"""File in :data:`ALERTS`: ``webhooks`` (addresses), ``threshold`` (else the model's), ``model`` (else the best)."""

_CHUNK = 16  # interferograms from one write of events to the next
_FEED = 100  # newest alerts that the feeds hold
_SECONDS = 10.0


class AlertError(ValueError):
    """The settings of the alert service cannot be used."""


@dataclass(frozen=True)
class Settings:
    """How alerts are raised.

    Attributes
    ----------
    webhooks : tuple of str
        HTTP addresses that every alert is posted to as JSON.
    threshold : float or None
        Probability from which an alert is raised; the model's own if None.
    model : str or None
        Name of the registered model; see :func:`best_model` if None.
    """

    webhooks: tuple[str, ...] = ()
    threshold: float | None = None
    model: str | None = None


@dataclass
class _Run:
    """What one run of the service has found."""

    scored: int = 0
    duplicates: int = 0
    alerts: list[str] = field(default_factory=list)
    quarantined: list[dict[str, str]] = field(default_factory=list)
    undelivered: list[dict[str, str]] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)


def alert(project: Project, source: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """Score what is new in a folder or cube, and raise alerts; doing so again raises none again.

    Parameters
    ----------
    project : hopsworks.project.Project
        A logged-in project.
    source : str
        See :func:`inference_pipelines.volcano.inbox.open_inbox`.
    progress : callable, optional
        Called as ``progress(fraction, message)``.

    Returns
    -------
    dict
        JSON-able summary: model, threshold, numbers of interferograms scored and of duplicates, headlines of the new
        alerts, what was quarantined and why, what could not be delivered and why, feeds, figures.

    Raises
    ------
    NoModelError
        If there is no model to score with.
    AlertError
        If the settings cannot be used.
    deepcube.cubes.CubeError
        If the source is nothing that interferograms can be taken from.
    """
    tell = progress or (lambda fraction, message: None)
    settings = read_settings(project)
    model = best_model(project) if settings.model is None else newest_model(project, settings.model)
    found = _Run()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        detector = Detector.load(Path(model.download(str(folder / "model"))))
        threshold = detector.threshold if settings.threshold is None else settings.threshold
        if source == INBOX:
            _make_folder(project, INBOX)
        items = open_inbox(project, source, folder)
        group = volcano.events_group(project.get_feature_store())
        known = {} if group.id is None else {event["event_id"]: event for event in _events(group)}
        tell(0.1, f"{len(items)} interferograms, {len(known)} known")
        for first in range(0, len(items), _CHUNK):
            part = items[first : first + _CHUNK]
            judged = _judge(project, part, detector, set(known), found, folder)
            rows = [
                _event(item, identity, judgement, detector, model, threshold, source)
                for item, identity, judgement in judged
            ]
            _draw(project, rows, [judgement for _, _, judgement in judged], detector, found, folder)
            _note_places(project, judged)
            if rows:
                group.insert(_table(rows))
            known |= {row["event_id"]: row for row in rows}
            _tell_everybody(project, group, known, settings, found, folder)
            done = min(first + _CHUNK, len(items)) / len(items)
            tell(0.1 + 0.9 * done, f"{found.scored} scored, {len(found.alerts)} alerts, {found.duplicates} known")
        if not items:
            _tell_everybody(project, group, known, settings, found, folder)
    feeds = [f"{ALERTS}/{name}" for name in ("feed.json", "feed.atom")]
    return {
        "cube": slug(Path(source).name),
        "source": source,
        "simulated": detector.simulated,
        "feature_groups": {group.name: found.scored},
        "model": {"name": model.name, "version": model.version},
        "threshold": threshold,
        "scored": found.scored,
        "duplicates": found.duplicates,
        "alerts": found.alerts,
        "quarantined": found.quarantined,
        "undelivered": found.undelivered,
        "feeds": feeds,
        "figures": [*feeds, *found.pictures],
    }


def read_settings(project: Any) -> Settings:
    """Read the settings of the service, which may be absent.

    Raises
    ------
    AlertError
        If they are no JSON object of known keys and sensible values.
    """
    path, datasets = f"{ALERTS}/{SETTINGS}", project.get_dataset_api()
    if not datasets.exists(path):
        return Settings()
    content = datasets.read_content(f"/Projects/{project.name}/{path}").content
    return parse_settings(content)


def parse_settings(content: bytes) -> Settings:
    """Check settings; see :func:`read_settings`."""
    expected = '{"webhooks": ["https://..."], "threshold": 0.5, "model": "volcano_..."}, each of them optional'
    try:
        given = json.loads(content)
    except ValueError as error:
        raise AlertError(f"Found settings that are no JSON ({error}); expected {expected}.") from error
    if not isinstance(given, dict) or set(given) - {"webhooks", "threshold", "model"}:
        raise AlertError(f"Found settings {str(given)[:200]}; expected {expected}.")
    webhooks, threshold, model = given.get("webhooks", []), given.get("threshold"), given.get("model")
    if not isinstance(webhooks, list) or not all(
        isinstance(each, str) and urllib.parse.urlsplit(each).scheme in ("http", "https") for each in webhooks
    ):
        raise AlertError(f"Found webhooks that are no list of http or https addresses; expected {expected}.")
    number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if threshold is not None and not (number and 0 < threshold <= 1):
        raise AlertError(f"Found threshold {threshold!r}; expected more than 0 and at most 1.")
    if model is not None and not isinstance(model, str):
        raise AlertError(f"Found model {model!r}; expected the name of a registered model.")
    return Settings(tuple(webhooks), threshold, model)


def _judge(
    project: Any, items: Sequence[Item], detector: Detector, known: set[str], found: _Run, folder: Path
) -> list[tuple[Item, str, Judgement]]:
    """Judge what is new among some items; quarantine what cannot be read."""
    judged = []
    for item in items:
        try:
            phase = item.read()
            identity = volcano.content_hash(phase)
            if identity in known:
                found.duplicates += 1
                continue
            judged.append((item, identity, detector.judge(phase)))
            known.add(identity)
        except volcano.InterferogramError as error:
            found.quarantined.append({"file": item.name, "reason": str(error)})
            _quarantine(project, item, str(error), folder)
    found.scored += len(judged)
    return judged


def _note_places(project: Any, judged: Sequence[tuple[Item, str, Judgement]]) -> None:
    """Note where those lie whose file or cube tells it: the pixel of most support."""
    found = volcano.georeferenced_rows(
        (identity, item.name, item.locate(judgement.document["row"], judgement.document["column"]))
        for item, identity, judgement in judged
    )
    if len(found):
        volcano.places_group(project.get_feature_store()).insert(found)


def _quarantine(project: Any, item: Item, reason: str, folder: Path) -> None:
    """Put a copy of a file aside with the reason; what is there already stays. The file itself is left where it is."""
    content = item.fetch().read_bytes() if item.fetch is not None else item.name.encode()
    name = f"{hashlib.sha256(content).hexdigest()[:16]}_{slug(Path(item.name).stem)}"
    _make_folder(project, QUARANTINE)
    if project.get_dataset_api().exists(f"{QUARANTINE}/{name}.json"):
        return
    report = folder / f"{name}.json"
    report.write_text(json.dumps({"file": item.name, "reason": reason, "time": datetime.now(UTC).isoformat()}))
    files = [report]
    if item.fetch is not None:
        copy = folder / f"{name}{Path(item.name).suffix}"
        copy.write_bytes(content)
        files.insert(0, copy)  # the report last: it says that all is there
    upload_files(project, files, QUARANTINE)
    for file in files:
        file.unlink()


def _event(
    item: Item,
    identity: str,
    judgement: Judgement,
    detector: Detector,
    model: Any,
    threshold: float,
    source: str,
) -> dict[str, Any]:
    found, named = judgement.document, volcano.name_parts(item.name)
    raised = found["probability"] >= threshold
    why = _why(detector, judgement) if raised else {}
    return {
        "event_id": identity,
        "time": pd.Timestamp.now(tz="UTC").tz_localize(None).floor("s"),
        "source": source,
        "file": item.name,
        "volcano": named["volcano"],
        "first_date": named["first"],
        "second_date": named["second"],
        "probability_deformation": found["probability"],
        **{f"probability_{kind}": found["kinds"][kind] for kind in volcano.KINDS},
        "deforming_share": found["deforming_share"],
        "row": found["row"],
        "col": found["column"],
        "model_version": model.version,
        "model": model.name,
        "threshold": threshold,
        "alert": int(raised),
        "delivery": "pending" if raised else "none",
        "explanation": json.dumps(why),
    }


def _why(detector: Detector, judgement: Judgement) -> dict[str, Any]:
    """Say which parts of the image speak for deformation most, and by how much their sum is off."""
    answer = detector.attribute(judgement.seen)
    attributions = answer["attributions"][volcano.OUTPUTS[0]]
    largest = sorted(attributions.items(), key=lambda part: -part[1])[:3]
    error = answer["completeness_error"][volcano.OUTPUTS[0]]
    return {"method": answer["method"], "baseline": answer["baseline"], "largest": dict(largest), "error": error}


def _draw(
    project: Any,
    rows: Sequence[Mapping[str, Any]],
    judgements: Sequence[Judgement],
    detector: Detector,
    found: _Run,
    folder: Path,
) -> None:
    """Draw the alerts among some events, before the events are written: who reads one will find its picture."""
    label = " (model scored on simulated data)" if detector.simulated else ""
    made = [
        draw_judgement(judgement, folder / feed.picture(row), title=feed.headline(row) + label)
        for row, judgement in zip(rows, judgements, strict=True)
        if row["alert"]
    ]
    if made:
        _make_folder(project, ALERTS)
        found.pictures += upload_files(project, made, ALERTS)


def _tell_everybody(
    project: Any, group: Any, known: dict[str, dict[str, Any]], settings: Settings, found: _Run, folder: Path
) -> None:
    """Write the feeds, call the webhooks for what is pending, and note what was delivered."""
    raised = sorted((e for e in known.values() if e["alert"]), key=lambda e: (e["time"], e["event_id"]), reverse=True)
    pending = [event for event in raised if event["delivery"] == "pending"]
    feeds = {
        "feed.json": feed.json_feed(raised[:_FEED]),
        "feed.atom": feed.atom_feed(raised[:_FEED], f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"),
    }
    if not pending and project.get_dataset_api().exists(f"{ALERTS}/feed.atom"):
        return
    for name, text in feeds.items():
        (folder / name).write_text(text, encoding="utf-8")
    _make_folder(project, ALERTS)
    upload_files(project, [folder / name for name in feeds], ALERTS)
    done = []
    tried = {failure["event_id"] for failure in found.undelivered}
    for event in pending:
        if event["event_id"] in tried:
            continue
        failures = [failure for address in settings.webhooks if (failure := post(address, event)) is not None]
        if failures:
            found.undelivered.append({"event_id": event["event_id"], "reason": "; ".join(failures)})
        else:
            done.append({**event, "delivery": "delivered"})
            found.alerts.append(feed.headline(event))
    if done:
        group.insert(_table(done))
        known |= {event["event_id"]: event for event in done}


def post(address: str, event: Mapping[str, Any]) -> str | None:
    """Post an alert to a webhook; return what went wrong, if anything, without the address, which may hold a secret."""
    body = {
        "id": event["event_id"],
        "title": feed.headline(event),
        "text": feed.summary(event),
        "time": f"{event['time']:%Y-%m-%dT%H:%M:%SZ}",
        "probability": event["probability_deformation"],
        "volcano": event["volcano"],
        "file": event["file"],
        "row": event["row"],
        "column": event["col"],
        "picture": f"{ALERTS}/{feed.picture(event)}",
        "explanation": json.loads(event["explanation"] or "{}"),
    }
    request = urllib.request.Request(
        address,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": event["event_id"]},
        method="POST",
    )
    host = urllib.parse.urlsplit(address).hostname
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return f"{host} answered with status {error.code}"
    except (OSError, ValueError) as error:
        return f"{host} cannot be reached ({type(error).__name__})"


def _events(group: Any) -> list[dict[str, Any]]:
    table = group.read()
    table["time"] = pd.to_datetime(table["time"]).dt.tz_localize(None)
    records: list[dict[str, Any]] = table.to_dict("records")
    return [{column.name: record[column.name] for column in volcano.EVENT_COLUMNS} for record in records]


def _table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    table["time"] = table["time"].astype("datetime64[us]")
    whole = [column.name for column in volcano.EVENT_COLUMNS if column.type == "int"]
    return table.astype(dict.fromkeys(whole, "int32"))


def _make_folder(project: Any, path: str) -> None:
    datasets = project.get_dataset_api()
    parts = path.split("/")
    for end in range(2, len(parts) + 1):
        folder = "/".join(parts[:end])
        if not datasets.exists(folder):
            datasets.mkdir(folder)
