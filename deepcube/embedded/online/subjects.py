"""Subjects: the schemas with which records on the broker are encoded, one version for each set of features.

A record names the version it was encoded with, so records from before features were appended are still understood.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.online.avro import RowCodec, record_schema
from deepcube.embedded.online.columns import Column, columns_of
from deepcube.embedded.platform import Platform

KIND = "kafka_subject"
_KEPT = ("name", "type", "primary", "defaultValue")


def current_subject(platform: Platform, group: Entity) -> Entity:
    """Return the subject of a feature group's features as they are now; it is registered if they changed.

    Parameters
    ----------
    platform : Platform
        Where subjects are kept.
    group : Entity
        The feature group.
    """
    features = [{key: feature.get(key) for key in _KEPT} for feature in group.body["features"]]
    with platform.catalog.transaction():
        newest = platform.catalog.first(group.project_id, KIND, parent_id=group.id, newest_first=True)
        if newest is not None and newest.body["features"] == features:
            return newest
        version = 1 if newest is None else newest.version + 1
        name = f"{group.name}_{group.version}"
        return platform.catalog.add(
            group.project_id, KIND, name, {"features": features}, version=version, parent_id=group.id
        )


def subject_document(platform: Platform, subject: Entity) -> dict[str, Any]:
    """Return a subject as the REST API writes one; its schema is JSON within a string."""
    namespace = f"{platform.project(subject.project_id).name}_featurestore.db"
    schema = record_schema(subject.name, namespace, columns_of(subject.body["features"]))
    return {"id": subject.id, "subject": subject.name, "version": subject.version, "schema": json.dumps(schema)}


def codec_of(subject: Entity) -> RowCodec:
    """Return what reads the records of a subject."""
    return _codec(columns_of(subject.body["features"]))


@lru_cache(maxsize=256)
def _codec(columns: tuple[Column, ...]) -> RowCodec:
    return RowCodec(columns)
