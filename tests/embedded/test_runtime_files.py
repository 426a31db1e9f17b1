"""The files API, through the real client and, where the client is too polite, by plain requests."""

from __future__ import annotations

import os
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hopsworks.client.exceptions import DatasetException, RestAPIError
from runtime_tools import call

from deepcube.embedded import Running

pytestmark = pytest.mark.e2e


@pytest.fixture
def files(project: Any) -> Any:
    return project.get_dataset_api()


@pytest.fixture
def folder(files: Any) -> str:
    """A folder of the test's own in the project."""
    path = f"Resources/{uuid.uuid4().hex}"
    files.mkdir(path)
    return path


def _place(embedded: Running, path: str) -> Path:
    return embedded.home.files / "Projects" / embedded.project / path


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 2_000_003])
def test_what_is_uploaded_is_downloaded(files: Any, folder: str, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "data.bin").write_bytes(content)
    path = files.upload(str(tmp_path / "data.bin"), folder, chunk_size=1000 if size < 10_000 else 300_000)
    back = files.download(path, str(tmp_path / "back.bin"))
    assert Path(back).read_bytes() == content
    assert files.get(path)["attributes"]["size"] == size


def test_a_folder_is_uploaded_with_what_is_below(files: Any, folder: str, tmp_path: Path) -> None:
    (tmp_path / "tree" / "below" / "empty").mkdir(parents=True)
    (tmp_path / "tree" / "a.txt").write_text("a")
    (tmp_path / "tree" / "below" / "b.txt").write_text("b")
    path = files.upload(str(tmp_path / "tree"), folder)
    assert sorted(files.list(path)) == [f"/{path}/a.txt", f"/{path}/below"]
    assert sorted(files.list(f"{path}/below")) == [f"/{path}/below/b.txt", f"/{path}/below/empty"]


def test_chunks_in_any_order_and_twice_make_the_file(embedded: Running, folder: str) -> None:
    content = os.urandom(3500)
    for number in (4, 2, 2, 1, 3):
        status, answer = _send_chunk(embedded, folder, "x.bin", content, 1000, number)
        assert (status, answer) == (204, b"")
    assert _place(embedded, f"{folder}/x.bin").read_bytes() == content


def test_an_incomplete_upload_is_not_visible(embedded: Running, files: Any, folder: str) -> None:
    content = os.urandom(3500)
    for number in (1, 2, 4):
        _send_chunk(embedded, folder, "x.bin", content, 1000, number)
    assert files.list(folder) == []
    assert not files.exists(f"{folder}/x.bin")


def test_chunks_of_a_failed_attempt_do_not_end_up_in_the_next(embedded: Running, folder: str) -> None:
    first, second = os.urandom(3000), os.urandom(3000)
    for number in (2, 3):
        _send_chunk(embedded, folder, "x.bin", first, 1000, number)
    for number in (1, 2, 3):
        _send_chunk(embedded, folder, "x.bin", second, 1000, number)
    assert _place(embedded, f"{folder}/x.bin").read_bytes() == second


def test_many_clients_write_the_same_file_and_one_of_them_wins(embedded: Running, folder: str) -> None:
    contents = [bytes([65 + i]) * 2000 for i in range(8)]

    def send(content: bytes) -> None:
        assert _send_chunk(embedded, folder, "x.bin", content, 4000, 1)[0] == 204

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, contents))
    assert _place(embedded, f"{folder}/x.bin").read_bytes() in contents


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flowFilename", "../escape.txt"),
        ("flowFilename", "/etc/passwd"),
        ("flowFilename", ".."),
        ("flowFilename", ""),
        ("flowChunkNumber", "0"),
        ("flowChunkNumber", "2"),
        ("flowChunkNumber", "one"),
        ("flowTotalChunks", "100000000"),
        ("flowTotalSize", "-1"),
        ("flowTotalSize", "99"),
        ("flowChunkSize", "0"),
    ],
)
def test_a_form_that_lies_is_refused(embedded: Running, folder: str, field: str, value: str) -> None:
    status, answer = _send_chunk(embedded, folder, "x.bin", b"12345", 5, 1, **{field: value})
    assert status == 400
    assert answer["errorMsg"]
    assert list(_place(embedded, folder).iterdir()) == []


def test_a_file_larger_than_allowed_is_refused(embedded: Running, folder: str) -> None:
    status, answer = _send_chunk(embedded, folder, "x.bin", b"1", 1, 1, flowTotalSize=str(2**50), flowTotalChunks="1")
    assert status == 413
    assert "DEEPCUBE_MAX_UPLOAD_BYTES" in answer["errorMsg"]


