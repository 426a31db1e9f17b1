"""The page of alerts: those that came up, those that wait, and the feeds that use cases write.

The platform keeps alerts of jobs, and of monitoring and validation of feature groups and views. Use cases write feeds
(JSON Feed 1.1) to ``Resources/<use case>/alerts/feed.json``, with pictures beside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from deepcube.embedded.console.atlas import atlas_link
from deepcube.embedded.console.files import is_image, list_folder, read_document
from deepcube.embedded.console.pages import Page, Pages
from deepcube.embedded.errors import ApiError

pages = Pages("/{project_id:int}/alerts", "alerts")

MOST_ENTRIES = 100
"""Entries of a feed, and alerts that came up, that are shown."""

_FOLDER = "Resources"
_FEED = "alerts/feed.json"
_TEXT = 2000  # characters of an entry that are shown


@dataclass(frozen=True)
class Entry:
    """An alert of a feed.

    Attributes
    ----------
    title, text, when : str
        Headline, what it says, and when it was raised.
    picture : str
        Address of its picture; empty without one.
    """

    title: str
    text: str
    when: str
    picture: str


@dataclass(frozen=True)
class Feed:
    """The feed of a use case.

    Attributes
    ----------
    use_case, title, path : str
        Whose it is, what it is called, and its path as part of an address.
    entries : list of Entry
        The newest first.
    atlas : str
        Address at which the atlas shows the alerts; empty where none does.
    """

    use_case: str
    title: str
    path: str
    entries: list[Entry]
    atlas: str


@dataclass(frozen=True)
class Raised:
    """An alert of the platform that came up.

    Attributes
    ----------
    name, severity, summary, when : str
        Status that it waited for, how grave it is, what came up, and when.
    about : list of (str, str)
        What it is about: name and value of its further labels.
    """

    name: str
    severity: str
    summary: str
    when: str
    about: list[tuple[str, str]]


@pages.get()
def alerts(page: Page) -> Response:
    """Show what came up, what waits, and the feeds."""
    return page.html(
        "alerts.html",
        feeds=list(feeds(page)),
        raised=raised(page),
        waiting=list(_waiting(page)),
        limit=MOST_ENTRIES,
    )


def feeds(page: Page) -> Iterator[Feed]:
    """Return the feeds of the use cases."""
    try:
        folders = [row.name for row in list_folder(page, _FOLDER) if row.is_folder]
    except ApiError:
        return
    for use_case in folders:
        path = f"{_FOLDER}/{use_case}/{_FEED}"
        document = read_document(page, path)
        if document is not None:
            shown = atlas_link(page, {"in": f"{use_case}_events", "layer": "alert"})
            yield Feed(
                use_case, str(document.get("title") or use_case), quote(path), entries(page, document, path), shown
            )


def entries(page: Page, document: Mapping[str, Any], path: str) -> list[Entry]:
    """Return the entries of a feed, as many as are shown.

    Parameters
    ----------
    page : Page
        Who asks.
    document : mapping
        The feed.
    path : str
        Where it lies; pictures lie beside it.
    """
    items = document.get("items")
    found = []
    for item in (items if isinstance(items, list) else [])[:MOST_ENTRIES]:
        if not isinstance(item, dict):
            continue
        image = item.get("image")
        beside = isinstance(image, str) and PurePosixPath(image).name == image and is_image(image)
        address = f"{page.base}/files/picture/{quote(str(PurePosixPath(path).with_name(str(image))))}" if beside else ""
        text = str(item.get("content_text") or "")
        found.append(
            Entry(str(item.get("title") or "Alert"), text[:_TEXT], str(item.get("date_published") or ""), address)
        )
    return found


def raised(page: Page) -> list[Raised]:
    """Return the alerts of the platform that came up, the newest first."""
    found = []
    for item in page.items("alerts"):
        labels = {str(name): str(value) for name, value in (item.get("labels") or {}).items()}
        notes = item.get("annotations") or {}
        about = [(name, value) for name, value in labels.items() if name not in ("alertname", "severity", "status")]
        summary = str(notes.get("summary") or notes.get("title") or "")
        found.append(
            Raised(
                labels.get("alertname", ""), labels.get("severity", ""), summary, str(item.get("startsAt") or ""), about
            )
        )
    return sorted(found, key=lambda each: each.when, reverse=True)[:MOST_ENTRIES]


def _waiting(page: Page) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the alerts that wait: of the project, of jobs, of feature groups and views; each with its owner."""
    yield from (("the project", each) for each in page.items("service", "alerts"))
    for job in page.items("jobs"):
        yield from ((f"job {job['name']}", each) for each in page.items("jobs", job["name"], "alerts"))
    store = ("featurestores", page.project.id)
    for group in page.items(*store, "featuregroups"):
        found = _asked(page, *store, "featuregroups", group["id"], "alerts")
        yield from ((f"feature group {group['name']} {group['version']}", each) for each in found)


def _asked(page: Page, *segments: object) -> list[Any]:
    try:
        return page.items(*segments)
    except ApiError:  # another kind of group, which can have none
        return []
