"""Who one is, by what one is let in, and what the client must know of the installation."""

from __future__ import annotations

import base64

from deepcube.embedded.errors import VARIABLE_NOT_FOUND, not_found
from deepcube.embedded.online.keystore import key_store, trust_store
from deepcube.embedded.platform import Platform
from deepcube.embedded.query import passes
from deepcube.embedded.routing import Call, Json, Routes

routes = Routes()

HOPSWORKS_VERSION = "5.2.1"


def variables(platform: Platform) -> dict[str, str]:
    """Return the installation's variables.

    The client appends a fixed port (``:5005``, ``:4406``, ``:9200``) to the hosts of the query service, the online
    REST server and the vector index; a host that ends in ``:<port>/`` pushes that suffix into the path, so the real
    port can be chosen.
    """
    ports = platform.settings.ports
    return {
        "enable_data_science_profile": "true",
        "enable_flyingduck": "true",
        "enable_kserve": "true",
        "featurestore_online_tablespace": "",
        "istio_ingress_host": "127.0.0.1",
        "kube_knative_domain_name": "local",
        "kube_kserve_installed": "true",
        "kube_serving_max_num_instances": "-1",
        "kube_serving_min_num_instances": "-1",
        "loadbalancer_external_domain_feature_query": f"127.0.0.1:{ports['flight']}/",
        "loadbalancer_external_domain_mysqld": platform.settings.mysql_host,
        "loadbalancer_external_domain_online_store_rest_server": f"127.0.0.1:{ports['online_rest']}/",
        "loadbalancer_external_domain_opensearch": f"127.0.0.1:{ports['rest']}/",
        "service_discovery_domain": "local",
        "serving_max_route_timeout": "300",
        "upload_policy": "enabled",
    }


@routes.get("/variables/versions")
def versions(call: Call) -> Json:
    """List the software of the installation; the client compares the version with its own."""
    return [{"software": "hopsworks", "version": HOPSWORKS_VERSION}]


@routes.get("/variables/{name}")
def variable(call: Call) -> Json:
    """Return one variable of the installation."""
    value = variables(call.platform).get(call.path["name"])
    if value is None:
        raise not_found(f"no variable named {call.path['name']!r}", VARIABLE_NOT_FOUND)
    return {"successMessage": value}


@routes.get("/users/profile")
def profile(call: Call) -> Json:
    """Return the caller."""
    return call.user.document()


@routes.get("/project/{project_id:int}/credentials")
def credentials(call: Call) -> Json:
    """Return the client's TLS material, as PEM files and as the Java key stores from which it reaches the broker."""
    certificates = call.platform.certificates
    password = passes.issue(call.platform, call.project, call.user)
    keys = key_store(certificates.client_key, [certificates.client, certificates.authority], password)
    return {
        "fileExtension": "jks",
        "kStore": base64.b64encode(keys).decode(),
        "tStore": base64.b64encode(trust_store(certificates.authority, password)).decode(),
        "password": password,
        "caChain": certificates.authority.read_text(),
        "clientCert": certificates.client.read_text(),
        "clientKey": certificates.client_key.read_text(),
    }
