"""Search over what artifacts are called, what is said of them, and what they hold.

A term is split at blanks; each word must occur, in any case, in an artifact's name, description, features, tags or
keywords. What matches in the name comes first. Filters ask for a keyword, or for a key and value inside a tag.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from deepcube.embedded.access import shares_group
from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import bad_request
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.quality import tagging
from deepcube.embedded.quality.projects import sharing_projects
from deepcube.embedded.runtime import deployments, jobs, models
from deepcube.embedded.store import datasets, groups, views

MAX_SIZE = 10_000

Json = dict[str, Any]


@dataclass(frozen=True)
class Search:
    """What is searched for.

    Attributes
    ----------
    words : tuple of str
        Each must occur; none means that only the filters count.
    keywords : tuple of str
        Keywords that must be attached.
    tags : tuple of (name, key, value)
        Tags that must be attached.
    """

    words: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    tags: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def parse(cls, term: str | None, keywords: str | None, tags: str | None) -> Search:
        """Read a search as the client sends it.

        Parameters
        ----------
        term : str, optional
            Words.
        keywords : str, optional
            JSON list of ``{"value"}``.
        tags : str, optional
            JSON list of ``{"name", "key", "value"}``.

        Raises
        ------
        ApiError
            400 if there is nothing to search for, or a filter is not such a list.
        """
        wanted_keywords = tuple(_text(item, "value") for item in _list(keywords, "keywords"))
        wanted_tags = tuple(
            (_text(item, "name"), _text(item, "key"), _text(item, "value")) for item in _list(tags, "tags")
        )
        words = tuple((term or "").lower().split())
        if not words and not wanted_keywords and not wanted_tags:
            raise bad_request("give a search term, a keyword or a tag")
        return cls(words, wanted_keywords, wanted_tags)


def _list(text: str | None, what: str) -> list[Any]:
    try:
        content = json.loads(text) if text else []
    except ValueError:
        content = None
    if not isinstance(content, list):
        raise bad_request(f"the query parameter {what!r} must be a JSON list")
    return content


def _text(item: Any, key: str) -> str:
    if not isinstance(item, dict) or not isinstance(item.get(key), str):
        raise bad_request(f"each filter must be a JSON object with a text {key!r}")
    return str(item[key])


@dataclass
class _Text:
    """The searchable text of one artifact."""

    artifact: Entity
    name: str
    description: str = ""
    features: list[str] = field(default_factory=list)
    feature_texts: list[str] = field(default_factory=list)
    tags: list[Json] = field(default_factory=list)
    keywords: list[str] = field(default_factory=list)
    more: Json = field(default_factory=dict)

    def rank(self, search: Search) -> int | None:
        """Return how well it matches, smaller is better; None if it does not."""
        if not all(keyword in self.keywords for keyword in search.keywords):
            return None
        if not all(any(_tag_matches(tag, wanted) for tag in self.tags) for wanted in search.tags):
            return None
        tag_texts = [f"{tag['name']} {tag['value']}" for tag in self.tags]
        places = [self.name, " ".join(self.keywords), self.description, "\n".join([*self.feature_texts, *tag_texts])]
        ranks = [_best(word, [place.lower() for place in places]) for word in search.words]
        found = [rank for rank in ranks if rank is not None]
        return sum(found) if len(found) == len(ranks) else None

    def highlights(self, search: Search) -> Json:
        """Return where the words occur, marked with ``<em>``; the rest is escaped."""
        found: Json = {}
        for key, text in (("name", self.name), ("description", self.description)):
            if (marked := _mark(text, search.words)) is not None:
                found[key] = marked
        for key, texts in (("features", self.features), ("keywords", self.keywords)):
            hits = [marked for text in texts if (marked := _mark(text, search.words)) is not None]
            found |= {key: hits} if hits else {}
        tags = [tag for tag in self.tags if _mark(f"{tag['name']} {tag['value']}", search.words) is not None]
        if tags:
            found["tags"] = [
                {"key": tag["name"], "value": _mark(tag["value"], search.words) or html.escape(tag["value"])}
                for tag in tags
            ]
        return found


def _best(word: str, places: list[str]) -> int | None:
    """Return how good the best place of a word is: 0 the whole name, 1 its start, 2 inside it, 3 to 5 elsewhere."""
    name = places[0]
    if word in name:
        return 0 if word == name else 1 if name.startswith(word) else 2
    return next((rank for rank, place in enumerate(places[1:], start=3) if word in place), None)


def _tag_matches(tag: Json, wanted: tuple[str, str, str]) -> bool:
    name, key, value = wanted
    if tag["name"] != name:
        return False
    content = json.loads(tag["value"])
    found = content.get(key) if isinstance(content, dict) else content if key in (name, "value") else None
    return found is not None and (str(found).lower() == value.lower() or json.dumps(found) == value)


def _mark(text: str, words: Iterable[str]) -> str | None:
    """Return a text with the words marked, or None if none occurs."""
    wanted = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    parts = re.split(f"({wanted})", text, flags=re.IGNORECASE) if wanted else [text]
    if len(parts) == 1:
        return None
    return "".join(f"<em>{html.escape(p)}</em>" if i % 2 else html.escape(p) for i, p in enumerate(parts))


def _group_text(platform: Platform, group: Entity) -> Iterator[_Text]:
    features = group.body["features"]
    yield _Text(
        group,
        group.name,
        group.body.get("description") or "",
        [feature["name"] for feature in features],
        [f"{feature['name']} {feature.get('description') or ''}" for feature in features],
        more={"featurestoreId": group.project_id},
    )


def _feature_texts(platform: Platform, group: Entity) -> Iterator[_Text]:
    for feature in group.body["features"]:
        more = {"featuregroup": group.name, "featurestoreId": group.project_id}
        yield _Text(group, feature["name"], feature.get("description") or "", more=more)


def _view_text(platform: Platform, view: Entity) -> Iterator[_Text]:
    names = [feature["name"] for feature in view.body["features"]]
    yield _Text(
        view, view.name, view.body.get("description") or "", names, names, more={"featurestoreId": view.project_id}
    )


def _plain_text(platform: Platform, entity: Entity) -> Iterator[_Text]:
    content = entity.body.get("config", entity.body)
    yield _Text(entity, entity.name, str(content.get("description") or ""))


def _dataset_text(platform: Platform, dataset: Entity) -> Iterator[_Text]:
    view = datasets.views_of(platform, dataset)
    more = {"featurestoreId": dataset.project_id, "featureView": view.name, "featureViewVersion": view.version}
    yield _Text(dataset, dataset.body["name"], dataset.body.get("description") or "", more=more)


_Reader = Callable[[Platform, Entity], Iterator[_Text]]
# Kind that the client asks for -> the key of its list, the kind in the catalog, and how to read it.
_KINDS: dict[str, tuple[str, str, _Reader]] = {
    "FEATUREGROUP": ("featuregroups", groups.KIND, _group_text),
    "FEATUREVIEW": ("featureViews", views.KIND, _view_text),
    "TRAININGDATASET": ("trainingdatasets", datasets.KIND, _dataset_text),
    "FEATURE": ("features", groups.KIND, _feature_texts),
    "JOB": ("jobs", jobs.JOB, _plain_text),
    "MODEL": ("models", models.MODEL, _plain_text),
    "DEPLOYMENT": ("deployments", deployments.DEPLOYMENT, _plain_text),
}
_ABSENT = {"APP": "apps", "AGENT": "agents"}


def search(
    platform: Platform, projects: Iterable[Project], wanted: Search, kind: str, *, offset: int, size: int
) -> Json:
    """Search the artifacts of projects, and what is shared with them.

    Parameters
    ----------
    platform : Platform
        Shared state.
    projects : iterable of Project
        Where.
    wanted : Search
        What for.
    kind : str
        ``FEATUREGROUP``, ``FEATUREVIEW``, ``TRAININGDATASET``, ``FEATURE``, ``JOB``, ``MODEL``, ``DEPLOYMENT`` or
        ``ALL``.
    offset, size : int
        Which part of each list.

    Returns
    -------
    dict
        As the client reads ``FeaturestoreSearchResult``.

    Raises
    ------
    ApiError
        400 for another kind.
    """
    if kind not in ("ALL", *_KINDS, *_ABSENT):
        raise bad_request(f"docType {kind!r} cannot be searched for; it is one of ALL, {', '.join(_KINDS)}")
    scope = list(projects)
    result: Json = {}
    for name, (key, catalog_kind, read) in _KINDS.items():
        if kind not in ("ALL", name):
            continue
        found = _ranked(platform, _entities(platform, scope, catalog_kind), read, wanted)
        end = offset + max(0, min(size, MAX_SIZE))
        result[key] = [_document(platform, text, wanted) for text in found[offset:end]]
        result |= {f"{key}From": offset, f"{key}Total": len(found)}
    for name, key in _ABSENT.items():
        if kind in ("ALL", name):
            result |= {key: [], f"{key}From": 0, f"{key}Total": 0}
    return result


def _entities(platform: Platform, projects: list[Project], kind: str) -> Iterator[Entity]:
    own = {project.id for project in projects}
    seen = set()
    for project in projects:
        yield from platform.catalog.find(project.id, kind)
        if kind != groups.KIND:
            continue
        for owner in sharing_projects(platform, project):
            if owner.id in own:
                continue
            for group in platform.catalog.find(owner.id, kind):
                if group.id not in seen and shares_group(platform, group, project.id):
                    seen.add(group.id)
                    yield group


def _ranked(platform: Platform, entities: Iterable[Entity], read: _Reader, wanted: Search) -> list[_Text]:
    found = []
    for entity in entities:
        tags, keywords = tagging.tags(platform, entity), tagging.keywords(platform, entity)["keywords"]
        for text in read(platform, entity):
            text.tags, text.keywords = tags, keywords
            rank = text.rank(wanted)
            if rank is not None:
                found.append((rank, text.name, -entity.version, entity.id, text))
    return [text for *_, text in sorted(found, key=lambda item: item[:4])]


def _document(platform: Platform, text: _Text, wanted: Search) -> Json:
    artifact = text.artifact
    owner = platform.project(artifact.project_id)
    return {
        "id": artifact.id,
        "name": text.name,
        "version": artifact.version,
        "description": text.description,
        "created": artifact.created,
        "parentProjectId": owner.id,
        "parentProjectName": owner.name,
        "highlights": text.highlights(wanted),
        **text.more,
    }
