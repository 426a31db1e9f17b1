"""Alerts that people can subscribe to: a JSON feed and an Atom feed, as files.

JSON Feed 1.1 (jsonfeed.org/version/1.1) and Atom (RFC 4287). Pictures lie beside the feeds under relative addresses, so
a folder with feeds and pictures can be served by any web server, or opened where it is.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

TITLE = "Volcano alerts: deformation in interferograms"
"""Title of both feeds."""

_ATOM = "http://www.w3.org/2005/Atom"
_AUTHOR = "deepcube alert service"


def headline(event: Mapping[str, Any]) -> str:
    """Return an alert in one line."""
    place = event["volcano"] or event["file"]
    dates = f", {event['first_date']} to {event['second_date']}" if event["second_date"] else ""
    chance = event["probability_deformation"]
    return f"{place}{dates}: deformation {chance:.0%} probable, most like {most_probable(event)}"


def most_probable(event: Mapping[str, Any]) -> str:
    """Return the type that an event is most like."""
    kinds = {name.removeprefix("probability_"): event[name] for name in event if name.startswith("probability_")}
    return max((kind for kind in kinds if kind != "deformation"), key=lambda kind: kinds[kind])


def picture(event: Mapping[str, Any]) -> str:
    """Return the file name of an alert's picture."""
    return f"{event['event_id'][:20]}.png"


def summary(event: Mapping[str, Any]) -> str:
    """Return what an alert says, in plain sentences."""
    why = json.loads(event["explanation"] or "{}")
    reasons = ", ".join(f"{name} ({value:+.2f})" for name, value in why.get("largest", {}).items())
    return (
        f"{headline(event)}. Most support at row {event['row']}, column {event['col']} of the image; "
        f"{event['deforming_share']:.0%} of the part that was looked at is outlined as deforming. "
        f"Alerts are raised from {event['threshold']:.2f} on, by {event['model']} version {event['model_version']}. "
        + (f"Parts of the image that contributed most: {reasons}." if reasons else "")
    )


def json_feed(events: Sequence[Mapping[str, Any]]) -> str:
    """Return alerts, the newest first, as a JSON Feed 1.1."""
    items = [
        {
            "id": f"urn:sha256:{event['event_id']}",
            "title": headline(event),
            "date_published": _when(event),
            "image": picture(event),
            "content_text": summary(event),
            "content_html": _page(event),
            "attachments": [{"url": picture(event), "mime_type": "image/png"}],
            "_deepcube": {
                name: event[name]
                for name in ("probability_deformation", "threshold", "row", "col", "volcano", "file", "model_version")
            },
        }
        for event in events
    ]
    document = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": TITLE,
        "description": "Interferograms in which a model sees deformation, each once",
        "authors": [{"name": _AUTHOR}],
        "items": items,
    }
    return json.dumps(document, indent=1)


def atom_feed(events: Sequence[Mapping[str, Any]], updated: str) -> str:
    """Return alerts, the newest first, as an Atom feed.

    Parameters
    ----------
    events : sequence of mapping
        Alerts.
    updated : str
        When the feed was written where there is no alert, RFC 3339.
    """
    ElementTree.register_namespace("", _ATOM)
    feed = ElementTree.Element(f"{{{_ATOM}}}feed")
    _add(feed, "id", "urn:deepcube:volcano:alerts")
    _add(feed, "title", TITLE)
    _add(feed, "updated", _when(events[0]) if events else updated)
    _add(_add(feed, "author"), "name", _AUTHOR)
    for event in events:
        entry = _add(feed, "entry")
        _add(entry, "id", f"urn:sha256:{event['event_id']}")
        _add(entry, "title", headline(event))
        _add(entry, "updated", _when(event))
        _add(entry, "summary", summary(event))
        _add(entry, "content", _page(event), type="html")
        _add(entry, "link", rel="enclosure", type="image/png", href=picture(event))
        _add(entry, "link", rel="alternate", type="image/png", href=picture(event))
    return ElementTree.tostring(feed, encoding="unicode", xml_declaration=True)


def _add(parent: ElementTree.Element, name: str, text: str = "", **attributes: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, f"{{{_ATOM}}}{name}", attributes)
    element.text = text or None
    return element


def _page(event: Mapping[str, Any]) -> str:
    said, source = html.escape(summary(event)), html.escape(picture(event), quote=True)
    return f'<p>{said}</p><p><img src="{source}" alt="interferogram and map of support"></p>'


def _when(event: Mapping[str, Any]) -> str:
    return f"{event['time']:%Y-%m-%dT%H:%M:%SZ}"
