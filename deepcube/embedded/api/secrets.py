"""Secrets and account-wide environment variables. A list never has values, only what is asked for by name has."""

from __future__ import annotations

from typing import Any

from deepcube.embedded.catalog import Entity
from deepcube.embedded.errors import bad_request
from deepcube.embedded.routing import Call, Json, Routes, items
from deepcube.embedded.runtime.vault import Vault

routes = Routes("/users")


def _vault(call: Call) -> Vault:
    return call.platform.service(Vault)


def _secret_document(entity: Entity, value: str | None = None) -> dict[str, Any]:
    document = {"name": entity.body["name"], "addedOn": entity.created, "visibility": entity.body["visibility"]}
    document |= {"scope": entity.body["scope"], "owner": entity.body["owner"]}
    return document if value is None else {**document, "secret": value}


@routes.get("/secrets")
def secrets(call: Call) -> Json:
    """List the caller's secrets, without their values."""
    return items([_secret_document(entity) for entity in _vault(call).secrets(call.user)])


@routes.post("/secrets")
def create_secret(call: Call) -> Json:
    """Keep a secret."""
    document, scope = call.document, call.document.get("scope")
    visibility = str(document.get("visibility") or "PRIVATE").upper()
    if visibility not in ("PRIVATE", "PROJECT"):
        raise bad_request(f"a secret is PRIVATE or shared with a PROJECT, found {visibility!r}")
    if scope is not None and not str(scope).isdecimal():
        raise bad_request(f"the scope of a secret is the id of a project, found {scope!r}")
    project = None if scope is None else int(scope)
    entity = _vault(call).create_secret(call.user, document.get("name"), document.get("secret"), visibility, project)
    return items([_secret_document(entity)])


@routes.delete("/secrets")
def remove_secrets(call: Call) -> None:
    """Forget all secrets of the caller."""
    for entity in _vault(call).secrets(call.user):
        _vault(call).remove_secret(call.user, entity.body["name"])


@routes.get("/secrets/shared")
def shared_secret(call: Call) -> Json:
    """Return a secret that another user shares with a project of the caller."""
    name, owner = call.parameter("name"), call.parameter("owner")
    if not name or not owner:
        raise bad_request("a shared secret is asked for by name and owner")
    entity = _vault(call).shared_secret(call.user, owner, name)
    return items([_secret_document(entity, _vault(call).value(entity))])


@routes.get("/secrets/{name}")
def secret(call: Call) -> Json:
    """Return one secret with its value."""
    entity = _vault(call).secret(call.user, call.path["name"])
    return items([_secret_document(entity, _vault(call).value(entity))])


@routes.delete("/secrets/{name}")
def remove_secret(call: Call) -> None:
    """Forget a secret."""
    _vault(call).remove_secret(call.user, call.path["name"])


def _variable_document(call: Call, entity: Entity, *, with_value: bool) -> dict[str, Any]:
    secret_name = entity.body["secret"]
    document = {"name": entity.body["name"], "addedOn": entity.created, "updatedOn": entity.created}
    document |= {"secretName": secret_name, "secretBacked": secret_name is not None, "visibility": "PRIVATE"}
    return {**document, "value": _vault(call).value(entity)} if with_value and secret_name is None else document


@routes.get("/envvars")
def variables(call: Call) -> Json:
    """List the caller's environment variables; with values only if asked for."""
    with_value = call.flag("includeValue")
    found = _vault(call).variables(call.user)
    return items([_variable_document(call, entity, with_value=with_value) for entity in found])


@routes.post("/envvars")
def create_variable(call: Call) -> Json:
    """Keep an environment variable."""
    return _set_variable(call, call.document.get("name"), create=True)


@routes.put("/envvars/{name}")
def update_variable(call: Call) -> Json:
    """Change an environment variable."""
    return _set_variable(call, call.path["name"], create=False)


def _set_variable(call: Call, name: Any, *, create: bool) -> Json:
    if (call.document.get("visibility") or "PRIVATE") != "PRIVATE":
        raise bad_request("environment variables are PRIVATE here; share a secret with the project instead")
    document = call.document
    entity = _vault(call).set_variable(
        call.user, name, document.get("value"), document.get("secretName"), create=create
    )
    return items([_variable_document(call, entity, with_value=True)])


@routes.delete("/envvars")
def remove_variables(call: Call) -> None:
    """Forget all environment variables of the caller."""
    for entity in _vault(call).variables(call.user):
        _vault(call).remove_variable(call.user, entity.body["name"])


@routes.get("/envvars/{name}")
def variable(call: Call) -> Json:
    """Return one environment variable with its value."""
    entity = _vault(call).variable(call.user, call.path["name"])
    return items([_variable_document(call, entity, with_value=True)])


@routes.delete("/envvars/{name}")
def remove_variable(call: Call) -> None:
    """Forget an environment variable."""
    _vault(call).remove_variable(call.user, call.path["name"])
