"""What a stranger can do: nothing. What a member of another project can do to this one: nothing."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import re
import socket
import sqlite3
import ssl
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from fault_bench import Bench
from rest_fuzz import Prober, Request, concrete
from wire_fuzz import (
    access_of,
    kafka_answer,
    kafka_frame,
    kafka_login,
    mysql_login_payload,
    mysql_nonce,
    mysql_packet,
    mysql_read,
    produce,
    record_batch,
    tls,
)

import deepcube.embedded
from deepcube.embedded import Running
from deepcube.embedded.api import RESOURCES

API = "/hopsworks-api/api"
SCENES = ["insert_stream", "create_view", "model", "deploystart", "job", "upload", "training_dataset"]
_INTEGER = re.compile(r"\{(\w+):int\}")


def _table() -> list[tuple[str, str]]:
    """Every call of the REST wire, those with streamed bodies too."""
    calls = [(method, each.prefix + path) for each in RESOURCES for method, path, _ in each.table]
    streams = [(method, each.prefix + path) for each in RESOURCES for method, path, _ in getattr(each, "_streams", [])]
    return calls + streams


@dataclass(frozen=True)
class Neighbours:
    """A server with two projects whose members have nothing in common.

    Attributes
    ----------
    running : Running
        The server; its owner's project has content of every kind.
    owner : int
        Id of the owner's project.
    stranger : int
        Id of the other project.
    key : str
        API key of the other project's only member.
    """

    running: Running
    owner: int
    stranger: int
    key: str

    def rows(self) -> list[tuple[object, ...]]:
        """What the catalog holds of the owner's project."""
        with contextlib.closing(sqlite3.connect(self.running.home.catalog)) as connection:
            query = "SELECT id, kind, parent_id, name, version, body FROM entity WHERE project_id = ? ORDER BY id"
            return [tuple(row) for row in connection.execute(query, (self.owner,))]

    def files(self) -> dict[str, str]:
        """Digests of the files of the owner's project."""
        folder = self.running.home.files / "Projects" / self.running.project
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }


@pytest.fixture(scope="module")
def neighbours(bench: Bench) -> Iterator[Neighbours]:
    """The owner's project with content, and a stranger's."""
    bench.restore_empty()
    with bench.serving() as running:
        bench.must("prepare", scenes=SCENES)
        owner = Prober(running)
        assert owner.send(Request("POST", f"{API}/admin/users?email=eve@example.org&givenName=Eve&surname=S"))[0] == 200
        status, body = owner.send(Request("POST", f"{API}/users/apiKey?user=eve@example.org&name=eve"))
        assert status == 200
        key = json.loads(body)["key"]
        mine = json.loads(owner.send(Request("GET", f"{API}/project"))[1])[0]["project"]["id"]
        stranger = Prober(running, key)
        status, body = stranger.send(Request("POST", f"{API}/project", b'{"projectName": "strangers"}'))
        assert status in (200, 201), body
        other = json.loads(stranger.send(Request("GET", f"{API}/project"))[1])[0]["project"]["id"]
        owner.close()
        stranger.close()
        yield Neighbours(running, mine, other, key)
    bench.reap()


def test_every_wire_listens_on_loopback_only(neighbours: Neighbours) -> None:
    process = psutil.Process(neighbours.running.pid)
    family = [process, *process.children(recursive=True)]
    listening = [each.laddr for p in family for each in p.net_connections("inet") if each.status == psutil.CONN_LISTEN]
    assert len(listening) >= 5
    # gRPC shows an IPv4 address in its IPv6 form.
    assert all(address.ip.removeprefix("::ffff:").startswith("127.") for address in listening), listening


@pytest.mark.parametrize("key", ["", "x", "a.b", "0" * 16 + "." + "A" * 43, "' OR 1=1 --", "\xff"])
def test_every_call_refuses_a_missing_or_wrong_key(neighbours: Neighbours, key: str) -> None:
    prober = Prober(neighbours.running, key)
    for method, path in _table():
        status, _ = prober.send(Request(method, concrete(path, neighbours.owner), b"{}" if method != "GET" else None))
        assert status == 401, (method, path, status)
    prober.close()


