"""The calls that the documents of the embedded Hopsworks promise, and what the client offers: for their comparison.

The first cell of a row of a table of calls (``docs/embedded/*.md``) holds code spans. A span whose text starts with a
receiver (``fg.insert``, ``DatasetApi.upload``) names a call of it; one without goes on with the receiver of the span
before it. A span that ends in ``=`` or has ``=`` names a parameter; anything else in the cell is prose.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

#: Client classes whose public methods a table must name, with the names under which documents speak of their objects.
CLASSES = {
    "hopsworks_common.project:Project": ["project", "get_project", "create_project"],
    "hopsworks_common.project_member:ProjectMember": ["member"],
    "hopsworks_common.core.project_members_api:ProjectMembersApi": [],
    "hopsworks_common.core.users_api:UsersApi": ["users_api"],
    "hopsworks_common.core.tag_schemas_api:TagSchemasApi": [],
    "hopsworks_common.core.search_api:SearchApi": ["get_search_api"],
    "hopsworks_common.core.kafka_api:KafkaApi": [],
    "hopsworks_common.core.opensearch_api:OpenSearchApi": [],
    "hopsworks_common.core.git_api:GitApi": [],
    "hopsworks_common.core.app_api:AppApi": [],
    "hopsworks_common.core.superset_api:SupersetApi": [],
    "hopsworks_common.core.trino_api:TrinoApi": [],
    "hopsworks_common.core.trino_catalog_api:TrinoCatalogApi": [],
    "hopsworks_common.core.env_var_api:EnvVarsApi": [],
    "hopsworks_common.env_var:EnvVar": [],
    "hopsworks_common.core.secret_api:SecretsApi": [],
    "hopsworks_common.secret:Secret": [],
    "hopsworks_common.core.alerts_api:AlertsApi": [],
    "hopsworks_common.core.environment_api:EnvironmentApi": [],
    "hopsworks_common.environment:Environment": [],
    "hopsworks_common.core.dataset_api:DatasetApi": ["dataset_api"],
    "hopsworks_common.core.job_api:JobApi": [],
    "hopsworks_common.job:Job": ["job", "materialization_job"],
    "hopsworks_common.execution:Execution": [],
    "hsfs.feature_store:FeatureStore": ["fs"],
    "hsfs.feature_group:FeatureGroup": ["fg"],
    "hsfs.feature_group:ExternalFeatureGroup": ["external"],
    "hsfs.feature_group:SpineGroup": [],
    "hsfs.feature_view:FeatureView": ["fv"],
    "hsfs.training_dataset:TrainingDataset": [],
    "hsfs.constructor.query:Query": ["query"],
    "hsfs.storage_connector:HopsFSConnector": ["StorageConnector", "connector"],
    "hsfs.core.data_source:DataSource": [],
    "hsfs.embedding:EmbeddingIndex": ["embedding_index"],
    "hsfs.expectation_suite:ExpectationSuite": ["suite"],
    "hsfs.core.feature_monitoring_config:FeatureMonitoringConfig": ["config"],
    "hsfs.core.online_ingestion:OnlineIngestion": ["ingestion"],
    "hsfs.transformation_function:TransformationFunction": [],
    "hsfs.feature_group_writer:FeatureGroupWriter": [],
    "hsml.model_registry:ModelRegistry": [],
    "hsml.python:signature": ["python", "sklearn", "tensorflow", "torch", "llm"],
    "hsml.model:Model": ["model"],
    "hsml.model_serving:ModelServing": [],
    "hsml.deployment:Deployment": ["deployment"],
    "hsml.predictor:Predictor": [],
    "hsml.transformer:Transformer": [],
}

#: What classes of the client have to read and write their documents.
_PLUMBING = re.compile(
    r"^(from_|to_dict$|to_json_dict$|json$|update_from_response_json$|extract_fields_from_json$|public$)"
)
_PARAMETER = re.compile(r"^(?:.*[(,]\s*)?([a-z_]\w*)=")


@dataclass(frozen=True)
class Promise:
    """One call, or parameter, in a table of a document.

    Attributes
    ----------
    document : str
        Name of the file.
    text : str
        What the table says.
    receiver : str
        Name of the client's class, or ``hopsworks``, or empty if the table does not say.
    name : str
        Name of the method, property or parameter.
    parameter : bool
        Whether it is a parameter of some call.
    support : str
        The second cell.
    """

    document: str
    text: str
    receiver: str
    name: str
    parameter: bool
    support: str


@cache
def classes() -> dict[str, Any]:
    """Return the client's classes by name."""
    found = {}
    for path in CLASSES:
        module, _, name = path.partition(":")
        found[name] = getattr(importlib.import_module(module), name)
    return found


