"""Files: browse, view and download what the project keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from starlette.responses import Response
from starlette.types import ASGIApp

from deepcube.embedded.console.pages import Page, Pages
from deepcube.embedded.errors import GENERIC_ILLEGAL_ARGUMENT, ApiError

pages = Pages("/{project_id:int}/files", "files")

PAGE_ROWS = 200
MAX_TEXT_BYTES = 256 * 1024
# Only kinds that cannot run anything: a picture in SVG may hold script, so it is not one of them.
_IMAGES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp"}


@dataclass(frozen=True)
class FileRow:
    """A file or folder.

    Attributes
    ----------
    name : str
        Its name.
    path : str
        Its path below the project's folder.
    is_folder : bool
        Whether it is a folder.
    size : int
        Bytes; 0 for a folder.
    modified : str
        ISO 8601 time.
    """

    name: str
    path: str
    is_folder: bool
    size: int
    modified: str

    @property
    def link(self) -> str:
        """The path as part of an address."""
        return quote(self.path)


@dataclass(frozen=True)
class Text:
    """The beginning of a text file.

    Attributes
    ----------
    text : str
        What it says.
    is_text : bool
        False for a file that is not text.
    is_cut : bool
        Whether there is more.
    """

    text: str
    is_text: bool
    is_cut: bool


def is_image(name: str) -> bool:
    """Tell whether a file can be shown as a picture."""
    return PurePosixPath(name).suffix.lower() in _IMAGES


def file_row(page: Page, document: dict[str, Any]) -> FileRow:
    """Read a file or folder from its REST document."""
    attributes = document["attributes"]
    path = str(attributes["path"]).removeprefix(f"/Projects/{page.project.name}").strip("/")
    return FileRow(
        attributes["name"], path, bool(attributes["dir"]), int(attributes["size"]), attributes["modificationTime"]
    )


def list_folder(page: Page, path: str, offset: int = 0) -> list[FileRow]:
    """Return a page of a folder's content.

    Raises
    ------
    ApiError
        As the API answers.
    """
    items = _listing(page, path, offset)["items"]
    return [file_row(page, item) for item in items]


def _listing(page: Page, path: str, offset: int) -> dict[str, Any]:
    document: dict[str, Any] = page.get(
        "dataset", path, action="listing", offset=offset, limit=PAGE_ROWS, sort_by="NAME:asc"
    )
    return document


def read_text(page: Page, path: str) -> Text:
    """Read the beginning of a file that the session may read.

    Raises
    ------
    ApiError
        As the API answers; 400 for a folder.
    """
    document = page.get("dataset", path)
    if document["attributes"]["dir"]:
        raise ApiError(400, GENERIC_ILLEGAL_ARGUMENT, f"{path} is a folder")
    place = page.platform.files.existing(page.project.name, path)
    with place.open("rb") as stream:
        data = stream.read(MAX_TEXT_BYTES + 1)
    is_cut = len(data) > MAX_TEXT_BYTES
    data = data[:MAX_TEXT_BYTES]
    text = data.decode(errors="replace")
    # A cut in the middle of a character makes one replacement; more means that it is not text.
    is_text = b"\0" not in data and text.count("\N{REPLACEMENT CHARACTER}") <= 1 + len(text) // 1000
    return Text(text if is_text else "", is_text, is_cut)


def read_document(page: Page, path: str) -> dict[str, Any] | None:
    """Return a JSON object among the project's files; None where there is none, or it is too long."""
    try:
        text = read_text(page, path)
        found = json.loads(text.text) if text.is_text and not text.is_cut else None
    except (ApiError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


@pages.get()
@pages.get("/")
@pages.get("/at/{path:path}")
def browse(page: Page) -> Response:
    """List a folder, or show a file."""
    path = page.path.get("path", "").strip("/")
    row = file_row(page, page.get("dataset", path))
    parts = PurePosixPath(row.path).parts
    trail = [(part, quote("/".join(parts[: position + 1]))) for position, part in enumerate(parts)]
    if not row.is_folder:
        shown = None if is_image(row.name) else read_text(page, path)
        return page.html("file.html", file=row, trail=trail, shown=shown)
    offset = page.number("offset", 0)
    listing = _listing(page, path, offset)
    rows = [file_row(page, item) for item in listing["items"]]
    rows.sort(key=lambda each: not each.is_folder)
    return page.html("files.html", trail=trail, rows=rows, offset=offset, step=PAGE_ROWS, count=listing["count"])


@pages.get("/download/{path:path}")
def download(page: Page) -> ASGIApp:
    """Send a file, to be kept and not shown."""
    return _send(page, {})


@pages.get("/picture/{path:path}")
def picture(page: Page) -> ASGIApp:
    """Send a picture, to be shown."""
    path = page.path["path"]
    kind = _IMAGES.get(PurePosixPath(path).suffix.lower())
    if kind is None:
        raise ApiError(400, GENERIC_ILLEGAL_ARGUMENT, f"{path} is not a picture that is safe to show; download it")
    return _send(page, {"content-type": kind, "content-disposition": "", "cache-control": "private, max-age=60"})


def _send(page: Page, headers: dict[str, str]) -> ASGIApp:
    path = page.path["path"]
    if page.get("dataset", path)["attributes"]["dir"]:
        raise ApiError(400, GENERIC_ILLEGAL_ARGUMENT, f"{path} is a folder; download its files one by one")
    return page.rest.forward("project", page.project.id, "dataset", "download", "with_auth", path, headers=headers)
