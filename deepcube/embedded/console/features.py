"""Feature store: groups with their features, statistics, rows, lineage and history; views; search."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from deepcube.embedded.console.charts import Histogram, extended_statistics, histogram
from deepcube.embedded.console.lineage import lineage
from deepcube.embedded.console.pages import Page, Pages
from deepcube.embedded.errors import STATISTICS_NOT_FOUND, ApiError
from deepcube.embedded.query.execute import run
from deepcube.embedded.query.plans import read_plan
from deepcube.embedded.query.resolve import resolve

pages = Pages("/{project_id:int}/features", "features")

PREVIEW_ROWS = 50
MAX_COMMITS = 100
MAX_FOUND = 100
_SEARCHED = {
    "featuregroups": "Feature group",
    "features": "Feature",
    "featureViews": "Feature view",
    "trainingdatasets": "Training dataset",
    "models": "Model",
    "deployments": "Deployment",
    "jobs": "Job",
}
_NUMERIC = ("int", "bigint", "smallint", "tinyint", "float", "double", "decimal")
_UNIT = re.compile(r"[(\[]([^()\[\]]{1,60})[)\]]")

Json = dict[str, Any]


@dataclass(frozen=True)
class FeatureRow:
    """A feature as a table shows it.

    Attributes
    ----------
    name, kind : str
        Name and type.
    unit : str
        What the description says in its last parentheses, where by convention the unit stands.
    description : str
        In full.
    roles : tuple of str
        ``primary key``, ``event time``, ``partition``, ``label``, ...
    group : str
        Feature group it comes from, for a feature of a view.
    """

    name: str
    kind: str
    unit: str
    description: str
    roles: tuple[str, ...]
    group: str = ""


def unit_of(description: str) -> str:
    """Return the unit that a description names: the last text in parentheses or brackets, without the word unit."""
    found = _UNIT.findall(description)
    return found[-1].removeprefix("unit ").strip() if found else ""


def _feature_row(feature: Json, event_time: str | None = None) -> FeatureRow:
    description = feature.get("description") or ""
    roles = {
        "primary key": feature.get("primary"),
        "event time": event_time is not None and feature["name"] == event_time,
        "partition": feature.get("partition"),
        "label": feature.get("label"),
        "helper": feature.get("inferenceHelperColumn") or feature.get("trainingHelperColumn"),
        "on demand": feature.get("onDemand"),
    }
    group = feature.get("featureGroup") or feature.get("featuregroup") or {}
    origin = f"{group.get('name')} {group.get('version')}" if group.get("name") else ""
    return FeatureRow(
        feature["name"],
        str(feature.get("type") or ""),
        unit_of(description),
        description,
        tuple(role for role, holds in roles.items() if holds),
        origin,
    )


def _store(page: Page) -> tuple[object, ...]:
    return "featurestores", page.project.id


@pages.get()
def features(page: Page) -> Response:
    """List feature groups and views, or what a search finds."""
    term = page.parameter("q").strip()
    if term:
        return page.html("search.html", term=term, found=search(page, term))
    groups = page.items(*_store(page), "featuregroups")
    groups.sort(key=lambda group: (group["name"], -group["version"]))
    views = page.items(*_store(page), "featureview")
    views.sort(key=lambda view: (view["name"], -view["version"]))
    return page.html("features.html", term="", groups=groups, views=views)


@dataclass(frozen=True)
class Found:
    """Something that a search has found.

    Attributes
    ----------
    kind, title, description, href : str
        What it is, its name, what it says of itself, its page.
    """

    kind: str
    title: str
    description: str
    href: str


def search(page: Page, term: str) -> list[Found]:
    """Search names, descriptions, features, tags and keywords of the project, as the client's search does."""
    document = page.get("elastic", "featurestore", docType="ALL", searchTerm=term, **{"from": 0, "size": MAX_FOUND})
    found = []
    for key, kind in _SEARCHED.items():
        for item in document.get(key) or []:
            version = "" if kind in ("Feature", "Deployment", "Job") else f" {item.get('version')}"
            found.append(
                Found(kind, item["name"] + version, item.get("description") or "", _found_page(page, kind, item))
            )
    return found


def _found_page(page: Page, kind: str, item: Json) -> str:
    name = quote(item["name"], safe="")
    if kind in ("Feature group", "Feature"):
        return f"{page.base}/features/groups/{item['id']}"
    if kind in ("Feature view", "Training dataset"):
        view, version = item.get("featureView", item["name"]), item.get("featureViewVersion", item.get("version"))
        return f"{page.base}/features/views/{quote(str(view), safe='')}/{version}"
    if kind == "Model":
        return f"{page.base}/models/{name}?version={item.get('version')}"
    return f"{page.base}/jobs/{name}" if kind == "Job" else f"{page.base}/deployments/{item['id']}"


def _group(page: Page) -> Json:
    document: Json = page.get(*_store(page), "featuregroups", page.path["id"])
    return document


def _group_html(page: Page, tab: str, **context: Any) -> Response:
    group = context.pop("group", None) or _group(page)
    here = f"{page.base}/features/groups/{group['id']}"
    return page.html(f"group_{tab}.html", group=group, here=here, tab=tab, **context)


@pages.get("/groups/{id:int}")
def group_features(page: Page) -> Response:
    """Show the features of a group."""
    group = _group(page)
    rows = [_feature_row(feature, group.get("eventTime")) for feature in group["features"]]
    return _group_html(
        page, "features", group=group, rows=rows, tags=_tags(page, group), keywords=_keywords(page, group)
    )