@cache
def _receivers() -> dict[str, str]:
    """Return the class of each word under which documents speak of one."""
    names = {path.partition(":")[2]: words for path, words in CLASSES.items()}
    return {word: name for name, words in names.items() for word in [name, *words]} | {"hopsworks": "hopsworks"}


def promises() -> list[Promise]:
    """Return all calls of all tables."""
    return [promise for path in sorted((ROOT / "docs/embedded").glob("*.md")) for promise in of_document(path)]


def of_document(path: Path) -> Iterator[Promise]:
    """Yield the calls of one document's tables."""
    inside = False
    for line in path.read_text().splitlines():
        if not line.startswith("|"):
            inside = False
        elif re.match(r"\| (client )?call ", line):
            inside = True
        elif inside and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            yield from of_cell(path.name, cells[0], cells[1])


def of_cell(document: str, cell: str, support: str) -> Iterator[Promise]:
    """Yield the calls that the first cell of a row names."""
    receiver = ""
    for span in re.findall(r"`([^`]+)`", cell):
        parameter = _PARAMETER.match(span)
        # The arguments, also those of a call in the middle of a chain, are no names.
        plain = re.sub(r"\([^()]*\)", "", span)
        *chain, name = plain.split(".")
        if re.fullmatch(r"[A-Za-z_]\w*", name) and "=" not in plain:
            if chain and chain[-1] in _receivers():
                receiver = _receivers()[chain[-1]]
            elif chain and chain != [""]:
                receiver = ""
            yield Promise(document, span, receiver, name, False, support)
        elif parameter is not None:
            yield Promise(document, span, "", parameter[1], True, support)


def exists(promise: Promise) -> bool:
    """Tell whether the installed client has what a table names."""
    if promise.parameter:
        return promise.name in _parameters()
    if promise.receiver == "hopsworks":
        return hasattr(importlib.import_module("hopsworks"), promise.name)
    if promise.receiver:
        return hasattr(classes()[promise.receiver], promise.name)
    return any(hasattr(cls, promise.name) for cls in classes().values()) or promise.name in _parameters()


@cache
def _parameters() -> frozenset[str]:
    """Return the names of the parameters of all calls."""
    found = set()
    for cls in classes().values():
        for _, function in inspect.getmembers(cls, callable):
            if inspect.isfunction(function) or inspect.ismethod(function):
                found |= set(inspect.signature(function).parameters)
    return frozenset(found)


def offered() -> Iterator[tuple[str, str]]:
    """Yield class and name of every public method of the client."""
    for class_name, cls in classes().items():
        for name in dir(cls):
            member = inspect.getattr_static(cls, name)
            if isinstance(member, staticmethod | classmethod):
                member = member.__func__
            if not name.startswith("_") and inspect.isfunction(member) and not _PLUMBING.match(name):
                yield class_name, name


def same_calls(owner: str) -> tuple[str, ...]:
    """Return the classes whose rows speak of a class's calls: every kind of feature group has those of the first."""
    return (owner, "FeatureGroup") if owner in ("ExternalFeatureGroup", "SpineGroup") else (owner,)


def exercised() -> frozenset[str]:
    """Return the names of all attributes, imports, keywords and texts in the tests of the embedded Hopsworks."""
    found: set[str] = set()
    for path in (ROOT / "tests/embedded").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.keyword) and node.arg:
                found.add(node.arg)
            elif isinstance(node, ast.alias):
                found.add(node.name)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                found.add(node.value)
    return frozenset(found)
