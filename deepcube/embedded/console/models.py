"""Models: versions and their metrics side by side, where they come from, their files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from deepcube.embedded.console.files import FileRow, is_image, list_folder, read_text
from deepcube.embedded.console.lineage import Drawing, lineage
from deepcube.embedded.console.pages import Page, Pages
from deepcube.embedded.errors import MODEL_NOT_FOUND, ApiError, not_found

pages = Pages("/{project_id:int}/models", "models")

MAX_SIDE_BY_SIDE = 6
MAX_FIGURES = 8


@dataclass(frozen=True)
class MetricRow:
    """A metric of several versions.

    Attributes
    ----------
    name : str
        Name of the metric.
    values : tuple
        Its value for each version shown; None where a version has none.
    marks : tuple of str
        ``"lowest"``, ``"highest"`` or empty, for each. Which one is better, the metric alone does not tell.
    """

    name: str
    values: tuple[Any, ...]
    marks: tuple[str, ...]


def side_by_side(versions: Iterable[dict[str, Any]]) -> list[MetricRow]:
    """Return one row per metric that any of the versions has, in alphabetical order.

    Parameters
    ----------
    versions : iterable of dict
        Models as the REST API writes them.
    """
    metrics = [version.get("metrics") or {} for version in versions]
    rows = []
    for name in sorted({name for each in metrics for name in each}):
        values = tuple(_number(each.get(name)) for each in metrics)
        numbers = [value for value in values if isinstance(value, float)]
        differ = len(set(numbers)) > 1
        marks = tuple(_mark(value, numbers) if differ else "" for value in values)
        rows.append(MetricRow(name, values, marks))
    return rows


def _number(value: object) -> object:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return value


def _mark(value: object, numbers: list[float]) -> str:
    if not isinstance(value, float):
        return ""
    return "lowest" if value == min(numbers) else "highest" if value == max(numbers) else ""


@pages.get()
def models(page: Page) -> Response:
    """List the models, each with its newest version."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for version in _versions(page):
        by_name.setdefault(version["name"], []).append(version)
    return page.html("models.html", models=sorted(by_name.items()))


def _versions(page: Page, name: str | None = None) -> list[dict[str, Any]]:
    """Return model versions, newest first."""
    query = {} if name is None else {"filter_by": f"name_eq:{name}"}
    found = page.items("modelregistries", page.project.id, "models", **query)
    return sorted(found, key=lambda version: -version["version"])


@pages.get("/{name}")
def model(page: Page) -> Response:
    """Show the versions of a model side by side, and one of them in full."""
    name = page.path["name"]
    versions = _versions(page, name)
    if not versions:
        raise not_found(f"no model named {name!r} in project {page.project.name!r}", MODEL_NOT_FOUND)
    wanted = [int(value) for value in page.query.get("version", []) if value.isascii() and value.isdecimal()]
    shown = [version for version in versions if not wanted or version["version"] in wanted][:MAX_SIDE_BY_SIDE]
    shown = shown or versions[:MAX_SIDE_BY_SIDE]
    details = [_details(page, version) for version in shown]
    return page.html("model.html", name=name, versions=versions, shown=shown, rows=side_by_side(shown), details=details)


@dataclass(frozen=True)
class Details:
    """What the page says of one version beside its metrics.

    Attributes
    ----------
    version : dict
        The model as the REST API writes it.
    figures, files : list of FileRow
        Pictures in the version's folder, and how much else there is.
    schema : object
        Content of ``model_schema.json``; None if there is none.
    example : object
        Content of ``input_example.json``; None if there is none.
    drawing : Drawing or None
        What it comes from and what came of it.
    """

    version: dict[str, Any]
    figures: list[FileRow]
    files: list[FileRow]
    schema: Any
    example: Any
    drawing: Drawing | None


def _details(page: Page, version: dict[str, Any]) -> Details:
    folder = f"Models/{version['name']}/{version['version']}"
    files = [*_files(page, folder), *_files(page, f"{folder}/Files")]
    files = [file for file in files if not file.is_folder]
    figures = [file for file in files if is_image(file.name)][:MAX_FIGURES]
    return Details(
        version,
        figures,
        files,
        read_json(page, f"{folder}/model_schema.json"),
        read_json(page, f"{folder}/input_example.json"),
        lineage(page, "modelregistries", page.project.id, "models", f"{version['name']}_{version['version']}"),
    )


def _files(page: Page, folder: str) -> list[FileRow]:
    try:
        return list_folder(page, folder)
    except ApiError:
        return []


def read_json(page: Page, path: str) -> Any:
    """Return the content of a JSON file of the project, or None if it is not there or not JSON."""
    try:
        return json.loads(read_text(page, path).text)
    except (ApiError, ValueError):
        return None
