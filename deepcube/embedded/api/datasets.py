"""The project's files: list, make, copy, move, remove, upload, download."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from deepcube.embedded.errors import FORBIDDEN, ApiError, bad_request, unsupported
from deepcube.embedded.routing import Call, Json
from deepcube.embedded.runtime.archives import pack, unpack
from deepcube.embedded.runtime.listing import document, is_dataset, listing
from deepcube.embedded.runtime.multipart import FormFile
from deepcube.embedded.runtime.streaming import StreamCall, StreamRoutes
from deepcube.embedded.runtime.trees import Trees, exists_error, remove_tree
from deepcube.embedded.runtime.uploads import MAX_CHUNK_BYTES, Chunk, Uploads

routes = StreamRoutes("/project/{project_id:int}/dataset")

_BLOCK = 1 << 20
_SHARING = "feature groups and feature stores are shared, with their own share(); other files stay in their project"


def _place(call: Call, path: str) -> Path:
    return call.platform.files.existing(call.project.name, path)


@routes.stream("POST", "/upload/{path:path}")
async def upload(call: StreamCall) -> None:
    """Take one chunk of a file."""
    platform, project = call.platform, await run_in_threadpool(lambda: call.project)
    folder = platform.files.resolve(project.name, call.path["path"])
    uploads, trees = platform.service(Uploads), platform.service(Trees)
    received = trees.staging / "scratch" / uuid.uuid4().hex
    try:
        form = FormFile(call.request.headers.get("content-type", ""), received, MAX_CHUNK_BYTES)
        uploads.check_space(int(call.request.headers.get("content-length", "0")))
        await form.read(call.request.stream())
        chunk = Chunk.read(form.fields)
        if form.length < 0:
            raise bad_request("the upload's form has no file part")
        platform.files.resolve(project.name, str(folder / chunk.name))
        await run_in_threadpool(uploads.add, folder, chunk, received)
    finally:
        remove_tree(received)


@routes.get("/download/with_auth/{path:path}")
def download(call: Call) -> Response:
    """Send the content of a file."""
    place = _place(call, call.path["path"])
    if not place.is_file():
        raise bad_request(f"{call.path['path']} is a folder; download its files one by one")
    stream = place.open("rb")
    size = place.stat().st_size

    def blocks() -> Iterator[bytes]:
        left = size  # a log may grow while it is sent
        with stream:
            while left > 0 and (block := stream.read(min(_BLOCK, left))):
                left -= len(block)
                yield block

    headers = {"content-length": str(size), "content-disposition": f"attachment; filename*=UTF-8''{quote(place.name)}"}
    return StreamingResponse(blocks(), media_type="application/octet-stream", headers=headers)


@routes.get("")
@routes.get("/{path:path}")
def read(call: Call) -> Json:
    """Describe a file or folder, or list a folder."""
    path = call.path.get("path", "")
    place = _place(call, path)
    if (call.parameter("action") or "").lower() == "listing":
        return listing(
            call.platform,
            call.project,
            place,
            offset=max(0, call.integer("offset", 0) or 0),
            limit=max(0, call.integer("limit", 1000) or 0),
            sort_by=call.parameter("sort_by") or "ID:asc",
        )
    return document(call.platform, call.project, place)


@routes.post("/{path:path}")
def change(call: Call) -> Json:
    """Make a folder, copy, move, pack or unpack something."""
    action = (call.parameter("action") or "").lower()
    if action == "create":
        return _create(call)
    if action in ("copy", "move"):
        return _relocate(call, action)
    if action in ("zip", "unzip"):
        return _archive(call, action)
    if action == "share":
        raise unsupported("DatasetApi.share", _SHARING)
    raise unsupported(f"dataset action {action!r}", "use create, copy, move, zip or unzip")


def _archive(call: Call, action: str) -> Json:
    platform, source = call.platform, _place(call, call.path["path"])
    if action == "zip":
        destination = call.parameter("destination_path")
        name = f"{source.name}.zip"
        given = str(platform.files.public(source.parent)) if destination is None else destination
        target = platform.files.resolve(call.project.name, f"{given}/{name}")
        pack(platform.service(Trees), source, target)
    else:
        target = unpack(platform.service(Trees), platform.service(Uploads), source)
    return document(platform, call.project, target)


def _create(call: Call) -> Json:
    place = call.platform.files.resolve(call.project.name, call.path["path"])
    try:
        place.mkdir(parents=True)
    except FileExistsError:
        if not _is_model_version(call, place):
            raise exists_error(place) from None
        raise call.platform.service(Trees).refuse_folder(place) from None
    except NotADirectoryError:
        raise bad_request(f"{call.path['path']} lies below a file, not a folder") from None
    return document(call.platform, call.project, place)


def _is_model_version(call: Call, place: Path) -> bool:
    return place.parent.parent == call.platform.files.project_folder(call.project.name) / "Models"


def _relocate(call: Call, action: str) -> Json:
    files, trees = call.platform.files, call.platform.service(Trees)
    source = _place(call, call.path["path"])
    destination = call.parameter("destination_path")
    if not destination:
        raise bad_request(f"{action} needs a destination_path")
    target = files.resolve(call.project.name, destination)
    if action == "copy":
        trees.copy(source, target)
    else:
        _refuse_own(call, source)
        trees.move(source, target)
        call.platform.service(Uploads).forget(source)
    return document(call.platform, call.project, target)


@routes.put("/{path:path}")
def permissions(call: Call) -> Json:
    """Refuse to change permissions."""
    raise unsupported("DatasetApi.chmod", "every file belongs to the one user of this machine")


@routes.delete("/{path:path}")
def remove(call: Call) -> None:
    """Remove a file, or a folder with everything in it."""
    if (call.parameter("action") or "").lower() == "unshare":
        raise unsupported("DatasetApi.unshare", _SHARING)
    place = _place(call, call.path["path"])
    _refuse_own(call, place)
    if call.platform.service(Trees).was_refused(place):
        return
    call.platform.service(Trees).remove(place)
    call.platform.service(Uploads).forget(place)


def _refuse_own(call: Call, place: Path) -> None:
    """Refuse to remove what the platform itself needs: the project's folder and the datasets that come with it."""
    project = call.project
    own = {"Models", "Deployments", "Logs", "Resources", "Jupyter", "Statistics"}
    own |= {f"{project.name}_Training_Datasets", f"{project.name}_featurestore.db"}
    if place == call.platform.files.project_folder(project.name) or (
        is_dataset(call.platform, project, place) and place.name in own
    ):
        raise ApiError(403, FORBIDDEN, f"{place.name!r} belongs to the project itself and stays; remove what is in it")