def test_a_member_of_another_project_gets_nothing_by_this_projects_path(neighbours: Neighbours) -> None:
    rows, files = neighbours.rows(), neighbours.files()
    ids = [str(row[0]) for row in rows]
    names = sorted({str(row[3]) for row in rows})
    prober = Prober(neighbours.running, neighbours.key)
    for method, path in _table():
        if "{project_id:int}" not in path:
            continue
        for chosen in _fillings(path, ids[::3], names[::2]):
            request = Request(method, concrete(path, neighbours.owner, chosen), b"{}" if method != "GET" else None)
            status, body = prober.send(request)
            assert status in (400, 403, 404, 405, 501), (str(request), status, body[:300])
    prober.close()
    assert neighbours.rows() == rows
    assert neighbours.files() == files


def test_own_path_with_ids_of_another_project_gets_nothing(neighbours: Neighbours) -> None:
    """The project of the path is the caller's own, what it names belongs to somebody else."""
    rows, files = neighbours.rows(), neighbours.files()
    ids = [str(row[0]) for row in rows]
    prober = Prober(neighbours.running, neighbours.key)
    for method, path in _table():
        if "{project_id:int}" not in path or len(_INTEGER.findall(path)) < 2:
            continue
        for chosen in _fillings(path, ids[::4], []):
            for store in (neighbours.stranger, neighbours.owner):
                values = {**chosen, "featurestore_id": str(store), "registry_id": str(store)}
                request = Request(
                    method, concrete(path, neighbours.stranger, values), b"{}" if method != "GET" else None
                )
                status, body = prober.send(request)
                empty = status == 204 or (status == 200 and json.loads(body or b"{}").get("count") == 0)
                refused = status in (400, 403, 404, 405, 501)
                assert refused or (empty and method == "GET") or status < 300, (str(request), status, body[:300])
                if status < 300 and not empty:
                    for name in ("insert_stream", "deploystart", "create_view", "kept.txt"):
                        assert name.encode() not in body, (str(request), body[:300])
    prober.close()
    assert neighbours.rows() == rows
    assert neighbours.files() == files


def _fillings(path: str, ids: list[str], names: list[str]) -> Iterator[dict[str, str]]:
    """Yield values for the parameters of a route: each id for all numbers, each name for all texts."""
    numbers = [name for name in _INTEGER.findall(path) if name not in ("project_id", "featurestore_id", "registry_id")]
    texts = re.findall(r"\{(\w+)(?::path)?\}", path)
    if not numbers and not texts:
        yield {}
    if numbers:
        yield from ({**dict.fromkeys(numbers, number), "version": "1", "dataset_version": "1"} for number in ids)
    if texts:
        yield from ({**dict.fromkeys(texts, name), "version": "1", "dataset_version": "1"} for name in names)


def test_another_project_is_not_seen_on_the_broker(neighbours: Neighbours) -> None:
    running = neighbours.running
    mine = access_of(running, neighbours.owner)
    theirs = _stranger_access(neighbours)
    group = next(row for row in neighbours.rows() if row[1] == "feature_group" and row[3] == "insert_stream")
    prober = Prober(running)
    stem = f"{API}/project/{neighbours.owner}/featurestores/{neighbours.owner}"
    topic = json.loads(prober.send(Request("GET", f"{stem}/featuregroups/insert_stream?version=1"))[1])[0][
        "onlineTopicName"
    ]
    prober.close()
    for user, password in (("", ""), (mine.user, "wrong"), (mine.user, theirs[1]), (theirs[0], mine.broker_password)):
        with tls(running, mine.ports["broker"]) as stream:
            assert not kafka_login(stream, user, password)
    with tls(running, mine.ports["broker"]) as stream:
        assert kafka_login(stream, *theirs)
        stream.sendall(kafka_frame(3, 4, struct.pack(">i", -1) + b"\x00"))
        assert topic.encode() not in kafka_answer(stream)
        batch = record_batch([b"\x02\x02"], {"featureGroupId": str(group[0]).encode()})
        stream.sendall(kafka_frame(0, 7, produce(topic, batch)))
        answer = kafka_answer(stream)
        assert struct.unpack_from(">h", answer, 4 + 4 + 2 + len(topic) + 4 + 4)[0] == 3, "unknown topic"


