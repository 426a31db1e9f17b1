"""Feature views: a query with what each of its columns is for, kept in the catalog.

The stored query names feature groups by id only; their documents are put in when a view is read, so a view always shows
its groups as they are. A view whose group was deleted stays, and reading it says which group is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from deepcube.embedded.catalog import DuplicateEntityError, Entity
from deepcube.embedded.errors import FEATURE_VIEW_EXISTS, FEATURE_VIEW_NOT_FOUND, bad_request, conflict, not_found
from deepcube.embedded.keys import OWNER
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.query.plans import slim
from deepcube.embedded.query.resolve import SEMI, Node, Output, Query, resolve
from deepcube.embedded.query.shape import check_query
from deepcube.embedded.store import groups
from deepcube.embedded.store.names import check_name, check_version

KIND = "feature_view"

Json = dict[str, Any]

#: Functions that add parts of other modules (tags, ...) to a view's document.
DOCUMENT_PARTS: list[Callable[[Platform, Entity, Json], None]] = []
#: Functions called, inside the transaction, with the entity and the request's document when a view is made.
CREATE_HOOKS: list[Callable[[Platform, Project, Entity, Json], None]] = []
#: Functions called with a feature view before it is removed.
DELETE_HOOKS: list[Callable[[Platform, Project, Entity], None]] = []

_ROLES = ("label", "inferenceHelperColumn", "trainingHelperColumn")


def find_view(platform: Platform, project: Project, name: str, version: int) -> Entity:
    """Return a feature view.

    Raises
    ------
    ApiError
        404 (270181) if there is none.
    """
    entity = platform.catalog.first(project.id, KIND, name=name, version=version)
    if entity is None:
        raise not_found(
            f"no feature view named {name!r} version {version} in project {project.name!r}", FEATURE_VIEW_NOT_FOUND
        )
    return entity


def named_views(platform: Platform, project: Project, name: str) -> list[Entity]:
    """Return the versions of a feature view.

    Raises
    ------
    ApiError
        404 (270181) if there is none.
    """
    found = platform.catalog.find(project.id, KIND, name=name)
    if not found:
        raise not_found(f"no feature view named {name!r} in project {project.name!r}", FEATURE_VIEW_NOT_FOUND)
    return found


def create_view(platform: Platform, project: Project, document: Json) -> Entity:
    """Make a feature view from the client's document.

    Raises
    ------
    ApiError
        400 if the document is not valid, 270179 if the version exists, 404 if a feature group is missing.
    """
    name = check_name(document.get("name"), "feature view")
    version = check_version(document.get("version"), "feature view")
    if not isinstance(document.get("query"), dict):
        raise bad_request(f"feature view {name!r} has no query; compose one from feature groups")
    check_query(document["query"])
    marked = document.get("features") or []
    if not isinstance(marked, list) or not all(isinstance(mark, dict) for mark in marked):
        raise bad_request(f"the features of feature view {name!r} must be a list of objects")
    plain = without_time_travel(document["query"])
    query = resolve(platform, project, plain)
    body: Json = {
        "description": document.get("description"),
        "query": _settled(query.root, plain),
        "features": _features(query, marked),
        "servingKeys": _serving_keys(query.root),
        "transformationFunctions": document.get("transformationFunctions") or [],
        "loggingEnabled": bool(document.get("loggingEnabled")),
        "extraLogColumns": document.get("extraLogColumns"),
        "maxFeatureAgeSecs": document.get("maxFeatureAgeSecs"),
        "creator": OWNER.document(),
    }
    _check_names(name, body["features"])
    with platform.catalog.transaction():
        if version is None:
            version = platform.catalog.next_version(project.id, KIND, name)
        try:
            entity = platform.catalog.add(project.id, KIND, name, body, version=version)
        except DuplicateEntityError:
            raise conflict(
                f"feature view {name!r} version {version} exists already; get it, or name another version",
                FEATURE_VIEW_EXISTS,
            ) from None
        for hook in CREATE_HOOKS:
            hook(platform, project, entity, document)
    return entity


def without_time_travel(query: Json) -> Json:
    """Return a query without time travel, which views do not have."""
    slimmed = slim(query)
    for key in ("leftFeatureGroupStartTime", "leftFeatureGroupEndTime", "lookback", "spine"):
        slimmed.pop(key, None)
    for join in slimmed["joins"]:
        join["query"] = without_time_travel(join["query"])
    return slimmed


def _settled(node: Node, document: Json) -> Json:
    """Write what was decided about a query into its document: which features, under which prefix, by which keys."""
    joins = [
        {
            "type": join.kind if join.kind != SEMI else "LEFT_SEMI_JOIN",
            "prefix": join.prefix or None,
            "on": [],
            "leftOn": [left.name for left, _ in join.keys],
            "rightOn": [right.name for _, right in join.keys],
            "query": _settled(join.node, below["query"]),
        }
        for join, below in zip(node.joins, document["joins"], strict=True)
    ]
    return {**document, "leftFeatures": [_selected(output) for output in node.outputs], "joins": joins}


def _selected(output: Output) -> Json:
    selected: Json = {"name": output.column.name}
    if output.feature.get("useFullyQualifiedName"):
        selected["useFullyQualifiedName"] = True
    return selected


def _features(query: Query, marked: list[Json]) -> list[Json]:
    """Return the columns of a view; a mark goes to the first column that it can mean."""
    features: list[Json] = []
    marks = [mark for mark in marked if any(mark.get(role) for role in _ROLES)]
    for index, output in enumerate(query.outputs):
        source = query.sources[output.column.source]
        feature = next(f for f in source.body["features"] if f["name"] == output.column.name)
        document: Json = {
            "name": output.name,
            "type": output.column.kind,
            "index": index,
            "featureGroupFeatureName": output.column.name,
            "groupId": source.group.id,
            "source": output.column.source,
            "onDemand": feature["onDemand"],
            **dict.fromkeys(_ROLES, False),
        }
        for mark in [mark for mark in marks if _means(mark, output, source.group)]:
            document.update({role: True for role in _ROLES if mark.get(role)})
            marks.remove(mark)
        features.append(document)
    if marks:
        raise bad_request(f"the query does not select {', '.join(repr(mark.get('name')) for mark in marks)}")
    return features


def _means(mark: Json, output: Output, group: Entity) -> bool:
    wanted = (mark.get("featuregroup") or {}).get("id")
    return mark.get("name") in (output.column.name, output.name) and wanted in (None, group.id)


def _check_names(view: str, features: list[Json]) -> None:
    names = [feature["name"] for feature in features]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise bad_request(
            f"feature view {view!r} would have several features named {', '.join(twice)}; give the join a prefix"
        )


def _serving_keys(root: Node) -> list[Json]:
    """Return the keys that a lookup needs: of the root, and of each query joined to it.

    A key that is joined is looked up under the name that it is joined to. What is joined further down is found by the
    online store itself.
    """
    keys = [
        _serving_key(0, root.source.group.id, name, "", None, True) for name in groups.primary_key(root.source.body)
    ]
    for index, join in enumerate(root.joins, start=1):
        joined = {right.name: left.name for left, right in join.keys}
        for name in groups.primary_key(join.node.source.body):
            left = joined.get(name)
            keys.append(_serving_key(index, join.node.source.group.id, name, join.prefix, left, left is None))
    return keys


def _serving_key(index: int, group_id: int, name: str, prefix: str, joined: str | None, required: bool) -> Json:
    return {
        "featureName": name,
        "joinIndex": index,
        "groupId": group_id,
        "prefix": prefix,
        "joinOn": joined,
        "required": required,
    }


def update_view(platform: Platform, entity: Entity, document: Json) -> Entity:
    """Change the description of a feature view."""
    return platform.catalog.update(entity, {**entity.body, "description": document.get("description")})


def view_document(platform: Platform, project: Project, entity: Entity) -> Json:
    """Return a feature view as the REST API writes one.

    Raises
    ------
    ApiError
        404 (270009) if a feature group of its query is gone.
    """
    body, expanded = entity.body, Expander(platform, project)
    document = {
        **{key: body.get(key) for key in ("description", "creator", "loggingEnabled", "maxFeatureAgeSecs")},
        "id": entity.id,
        "name": entity.name,
        "version": entity.version,
        "created": entity.created,
        "type": "featureViewDTO",
        "featurestoreId": project.id,
        "featurestoreName": project.featurestore_name,
        "query": expanded.query(body["query"]),
        "features": [expanded.feature(feature) for feature in body["features"]],
        "servingKeys": [{**key, "featureGroup": expanded.group(key["groupId"])} for key in body["servingKeys"]],
        "transformationFunctions": body["transformationFunctions"],
        "onDemandTransformationFunctions": expanded.on_demand_functions(body["features"]),
    }
    for part in DOCUMENT_PARTS:
        part(platform, entity, document)
    return document


class Expander:
    """Puts the documents of feature groups in where a view names them by id; each is read once.

    Parameters
    ----------
    platform, project : Platform, Project
        Where the view is.
    """

    def __init__(self, platform: Platform, project: Project) -> None:
        self._platform = platform
        self._project = project
        self._groups: dict[int, Json] = {}

    def group(self, group_id: int) -> Json:
        """Return the document of a feature group."""
        if group_id not in self._groups:
            entity = groups.find_group(self._platform, self._project, group_id)
            self._groups[group_id] = groups.group_document(self._platform, entity)
        return self._groups[group_id]

    def query(self, document: Json) -> Json:
        """Return a query with whole feature groups and features."""
        group = self.group(document["leftFeatureGroup"]["id"])
        features = {feature["name"]: feature for feature in group["features"]}
        return {
            **document,
            "featureStoreName": group["featurestoreName"],
            "featureStoreId": group["featurestoreId"],
            "leftFeatureGroup": group,
            "leftFeatures": [{**features[chosen["name"]], **chosen} for chosen in document["leftFeatures"]],
            "joins": [{**join, "query": self.query(join["query"])} for join in document["joins"]],
        }

    def feature(self, document: Json) -> Json:
        """Return a column of a view with its feature group and, if it is computed on demand, the function."""
        group = self.group(document["groupId"])
        function = None
        if document["onDemand"]:
            function = _producer(group, document["featureGroupFeatureName"])
        return {**document, "featuregroup": group, "transformationFunction": function}

    def on_demand_functions(self, features: list[Json]) -> list[Json]:
        """Return every on-demand function that a view's columns depend on, those of dropped columns included."""
        needed = {feature["groupId"] for feature in features if feature["onDemand"]}
        return [
            function for group_id in needed for function in self.group(group_id).get("transformationFunctions") or []
        ]


def _producer(group: Json, feature: str) -> Json | None:
    """Return the function of a group that computes a feature."""
    for function in group.get("transformationFunctions") or []:
        if feature in (function.get("hopsworksUdf") or {}).get("outputColumnNames", []):
            return dict(function)
    return None


def dependents(platform: Platform, group_id: int) -> list[Entity]:
    """Return the feature views, of all projects, whose query uses a feature group."""
    return [view for view in platform.catalog.find(None, KIND) if group_id in group_ids(view)]


def group_ids(view: Entity) -> list[int]:
    """Return the ids of the feature groups of a view's query, each once, in the order of the query."""
    return list(dict.fromkeys(_group_ids(view.body["query"])))


def _group_ids(query: Json) -> Iterator[int]:
    yield query["leftFeatureGroup"]["id"]
    for join in query["joins"]:
        yield from _group_ids(join["query"])


def is_whole(platform: Platform, project: Project, view: Entity) -> bool:
    """Tell whether every feature group of a view's query is still there for the project."""
    found = (platform.catalog.get(group_id, groups.KIND) for group_id in group_ids(view))
    return all(group is not None and groups.may_read(platform, project, group) for group in found)