def _tags(page: Page, group: Json) -> list[Json]:
    return page.items(*_store(page), "featuregroups", group["id"], "tags")


def _keywords(page: Page, group: Json) -> list[str]:
    return list(page.get(*_store(page), "featuregroups", group["id"], "keywords").get("keywords") or [])


@dataclass(frozen=True)
class Profile:
    """Statistics of one feature.

    Attributes
    ----------
    name : str
        The feature.
    unit : str
        Its unit.
    numbers : dict
        As the REST API writes them.
    extended : mapping
        Extended statistics (first and last time, ...).
    histogram : Histogram or None
        If one was computed.
    """

    name: str
    unit: str
    numbers: Json
    extended: Mapping[str, Any]
    histogram: Histogram | None


@pages.get("/groups/{id:int}/statistics")
def group_statistics(page: Page) -> Response:
    """Show the newest statistics of a group, one tile per feature."""
    group = _group(page)
    units = {feature["name"]: unit_of(feature.get("description") or "") for feature in group["features"]}
    newest = _newest_statistics(page, group)
    documents = (newest or {}).get("featureDescriptiveStatistics") or []
    order = {name: position for position, name in enumerate(units)}
    documents.sort(key=lambda each: order.get(each["featureName"], len(order)))
    profiles = [
        Profile(
            each["featureName"], units.get(each["featureName"], ""), each, extended_statistics(each), histogram(each)
        )
        for each in documents
    ]
    return _group_html(page, "statistics", group=group, newest=newest, profiles=profiles)


def _newest_statistics(page: Page, group: Json) -> Json | None:
    try:
        found = page.items(
            *_store(page),
            "featuregroups",
            group["id"],
            "statistics",
            fields="content",
            sort_by="computation_time:desc",
            offset=0,
            limit=1,
        )
    except ApiError as error:
        if error.code != STATISTICS_NOT_FOUND:
            raise
        return None
    return found[0] if found else None


@pages.post("/groups/{id:int}/statistics")
def compute_statistics(page: Page) -> Response:
    """Compute the statistics of a group anew."""
    group = _group(page)
    page.rest.post("project", page.project.id, *_store(page), "featuregroups", group["id"], "statistics", "compute")
    here = f"{page.base}/features/groups/{group['id']}/statistics"
    return page.redirect(here, "Asked for new statistics; they appear here once they are computed.")


@pages.get("/groups/{id:int}/rows")
def group_rows(page: Page) -> Response:
    """Show some rows of a group."""
    group = _group(page)
    names = [feature["name"] for feature in group["features"]]
    query = {"leftFeatureGroup": group, "leftFeatures": [{"name": name} for name in names], "limit": PREVIEW_ROWS}
    try:
        # As the client reads: the API signs the query, the query service runs what is signed.
        answer = page.rest.put("project", page.project.id, "featurestores", "query", document=query)
        plan = read_plan(page.platform, answer["hqsPayload"])
        rows = run(page.platform, resolve(page.platform, *plan)).read_all().to_pylist()
        problem = ""
    except ApiError as error:
        rows, problem = [], error.message
    kinds = {feature["name"]: feature["type"] for feature in group["features"]}
    numeric = {name for name, kind in kinds.items() if kind.lower().startswith(_NUMERIC)}
    return _group_html(
        page,
        "rows",
        group=group,
        names=names,
        kinds=kinds,
        numeric=numeric,
        rows=rows,
        problem=problem,
        limit=PREVIEW_ROWS,
    )


@pages.get("/groups/{id:int}/lineage")
def group_lineage(page: Page) -> Response:
    """Show what a group comes from and what came of it."""
    group = _group(page)
    drawing = lineage(page, *_store(page), "featuregroups", group["id"])
    return _group_html(page, "lineage", group=group, drawing=drawing)


@pages.get("/groups/{id:int}/history")
def group_history(page: Page) -> Response:
    """Show the commits of a group, and what was done to it."""
    group = _group(page)
    commits = page.items(
        *_store(page), "featuregroups", group["id"], "commits", sort_by="committed_on:desc", offset=0, limit=MAX_COMMITS
    )
    activities = page.items(*_store(page), "featuregroups", group["id"], "activity", offset=0, limit=MAX_COMMITS)
    return _group_html(page, "history", group=group, commits=commits, activities=activities, limit=MAX_COMMITS)


def _described(feature: Json) -> Json:
    """Return a feature of a view with the description that its feature group gives it."""
    name = feature.get("featureGroupFeatureName") or feature["name"]
    origin = (feature.get("featuregroup") or {}).get("features") or []
    description = next((each.get("description") for each in origin if each["name"] == name), None)
    return {"description": description, **feature}


@pages.get("/views/{name}/{version:int}")
def view(page: Page) -> Response:
    """Show a feature view: its features, its training datasets, its lineage."""
    name, version = page.path["name"], page.path["version"]
    place = (*_store(page), "featureview", name, "version", version)
    document = page.get(*place, expand=["query", "features"])
    rows = [_feature_row(_described(feature)) for feature in document.get("features") or []]
    datasets = page.items(*place, "trainingdatasets")
    datasets.sort(key=lambda dataset: -dataset["version"])
    return page.html("view.html", view=document, rows=rows, datasets=datasets, drawing=lineage(page, *place))
