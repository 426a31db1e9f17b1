"""Features of feature groups: what a client's document says of them, checked."""

from __future__ import annotations

from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import bad_request, unsupported
from deepcube.embedded.store.names import check_name
from deepcube.embedded.store.types import arrow_type, online_type

Json = dict[str, Any]

STREAM, BATCH, EXTERNAL = "streamFeatureGroupDTO", "cachedFeaturegroupDTO", "onDemandFeaturegroupDTO"
_FEATURE_FLAGS = ("primary", "foreign", "partition", "hudiPrecombineKey", "offlineOnly", "onDemand")


def feature_document(document: Json) -> Json:
    """Return a feature as it is kept, from the client's document.

    Raises
    ------
    ApiError
        400 if its name or its type is not one that Hopsworks has.
    """
    name, kind = check_name(document.get("name"), "feature"), document.get("type")
    if not isinstance(kind, str):
        raise bad_request(f"feature {name!r} has no type; give it one, or insert data that has one")
    arrow_type(kind)
    feature: Json = {flag: bool(document.get(flag)) for flag in _FEATURE_FLAGS}
    for key in ("description", "defaultValue", "columnName"):
        feature[key] = document.get(key)
    return {"name": name, "type": kind, "onlineType": document.get("onlineType") or online_type(kind), **feature}


def check_body(name: str, body: Json) -> None:
    """Check a feature group as a whole; one of format HUDI gets the key that the client looks for.

    Raises
    ------
    ApiError
        400 if features, event time or type do not fit together, 501 for a format that is not offered.
    """
    features = body["features"]
    names = [feature["name"] for feature in features]
    if body["type"] not in (STREAM, BATCH, EXTERNAL):
        raise bad_request(f"feature group type {body['type']!r} is not one of {STREAM}, {BATCH}, {EXTERNAL}")
    twice = sorted({feature for feature in names if names.count(feature) > 1})
    if twice:
        raise bad_request(f"feature group {name!r} has features of the same name: {', '.join(twice)}")
    if body.get("timeTravelFormat") == "ICEBERG":
        raise unsupported("time_travel_format='ICEBERG'", "feature groups are Delta tables here; use 'DELTA'")
    event = body.get("eventTime")
    if event is not None and names and event not in names:
        raise bad_request(f"event time {event!r} of feature group {name!r} is not among its features: {names}")
    kinds = {feature["name"]: feature["type"].lower() for feature in features}
    if event in kinds and kinds[event] not in ("timestamp", "date", "bigint", "int"):
        raise bad_request(
            f"event time {event!r} of feature group {name!r} has type {kinds[event]!r}; it must be timestamp, date, "
            "bigint or int"
        )
    if body.get("timeTravelFormat") == "HUDI" and features and not any(f["hudiPrecombineKey"] for f in features):
        chosen = event or next((f["name"] for f in features if f["primary"]), names[0])
        next(f for f in features if f["name"] == chosen)["hudiPrecombineKey"] = True


def merged_features(entity: Entity, wanted: list[Json]) -> list[Json]:
    """Return the features that a group is to have, if it may: none vanishes, and none changes its type.

    The client names changed features last; here they keep their places, as in the table.

    Raises
    ------
    ApiError
        400 if it may not.
    """
    known = {feature["name"]: feature for feature in entity.body["features"]}
    names = [feature["name"] for feature in wanted]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise bad_request(f"feature group {entity.name!r} has these features already: {', '.join(twice)}")
    missing = sorted(set(known) - set(names))
    if missing:
        raise bad_request(
            f"features cannot be removed from feature group {entity.name!r}: {', '.join(missing)}; make a new version"
        )
    for feature in wanted:
        old = known.get(feature["name"])
        if old is not None and arrow_type(old["type"]) != arrow_type(feature["type"]):
            raise bad_request(
                f"feature {feature['name']!r} of feature group {entity.name!r} has type {old['type']!r} and cannot "
                f"become {feature['type']!r}; make a new version"
            )
        if old is None and (feature["primary"] or feature["partition"]):
            raise bad_request(
                f"appended feature {feature['name']!r} cannot be a key of feature group {entity.name!r}; make a new "
                "version"
            )
    places = {name: place for place, name in enumerate(known)}
    return sorted(wanted, key=lambda feature: places.get(feature["name"], len(places)))
