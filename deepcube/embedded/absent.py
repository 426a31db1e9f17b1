"""Calls that the client can make and this platform does not offer: their names, and what to use instead.

A request that no route answers is looked up here, so that the error names the client's call and not only a path.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from deepcube.embedded.errors import ApiError, unsupported


class Absent(NamedTuple):
    """One kind of request that is not offered.

    Attributes
    ----------
    method : str
        HTTP method, or ``*`` for any.
    path : re.Pattern
        The path below the API's prefix, from its start.
    call : str
        The client's calls that send it.
    instead : str
        Why it is not offered and what to use instead.
    """

    method: str
    path: re.Pattern[str]
    call: str
    instead: str


_ROWS = "the broker takes the rows of feature groups only; insert into one, and read the feature group"
_GIT = "put the files into the project with DatasetApi.upload"
_APPS = "run a web application beside the server; it reaches the platform with hopsworks.login()"
_TRINO = "query feature groups with the client (select, filter, join, read), or open their Delta tables with any engine"
_ACTIVE = "users are active from the start, get no mail and have no limits; there are set_role and delete_user"
_CHARTS = "draw what fg.read() returns; the console shows statistics, models and explanations"
_SOURCES = "bring rows in with fg.insert, or upload files and make an external feature group of them"


def _absent(method: str, path: str, call: str, instead: str) -> Absent:
    return Absent(method, re.compile(path), call, instead)


_PROJECT = r"/project/\d+"
_CONNECTOR = _PROJECT + r"/featurestores/\d+/storageconnectors/[^/]+"

ABSENT = (
    _absent("POST", _PROJECT + "/kafka/topics", "KafkaApi.create_topic", _ROWS),
    _absent("GET", _PROJECT + "/kafka/topics", "KafkaApi.get_topics, get_topic and get_subjects", _ROWS),
    _absent("*", _PROJECT + "/kafka/topics", "KafkaTopic.delete", _ROWS),
    _absent("POST", _PROJECT + "/kafka/subjects", "KafkaApi.create_schema", _ROWS),
    _absent("GET", _PROJECT + "/kafka/subjects", "KafkaApi.get_schemas and get_schema", _ROWS),
    _absent("*", _PROJECT + "/kafka/subjects", "KafkaSchema.delete", _ROWS),
    _absent("*", _PROJECT + "/kafka/clusterinfo", "KafkaApi.get_default_config", _ROWS),
    _absent("POST", _PROJECT + "/git/clone", "GitApi.clone", _GIT),
    _absent("*", _PROJECT + "/git", "GitApi.get_repos and get_repo", _GIT),
    _absent("GET", "/users/git/provider", "GitApi.get_providers and get_provider", _GIT),
    _absent("*", "/users/git/provider", "GitApi.set_provider", _GIT),
    _absent("PUT", r"/admin/users/\d+/accepted", "UsersApi.activate_user", _ACTIVE),
    _absent("PUT", r"/admin/users/\d+/rejected", "UsersApi.reject_user", _ACTIVE),
    _absent("*", r"/admin/users/\d+/pending", "UsersApi.resend_confirmation_email", _ACTIVE),
    _absent("PUT", r"/admin/users/\d+$", "UsersApi.update_user", _ACTIVE),
    _absent("GET", _PROJECT + "/apps", "AppApi.get_apps and get_app", _APPS),
    _absent("*", _PROJECT + "/apps", "AppApi", _APPS),
    _absent("*", _PROJECT + "/superset", "SupersetApi", _CHARTS),
    _absent("*", _PROJECT + "/trino", "TrinoCatalogApi", _TRINO),
    _absent("*", "/admin/trino", "TrinoCatalogApi.restart", _TRINO),
    _absent(
        "*",
        _PROJECT + r"/modelregistries/\d+/models/huggingface",
        "ModelRegistry.hf_download",
        "fetch the files with huggingface_hub and save them with create_model(...).save(...)",
    ),
    _absent("POST", _PROJECT + "/charts", "FeatureStore.create_chart", _CHARTS),
    _absent("*", _PROJECT + "/charts", "FeatureStore.get_charts and get_chart", _CHARTS),
    _absent("POST", _PROJECT + "/dashboards", "FeatureStore.create_dashboard", _CHARTS),
    _absent("*", _PROJECT + "/dashboards", "FeatureStore.get_dashboards and get_dashboard", _CHARTS),
    _absent("*", _CONNECTOR + "/data_source/databases", "DataSource.get_databases", _SOURCES),
    _absent("*", _CONNECTOR + "/data_source/tables", "DataSource.get_tables", _SOURCES),
    _absent("*", _CONNECTOR + "/data_source/data", "DataSource.get_data", _SOURCES),
    _absent("*", _CONNECTOR + "/data_source/metadata", "DataSource.get_metadata", _SOURCES),
    _absent("*", _CONNECTOR + "/data_source", "DataSource", _SOURCES),
    _absent(
        "*",
        _PROJECT + r"/featurestores/\d+/featuregroups/\d+/datasource/test",
        "ExternalFeatureGroup.test_data_source_access",
        "read the group, which says what cannot be read",
    ),
    _absent(
        "*",
        _PROJECT + r"/featurestores/\d+/trainingdatasets/[^/]+",
        "TrainingDataset",
        "Hopsworks replaced it; use the calls of the feature view for its training datasets",
    ),
    _absent(
        "*",
        _CONNECTOR + "/provenance",
        "StorageConnector.get_feature_groups_provenance and get_training_datasets_provenance",
        "use fg.get_parent_feature_groups() and fv.get_parent_feature_groups()",
    ),
)


def explain(method: str, path: str) -> ApiError:
    """Build the error for a request that no route answers.

    Parameters
    ----------
    method : str
        HTTP method.
    path : str
        Path below the API's prefix.
    """
    for absent in ABSENT:
        match = absent.path.match(path) if absent.method in (method, "*") else None
        if match is not None and path[match.end() :][:1] in ("", "/"):
            return unsupported(absent.call, absent.instead)
    return unsupported(f"{method} {path}", "there is no such call here; see docs/embedded.md for those there are")
