"""External feature groups: files of the project that are read where they lie."""

from __future__ import annotations

import os
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from deepcube.embedded.errors import PATH_NOT_FOUND, QUERY_FAILED, bad_request, not_found, unsupported
from deepcube.embedded.platform import Platform
from deepcube.embedded.query import literals
from deepcube.embedded.query.resolve import Source

FORMATS = {"PARQUET": (".parquet",), "CSV": (".csv",), "TSV": (".tsv",), "DELTA": ()}


def rows_of(platform: Platform, source: Source) -> str:
    """Return the DuckDB expression that reads the files of an external feature group.

    Raises
    ------
    ApiError
        404 if there are none, 400 if they lie outside the project, 501 for a format that is not offered.
    """
    kind = str(source.body.get("dataFormat") or "PARQUET").upper()
    if kind not in FORMATS:
        raise unsupported(f"an external feature group in format {kind}", f"there are {', '.join(FORMATS)}")
    if source.since_ms is not None or source.until_ms is not None:
        raise bad_request("an external feature group has no commits to travel to", QUERY_FAILED)
    place = platform.files.existing(source.project.name, source.body["dataSource"]["path"])
    files = _delta_files(place) if kind == "DELTA" else _files(place, FORMATS[kind])
    inside = os.path.realpath(platform.files.project_folder(source.project.name)) + os.sep
    if any(not os.path.realpath(file).startswith(inside) for file in files):
        raise bad_request(f"external feature group {source.group.name!r} names files outside of its project")
    if not files:
        raise not_found(f"no {kind} file for external feature group {source.group.name!r} at {place}", PATH_NOT_FOUND)
    listed = ", ".join(literals.offline(str(file)) for file in files)
    if kind in ("CSV", "TSV"):
        delimiter = "\\t" if kind == "TSV" else ","
        return f"read_csv([{listed}], union_by_name = true, header = true, delim = '{delimiter}')"
    return f"read_parquet([{listed}], union_by_name = true)"


def _files(place: Path, endings: tuple[str, ...]) -> list[Path]:
    if place.is_file():
        return [place]
    return sorted(path for path in place.rglob("*") if path.suffix in endings and not path.name.startswith(("_", ".")))


def _delta_files(place: Path) -> list[Path]:
    try:
        return [Path(file) for file in DeltaTable(place).file_uris()]
    except TableNotFoundError:
        return []
