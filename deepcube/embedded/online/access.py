"""Who may use the online wires: a user and a password per project, and the connector documents that tell the client.

The passwords are derived from the platform's own with HMAC-SHA-256 (RFC 2104), so none is stored per project and the
password of one project opens no other. The client gets them through the REST API, which checks its API key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from deepcube.embedded.platform import Platform, Project

_SUFFIX = "_deepcube"

Json = dict[str, Any]


def user_name(project: Project) -> str:
    """Return the user by which the online wires know a project."""
    return project.name + _SUFFIX


def project_of(platform: Platform, user: str) -> Project | None:
    """Return the project of a user of the online wires, or None if there is no such user."""
    name = user.removesuffix(_SUFFIX)
    if name == user:
        return None
    return next((project for project in platform.projects() if project.name == name), None)


def database_password(platform: Platform, project: Project) -> str:
    """Return the project's password for the MySQL wire."""
    return _derive(platform.settings.online_password, project)


def broker_password(platform: Platform, project: Project) -> str:
    """Return the project's password for the Kafka wire."""
    return _derive(platform.settings.broker_password, project)


def _derive(secret: str, project: Project) -> str:
    digest = hmac.new(secret.encode(), f"{project.id}:{project.name}".encode(), hashlib.sha256).digest()
    # Only letters and digits: the client pastes the password into a URL and into a quoted option.
    return base64.b32encode(digest).decode().rstrip("=").lower()


def online_connector(platform: Platform, project: Project) -> Json:
    """Return the document of the connector ``onlinefeaturestore``: how the client reaches the MySQL wire.

    The client fixes port 3306 and does not use TLS on it; the password is never sent, only a scramble of it.
    """
    host = platform.settings.mysql_host
    return {
        "type": "featurestoreJdbcConnectorDTO",
        "storageConnectorType": "JDBC",
        "id": connector_id(platform, project),
        "name": "onlinefeaturestore",
        "featurestoreId": project.id,
        "description": "online feature store",
        "connectionString": f"jdbc:mysql://{host}:3306/{project.name}?useSSL=false&allowPublicKeyRetrieval=true",
        "arguments": [
            {"name": "user", "value": user_name(project)},
            {"name": "password", "value": database_password(platform, project)},
            {"name": "driver", "value": "com.mysql.cj.jdbc.Driver"},
            {"name": "isolationLevel", "value": "NONE"},
            {"name": "batchsize", "value": "500"},
        ],
    }


def kafka_connector(platform: Platform, project: Project) -> Json:
    """Return the document of the connector ``kafka_connector``: how the client reaches the Kafka wire.

    SASL/PLAIN over TLS. With ``externalKafka`` false the client takes the authority's certificate from the key stores
    that came with its credentials. The idempotent producer is offered but not asked for: it makes every insert wait for
    half a second, and rows are upserts by key, so a batch that is sent twice changes nothing.
    """
    login = (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'username="{user_name(project)}" password="{broker_password(platform, project)}";'
    )
    return {
        "type": "featurestoreKafkaConnectorDTO",
        "storageConnectorType": "KAFKA",
        "id": connector_id(platform, project),
        "name": "kafka_connector",
        "featurestoreId": project.id,
        "description": "broker of the embedded platform",
        "bootstrapServers": f"127.0.0.1:{platform.settings.ports['broker']}",
        "securityProtocol": "SASL_SSL",
        "sslEndpointIdentificationAlgorithm": "https",
        "externalKafka": False,
        "options": [{"name": "sasl.jaas.config", "value": login}],
    }


def connector_id(platform: Platform, project: Project) -> int:
    """Return an id that is this home folder's own.

    The client names files in a shared temporary folder after the ids of project and connector; two servers on one
    machine must not overwrite each other's.
    """
    digest = hashlib.sha256(platform.certificates.authority.read_bytes() + str(project.id).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