def _stranger_access(neighbours: Neighbours) -> tuple[str, str]:
    """User and password of the other project on the broker."""
    prober = Prober(neighbours.running, neighbours.key)
    stem = f"{API}/project/{neighbours.stranger}/featurestores/{neighbours.stranger}/storageconnectors"
    document = json.loads(prober.send(Request("GET", f"{stem}/kafka_connector/byok"))[1])
    prober.close()
    options = {option["name"]: option["value"] for option in document["options"]}["sasl.jaas.config"]
    return options.split('username="')[1].split('"')[0], options.split('password="')[1].split('"')[0]


def test_another_project_is_not_read_through_sql(neighbours: Neighbours) -> None:
    mine = access_of(neighbours.running, neighbours.owner)
    prober = Prober(neighbours.running, neighbours.key)
    stem = f"{API}/project/{neighbours.stranger}/featurestores/{neighbours.stranger}/storageconnectors"
    document = json.loads(prober.send(Request("GET", f"{stem}/onlinefeaturestore"))[1])
    prober.close()
    arguments = {option["name"]: option["value"] for option in document["arguments"]}

    def login(user: str, password: str, database: str) -> tuple[socket.socket, bool]:
        stream = socket.create_connection((mine.mysql_host, 3306), timeout=10)
        nonce = mysql_nonce(mysql_read(stream))
        stream.sendall(mysql_packet(1, mysql_login_payload(user, password, nonce, database)))
        return stream, mysql_read(stream)[:1] == b"\x01" and mysql_read(stream)[:1] == b"\x00"

    for user, password in ((mine.user, ""), (mine.user, arguments["password"]), ("root", ""), ("", "")):
        stream, entered = login(user, password, mine.project)
        stream.close()
        assert not entered, user
    stream, entered = login(arguments["user"], arguments["password"], mine.project)
    stream.close()
    assert not entered, "the database of another project"
    stream, entered = login(arguments["user"], arguments["password"], "strangers")
    assert entered
    with stream:
        for statement in (
            f"SELECT * FROM `{mine.project}`.`insert_stream_1`",
            "SELECT * FROM `insert_stream_1`",
            "SELECT * FROM main.`insert_stream_1`",
            "SELECT * FROM strangers.`insert_stream_1`",
        ):
            stream.sendall(mysql_packet(0, b"\x03" + statement.encode()))
            assert mysql_read(stream)[:1] == b"\xff", statement


