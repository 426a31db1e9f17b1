"""What people say of an artifact: tags (a name and any JSON value), tag schemas, and keywords.

A tag needs no schema here; where one is registered under its name, the value must satisfy it.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from typing import Any

from deepcube.embedded.catalog import DuplicateEntityError, Entity
from deepcube.embedded.errors import TAG_NOT_FOUND, bad_request, conflict, not_found, unsupported
from deepcube.embedded.platform import Platform
from deepcube.embedded.quality import checks

TAG = "tag"
KEYWORD = "keyword"
SCHEMA = "tag_schema"
TAGGED_PATH = "tagged_path"
SCHEMA_NOT_FOUND = 370000
SCHEMA_EXISTS = 370001
VALUE_NOT_ALLOWED = 370005
MAX_NAME = 255

Json = dict[str, Any]


def set_tag(platform: Platform, artifact: Entity, name: str, value: Any) -> Entity:
    """Attach a tag, or replace its value; the time of attachment is then the time of the replacement.

    Parameters
    ----------
    platform : Platform
        Shared state.
    artifact : Entity
        What is tagged.
    name : str
        Name of the tag.
    value : object
        Any JSON value.

    Raises
    ------
    ApiError
        400 if the name is too long or the value does not satisfy the tag's schema.
    """
    checks.name(name, "the name of a tag", MAX_NAME)
    _check_value(platform, name, value)
    catalog = platform.catalog
    with catalog.transaction():
        earlier = catalog.first(artifact.project_id, TAG, name=name, parent_id=artifact.id)
        if earlier is not None:
            catalog.remove(earlier)
        return catalog.add(artifact.project_id, TAG, name, {"value": json.dumps(value)}, parent_id=artifact.id)


def set_tags(platform: Platform, artifact: Entity, document: Any) -> None:
    """Attach the tags that came with the creation of an artifact.

    Parameters
    ----------
    platform : Platform
        Shared state.
    artifact : Entity
        What is tagged.
    document : dict or None
        ``{"count": n, "items": [{"name", "value"}]}``. The client writes an object value as JSON text and every other
        value as it is, so that only text that holds an object is read as JSON.
    """
    for item in checks.objects(checks.mapping(document, "tags").get("items"), "the items of tags"):
        set_tag(
            platform, artifact, checks.name(item.get("name"), "the name of a tag"), _creation_value(item.get("value"))
        )


def _creation_value(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def tags(platform: Platform, artifact: Entity, name: str | None = None) -> list[Json]:
    """Return the tags of an artifact as the REST API writes them.

    Raises
    ------
    ApiError
        404 (370002) if a tag is named and not attached.
    """
    found = platform.catalog.find(artifact.project_id, TAG, parent_id=artifact.id, name=name)
    if name is not None and not found:
        raise not_found(f"{_label(artifact)} has no tag {name!r}", TAG_NOT_FOUND)
    return [{"name": tag.name, "value": tag.body["value"], "createdOn": tag.created_ms} for tag in found]


def delete_tag(platform: Platform, artifact: Entity, name: str) -> None:
    """Detach a tag.

    Raises
    ------
    ApiError
        404 (370002) if it is not attached.
    """
    with platform.catalog.transaction():
        found = platform.catalog.first(artifact.project_id, TAG, parent_id=artifact.id, name=name)
        if found is None:
            raise not_found(f"{_label(artifact)} has no tag {name!r}", TAG_NOT_FOUND)
        platform.catalog.remove(found)


def tagged_path(platform: Platform, project_id: int, path: str) -> Entity:
    """Return the entity to which the tags of a file or folder are attached; made at the first tag.

    Parameters
    ----------
    platform : Platform
        Shared state.
    project_id : int
        Project of the file.
    path : str
        Public path of the file, ``/Projects/...``.
    """
    with platform.catalog.transaction():
        found = platform.catalog.first(project_id, TAGGED_PATH, name=path)
        return found or platform.catalog.add(project_id, TAGGED_PATH, path, {})


def _label(artifact: Entity) -> str:
    version = f" version {artifact.version}" if artifact.version else ""
    return f"{artifact.kind.replace('_', ' ')} {artifact.name!r}{version}"


def create_schema(platform: Platform, name: str, text: str) -> Entity:
    """Register the schema that the values of a tag must satisfy.

    Raises
    ------
    ApiError
        400 if it is not a JSON Schema or one of this name exists.
    """
    checks.name(name, "the name of a tag", MAX_NAME)
    jsonschema = _jsonschema()
    try:
        schema = json.loads(text)
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except (ValueError, jsonschema.SchemaError) as error:
        raise bad_request(f"the schema of tag {name!r} is not a JSON Schema: {error}") from None
    try:
        return platform.catalog.add(0, SCHEMA, name, {"schema": text})
    except DuplicateEntityError:
        raise conflict(f"a schema of tag {name!r} exists already; delete it first", SCHEMA_EXISTS) from None


def schema(platform: Platform, name: str) -> Entity:
    """Return a tag schema.

    Raises
    ------
    ApiError
        404 if there is none of this name.
    """
    found = platform.catalog.first(0, SCHEMA, name=name)
    if found is None:
        raise not_found(f"no schema of a tag named {name!r}", SCHEMA_NOT_FOUND)
    return found


def schema_document(entity: Entity) -> Json:
    """Return a tag schema as the REST API writes one."""
    return {"name": entity.name, "value": entity.body["schema"]}


def _check_value(platform: Platform, name: str, value: Any) -> None:
    registered = platform.catalog.first(0, SCHEMA, name=name)
    if registered is None:
        return
    jsonschema = _jsonschema()
    from referencing import Registry  # comes with jsonschema

    rules = json.loads(registered.body["schema"])
    # An empty registry: a reference inside the schema must never make this server fetch something.
    checker = jsonschema.validators.validator_for(rules)(rules, registry=Registry())
    try:
        problem = next(iter(checker.iter_errors(value)), None)
    except Exception as error:  # an unresolvable reference; its class is not public
        raise bad_request(f"the schema of tag {name!r} cannot be applied: {error}", VALUE_NOT_ALLOWED) from None
    if problem is not None:
        raise bad_request(
            f"the value of tag {name!r} does not satisfy its schema: {problem.message}", VALUE_NOT_ALLOWED
        )


def _jsonschema() -> Any:
    try:
        return importlib.import_module("jsonschema")
    except ImportError:
        raise unsupported("a tag schema", "it needs the package jsonschema, which is not installed") from None


def keywords(platform: Platform, artifact: Entity) -> Json:
    """Return the keywords of an artifact as the REST API writes them."""
    found = platform.catalog.find(artifact.project_id, KEYWORD, parent_id=artifact.id)
    found.sort(key=lambda entity: entity.name)
    return {
        "keywords": [entity.name for entity in found],
        "items": [{"name": entity.name, "createdOn": entity.created_ms} for entity in found],
    }


def replace_keywords(platform: Platform, artifact: Entity, wanted: Iterable[Any]) -> Json:
    """Give an artifact exactly these keywords; those it had keep the time of their attachment.

    Raises
    ------
    ApiError
        400 if one is not a text of 1 to 255 characters.
    """
    names = {checks.name(keyword, "a keyword", MAX_NAME) for keyword in wanted}
    catalog = platform.catalog
    with catalog.transaction():
        present = catalog.find(artifact.project_id, KEYWORD, parent_id=artifact.id)
        for entity in present:
            if entity.name not in names:
                catalog.remove(entity)
        for name in names - {entity.name for entity in present}:
            catalog.add(artifact.project_id, KEYWORD, name, {}, parent_id=artifact.id)
        return keywords(platform, artifact)


def delete_keyword(platform: Platform, artifact: Entity, keyword: str) -> Json:
    """Take a keyword from an artifact and return those that remain; an absent one is fine."""
    with platform.catalog.transaction():
        found = platform.catalog.first(artifact.project_id, KEYWORD, name=keyword, parent_id=artifact.id)
        if found is not None:
            platform.catalog.remove(found)
        return keywords(platform, artifact)


def all_keywords(platform: Platform, project_id: int) -> list[str]:
    """Return every keyword used in a project."""
    return sorted({entity.name for entity in platform.catalog.find(project_id, KEYWORD)})