@pytest.mark.parametrize(
    "body", [b"", b"--x", b"--x\r\n\r\n", b'--x\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\nab']
)
def test_a_damaged_form_is_refused(embedded: Running, folder: str, body: bytes) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    status, _ = call(embedded, "POST", f"/project/1/dataset/upload/{folder}", raw=body, headers=kind)
    assert status == 400
    status, _ = call(embedded, "POST", f"/project/1/dataset/upload/{folder}", raw=body)
    assert status == 400
    assert list(_place(embedded, folder).iterdir()) == []
    assert list((embedded.home.files / ".staging" / "scratch").iterdir()) == []


def test_an_upload_needs_its_folder(embedded: Running) -> None:
    assert _send_chunk(embedded, "Resources/absent", "x", b"1", 1, 1)[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        "../../../etc/passwd",
        "/Projects/other/Resources/x",
        "Resources/../../other/x",
        "/etc/passwd",
        "hdfs:///Projects/../../../etc/passwd",
        "Resources/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "Resources/\0x",
    ],
)
def test_no_path_leaves_the_project(embedded: Running, files: Any, path: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    for attempt in (
        lambda: files.get(path),
        lambda: files.download(path, str(tmp_path / "got")),
        lambda: files.list(path),
        lambda: files.remove(path),
        lambda: files.move("Resources", path),
        lambda: files.copy(path, "Resources/stolen"),
        lambda: files.upload(str(tmp_path / "f"), path),
    ):
        with pytest.raises(RestAPIError) as caught:
            attempt()
        assert caught.value.response.status_code in (400, 403, 404)
    assert not (tmp_path / "got").exists() or (tmp_path / "got").stat().st_size == 0
    assert not files.exists("Resources/stolen")


def test_no_symbolic_link_leads_out(embedded: Running, files: Any, folder: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    _place(embedded, f"{folder}/file").symlink_to(tmp_path / "secret")
    _place(embedded, f"{folder}/tree").symlink_to(tmp_path)
    (tmp_path / "up").write_text("up")
    for attempt in (
        lambda: files.download(f"{folder}/file", str(tmp_path / "got")),
        lambda: files.get(f"{folder}/tree/secret"),
        lambda: files.list(f"{folder}/tree"),
        lambda: files.upload(str(tmp_path / "up"), f"{folder}/tree"),
        lambda: files.mkdir(f"{folder}/tree/new"),
    ):
        with pytest.raises(RestAPIError) as caught:
            attempt()
        assert caught.value.response.status_code == 403
    assert sorted(files.list(folder)) == [f"/{folder}/file", f"/{folder}/tree"]
    files.copy(folder, f"{folder}_copy")
    assert _place(embedded, f"{folder}_copy/file").is_symlink()
    assert sorted(place.name for place in tmp_path.iterdir()) == ["secret", "up"]


def test_copy_move_and_remove(files: Any, folder: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    files.upload(str(tmp_path / "a.txt"), folder)
    files.mkdir(f"{folder}/d")
    files.copy(f"{folder}/a.txt", f"{folder}/d/b.txt")
    files.move(f"{folder}/d/b.txt", f"{folder}/d/c.txt")
    assert files.list(f"{folder}/d") == [f"/{folder}/d/c.txt"]
    files.copy(f"{folder}/d", f"{folder}/e")
    with pytest.raises(DatasetException):
        files.copy(f"{folder}/d", f"{folder}/e")
    files.copy(f"{folder}/a.txt", f"{folder}/e", overwrite=True)
    assert files.read_content(f"/{folder}/e").content == b"a"
    files.remove(f"{folder}/d")
    assert not files.exists(f"{folder}/d")
    with pytest.raises(RestAPIError):
        files.remove(f"{folder}/d")


def test_a_folder_cannot_move_into_itself(files: Any, folder: str) -> None:
    files.mkdir(f"{folder}/d")
    with pytest.raises(RestAPIError) as caught:
        files.move(folder, f"{folder}/d/again")
    assert caught.value.response.status_code == 400
    assert files.exists(f"{folder}/d")


def test_making_a_folder_that_exists_is_an_error(files: Any, folder: str) -> None:
    with pytest.raises(RestAPIError) as caught:
        files.mkdir(folder)
    assert caught.value.error_code == 110016


def test_what_belongs_to_the_project_stays(project: Any, files: Any) -> None:
    for path in ("Models", "Resources", f"{project.name}_featurestore.db", f"/Projects/{project.name}"):
        with pytest.raises(RestAPIError) as caught:
            files.remove(path)
        assert caught.value.response.status_code == 403
        assert files.exists(path)


def test_the_root_lists_the_datasets(project: Any, files: Any) -> None:
    assert {"/Models", "/Deployments", "/Logs", "/Resources"} <= set(files.list("/"))
    files.mkdir("Mine")
    assert "/Mine" in files.list("/")
    assert files.get("Mine")["datasetType"] == "DATASET"
    files.remove("Mine")


def test_a_long_listing_comes_in_pages(embedded: Running, files: Any, folder: str) -> None:
    for i in range(25):
        (_place(embedded, folder) / f"{i:02}.txt").touch()
    pages = [files.list(folder, offset=offset, limit=10) for offset in (0, 10, 20, 30)]
    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert len({path for page in pages for path in page}) == 25
    path = f"/project/1/dataset/{folder}?action=listing&sort_by=NAME:desc&limit=2"
    assert [item["attributes"]["name"] for item in call(embedded, "GET", path)[1]["items"]] == ["24.txt", "23.txt"]


def test_archives_go_there_and_back(files: Any, folder: str, tmp_path: Path) -> None:
    (tmp_path / "tree" / "below").mkdir(parents=True)
    (tmp_path / "tree" / "below" / "b.txt").write_text("b" * 1000)
    path = files.upload(str(tmp_path / "tree"), folder)
    assert files.zip(path, block=True, timeout=10)
    files.remove(path)
    assert files.unzip(f"{path}.zip", block=True, timeout=10)
    assert files.read_content(f"/{path}/below/b.txt").content == b"b" * 1000
    with pytest.raises(RestAPIError):
        files.unzip(f"{path}.zip")
    files.mkdir(f"{folder}/elsewhere")
    files.zip(f"{path}/below/b.txt", destination_path=f"{folder}/elsewhere")
    files.unzip(f"{folder}/elsewhere/b.txt.zip")
    assert files.list(f"{folder}/elsewhere/b") == [f"/{folder}/elsewhere/b/b.txt"]


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "..\\out.txt"])
def test_an_archive_cannot_write_outside(embedded: Running, files: Any, folder: str, tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("fine.txt", "fine")
        archive.writestr(name, "evil")
    path = files.upload(str(tmp_path / "evil.zip"), folder)
    with pytest.raises(RestAPIError, match="leads out"):
        files.unzip(path)
    assert files.list(folder) == [f"/{path}"]
    assert not list(embedded.home.root.rglob("out.txt"))


def test_a_link_in_an_archive_is_no_link_afterwards(embedded: Running, files: Any, folder: str, tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    files.unzip(files.upload(str(tmp_path / "link.zip"), folder))
    assert not _place(embedded, f"{folder}/link/link").is_symlink()


def test_what_is_no_archive_is_refused(files: Any, folder: str, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no archive")
    path = files.upload(str(tmp_path / "text.zip"), folder)
    for attempt in (path, folder, f"{folder}/absent.zip"):
        with pytest.raises(RestAPIError):
            files.unzip(attempt)
    assert files.list(folder) == [f"/{path}"]


def test_names_need_not_be_ascii(files: Any, folder: str, tmp_path: Path) -> None:
    name = "süß & 100% ?#+ 日本.txt"
    (tmp_path / name).write_text("x")
    path = files.upload(str(tmp_path / name), folder)
    assert files.list(folder) == [f"/{folder}/{name}"]
    assert Path(files.download(path, str(tmp_path / "back"))).read_text() == "x"
    files.remove(path)


def test_every_call_needs_a_key(embedded: Running) -> None:
    for method, path in (
        ("GET", "/project/1/dataset/Resources"),
        ("POST", "/project/1/dataset/upload/Resources"),
        ("GET", "/project/1/dataset/download/with_auth/Resources/x"),
        ("DELETE", "/project/1/dataset/Resources/x"),
        ("POST", "/project/1/inference/models/m:predict"),
        ("GET", "/project/1/jobs"),
        ("GET", "/users/secrets"),
    ):
        assert call(embedded, method, path, key="wrong.key")[0] == 401


def _send_chunk(
    running: Running, folder: str, name: str, content: bytes, chunk_bytes: int, number: int, **fields: str
) -> tuple[int, Any]:
    """Send one chunk as the client does, with fields changed at will."""
    total = max(1, -(-len(content) // chunk_bytes))
    form = {
        "flowChunkSize": str(chunk_bytes),
        "flowTotalSize": str(len(content)),
        "flowIdentifier": f"{len(content)}_{name}",
        "flowFilename": name,
        "flowTotalChunks": str(total),
        "flowChunkNumber": str(number),
    } | fields
    part = content[(number - 1) * chunk_bytes : number * chunk_bytes]
    head = "".join(f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in form.items())
    head += f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = head.encode() + part + b"\r\n--b--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    return call(running, "POST", f"/project/1/dataset/upload/{folder}", raw=body, headers=kind)