def test_look_ups_need_a_key_of_the_project(neighbours: Neighbours) -> None:
    import http.client

    running = neighbours.running
    port = access_of(running, neighbours.owner).ports["online_rest"]
    context = ssl.create_default_context(cafile=running.environment()["HOPSWORKS_TRUST_STORE_PATH"])
    body = json.dumps(
        {
            "featureStoreName": f"{running.project}_featurestore",
            "featureViewName": "create_view",
            "featureViewVersion": 1,
            "entries": {"cell": 1},
        }
    )
    for key, allowed in ((None, 401), ("", 401), ("a.b", 401), (neighbours.key, 403)):
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
        headers = {} if key is None else {"X-API-KEY": key}
        for path in ("feature_store", "batch_feature_store", "ping"):
            connection.request("POST", f"/0.1.0/{path}", body, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status in (allowed, 404), (key, path, answer.status)
        connection.close()


def test_the_query_service_wants_a_certificate_and_a_plan_of_its_own(neighbours: Neighbours) -> None:
    import pyarrow.flight as flight

    running = neighbours.running
    port = access_of(running, neighbours.owner).ports["flight"]
    folder = running.home.certificates
    authority = (folder / "ca.pem").read_bytes()
    with (
        flight.FlightClient(f"grpc+tls://127.0.0.1:{port}", tls_root_certs=authority) as client,
        pytest.raises(flight.FlightError),
    ):
        list(client.do_action(flight.Action("healthcheck", b""), flight.FlightCallOptions(timeout=5)))
    with flight.FlightClient(
        f"grpc+tls://127.0.0.1:{port}",
        tls_root_certs=authority,
        cert_chain=(folder / "client.pem").read_text(),
        private_key=(folder / "client.key").read_text(),
    ) as client:
        for ticket in (b"SELECT 1", b"{}", b'{"path": ["Resources/kept.txt"]}', b'{"path": ["../../api_key"]}'):
            with pytest.raises(flight.FlightError):
                client.do_get(flight.Ticket(ticket)).read_all()


_OUTSIDE = [
    "../../../api_key", "..%2f..%2f..%2fapi_key", "%2e%2e/%2e%2e/%2e%2e/api_key", "Resources/../../../../api_key",
    "/etc/passwd", "%2fetc%2fpasswd", "hdfs:%2f%2f%2f..%2f..%2fapi_key", "Projects/../../api_key",
    "Projects%2fstrangers%2fResources", "/Projects/strangers/Resources", "..%5c..%5capi_key", "....//....//api_key",
    "Resources%2f..%2f..%2f..%2f..%2fapi_key", "Resources/link/passwd", "Resources/home/api_key", "..%00/api_key",
    "{root}/api_key", "{root}/hopsfs/../api_key", "{root}/hopsfs/Projects/strangers", "~/.ssh",
    "file:%2f%2f%2fetc%2fpasswd",
]  # fmt: skip


@pytest.mark.parametrize("path", _OUTSIDE)
def test_no_path_leads_out_of_the_project(neighbours: Neighbours, path: str) -> None:
    home = neighbours.running.home
    resources = home.files / "Projects" / neighbours.running.project / "Resources"
    for name, target in (("link", "/etc"), ("home", str(home.root))):
        with contextlib.suppress(FileExistsError):
            (resources / name).symlink_to(target)
    path = path.replace("{root}", str(home.root))
    secret = home.api_key_file.read_bytes().strip()
    prober = Prober(neighbours.running)
    stem = f"{API}/project/{neighbours.owner}/dataset"
    before = _outside(neighbours)
    attempts = [
        Request("GET", f"{stem}/download/with_auth/{path}"),
        Request("GET", f"{stem}/{path}"),
        Request("GET", f"{stem}/{path}?action=listing"),
        Request("POST", f"{stem}/{path}?action=create"),
        Request("POST", f"{stem}/Resources/kept.txt?action=copy&destination_path={path}"),
        Request("POST", f"{stem}/Resources/kept.txt?action=move&destination_path={path}"),
        Request("POST", f"{stem}/{path}?action=copy&destination_path=Resources/stolen"),
        Request("DELETE", f"{stem}/{path}"),
        Request("POST", f"{stem}/upload/{path}", _upload_form("x.txt"), _FORM),
    ]
    for attempt in attempts:
        status, body = prober.send(attempt)
        assert secret not in body and b"root:" not in body, str(attempt)
        if status < 400 and body:  # then the path means something inside, such as a folder named "..\\.."
            document = json.loads(body)
            inside = document.get("attributes", {}).get("path", "")
            assert inside.startswith(f"/Projects/{neighbours.running.project}/"), (str(attempt), body[:200])
        _put_back(resources / "kept.txt")
    prober.close()
    assert _outside(neighbours) == before


def _put_back(file: Path) -> None:
    """Have a file where it was; an attempt may have moved it within the project."""
    if not file.exists():
        file.write_text("kept")


def _outside(neighbours: Neighbours) -> dict[str, str]:
    """What lies in the home folder, but for the owner's project, staging, and what changes by itself."""
    home = neighbours.running.home
    mine = (
        home.files / "Projects" / neighbours.running.project,
        home.files / ".staging",
        home.run,
        home.logs,
        home.online,
    )
    found = {}
    for path in sorted(home.root.rglob("*")):
        if (
            path.is_file()
            and not path.name.startswith("catalog.db")
            and not any(path.is_relative_to(each) for each in mine)
        ):
            found[str(path.relative_to(home.root))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


_FORM = "multipart/form-data; boundary=b"


def _upload_form(name: str, total: int = 1, number: int = 1, chunks: int = 1, content: bytes = b"x") -> bytes:
    fields = {
        "flowChunkNumber": number,
        "flowChunkSize": max(total, 1),
        "flowCurrentChunkSize": len(content),
        "flowTotalSize": total,
        "flowIdentifier": "id",
        "flowFilename": name,
        "flowRelativePath": name,
        "flowTotalChunks": chunks,
    }
    parts = [f'--b\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()]
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return "".join(parts).encode() + head.encode() + content + b"\r\n--b--\r\n"


@pytest.mark.parametrize("name", ["../x.txt", "/etc/x.txt", "..", ".", "a/b", "a\\b/../c", "", "x\x00y", "y" * 300])
def test_an_uploaded_file_stays_where_it_is_sent_to(neighbours: Neighbours, name: str) -> None:
    before = set(neighbours.files())
    prober = Prober(neighbours.running)
    path = f"{API}/project/{neighbours.owner}/dataset/upload/Resources"
    status, body = prober.send(Request("POST", path, _upload_form(name), _FORM))
    prober.close()
    assert 400 <= status < 500, (status, body)
    assert set(neighbours.files()) == before


@pytest.mark.parametrize("total", [2**60, 10**30, -5])
def test_uploads_are_bounded(neighbours: Neighbours, total: int) -> None:
    prober = Prober(neighbours.running)
    path = f"{API}/project/{neighbours.owner}/dataset/upload/Resources"
    status, body = prober.send(Request("POST", path, _upload_form("big.bin", total=total, chunks=10**6), _FORM))
    prober.close()
    assert status in (400, 413), (status, body)


def test_a_body_longer_than_its_limit_is_cut_off(neighbours: Neighbours) -> None:
    prober = Prober(neighbours.running)
    before = prober.memory()
    status, body = prober.send(Request("POST", f"{API}/project", b"[" + b"1," * 40_000_000 + b"1]"))
    assert status in (0, 413), (status, body[:100])
    assert neighbours.running.healthy()
    assert prober.memory() - before < 200e6
    prober.close()


def test_secrets_are_for_this_user_only(neighbours: Neighbours) -> None:
    home = neighbours.running.home
    for path in home.root.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    for path in home.certificates.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_keys_and_passwords_lie_in_their_files_only(neighbours: Neighbours) -> None:
    """The catalog holds hashes; neither logs, jobs nor deployments have left a key behind."""
    home = neighbours.running.home
    key = home.api_key_file.read_text().strip().encode()
    for secret in (key.split(b".")[1], neighbours.key.encode().split(b".")[1]):
        for path in home.root.rglob("*"):
            if path.is_file() and not path.is_symlink() and path != home.api_key_file:
                assert secret not in path.read_bytes(), path


_FORBIDDEN_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"}
_FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
    "pandas.read_pickle", "pd.read_pickle", "torch.load", "numpy.load", "np.load", "tarfile.open",
    "shutil.unpack_archive",
}  # fmt: skip


def _name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def test_nothing_that_runs_code_from_bytes_is_used_anywhere_in_the_server() -> None:
    root = Path(deepcube.embedded.__file__).parent
    found = []
    for file in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names if alias.name.partition(".")[0] in _FORBIDDEN_MODULES]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""] if (node.module or "").partition(".")[0] in _FORBIDDEN_MODULES else []
            elif isinstance(node, ast.Call):
                names = [_name_of(node.func)] if _name_of(node.func) in _FORBIDDEN_CALLS else []
                names += ["shell=True" for word in node.keywords if word.arg == "shell" and _is_true(word.value)]
            found += [f"{file.relative_to(root)}:{node.lineno}: {name}" for name in names]
    assert not found, "\n".join(found)


def _is_true(node: ast.expr) -> bool:
    return not (isinstance(node, ast.Constant) and not node.value)
