"""Statistics of training datasets that lie in files, computed by the server.

The client computes those of the data frames that it hands out, without histograms, correlations and uniqueness, and
none of what the query service writes. Those of files are computed here, of the whole or of each split, when they are
asked for and are missing, older than the files, or lack what the dataset's configuration wants.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.csv as csv

from deepcube.embedded.catalog import Entity, now_ms
from deepcube.embedded.platform import Platform, Project
from deepcube.embedded.quality import statistics
from deepcube.embedded.quality.filters import Filters
from deepcube.embedded.quality.profile import ProfileConfig, profile
from deepcube.embedded.quality.statistics import StatisticsQuery
from deepcube.embedded.query.engine import connect
from deepcube.embedded.store import datasets

if TYPE_CHECKING:
    import pyarrow.dataset as arrow

Json = dict[str, Any]

_OF_FILES = StatisticsQuery(Filters((("before_transformation", "eq", False),)))


def of_dataset(platform: Platform, project: Project, dataset: Entity, query: StatisticsQuery) -> list[Json]:
    """Return the statistics of a training dataset that a call asks for; computed from its files, if need be.

    Raises
    ------
    ApiError
        404 (270228) if there are none, and none to compute.
    """
    if query.filters.values("before_transformation", "eq") != [True]:
        refresh(platform, project, dataset)
    return statistics.first(platform, dataset, query)


def refresh(platform: Platform, project: Project, dataset: Entity, *, again: bool = False) -> Entity | None:
    """Compute the statistics of a dataset's files where they are missing or no longer right, or in any case.

    Returns
    -------
    Entity or None
        What was computed; None if nothing was, or there are no files.
    """
    config = dataset.body.get("statisticsConfig") or {}
    folder = datasets.place(platform, project, datasets.views_of(platform, dataset), dataset)
    parts = _parts(folder)
    if not parts or (config.get("enabled") is False and not again):
        return None
    found = statistics.newest(platform, dataset, _OF_FILES)
    if not again and found is not None and not _is_outdated(platform, found, folder, config):
        return None
    wanted = ProfileConfig.from_document(config)
    profiles = {part.name: _profile(platform, part, wanted) for part in parts}
    document: Json = {"computationTime": now_ms()}
    if dataset.body["splits"]:
        document["splitStatistics"] = [
            {"name": name, "featureDescriptiveStatistics": found} for name, found in profiles.items()
        ]
    else:
        document["featureDescriptiveStatistics"] = next(iter(profiles.values()))
    return statistics.save(platform, dataset, document)


def _parts(folder: Path) -> list[Path]:
    """Return the folders of a dataset's files: one per split, or a single one."""
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def _is_outdated(platform: Platform, found: Entity, folder: Path, config: Json) -> bool:
    if found.body["computationTime"] < int(folder.stat().st_mtime * 1000):
        return True
    numeric = [
        entity.body
        for entity in platform.catalog.find(found.project_id, statistics.FEATURE, parent_id=found.id)
        if entity.body.get("featureType") in ("Integral", "Fractional") and entity.body.get("count")
    ]
    extended = [json.loads(body.get("extendedStatistics") or "{}") for body in numeric]
    return any(
        config.get(asked) and any(key not in each for each in given)
        for asked, key, given in (
            ("histograms", "histogram", extended),
            ("correlations", "correlations", extended),
            ("exactUniqueness", "uniqueness", numeric),
        )
    )


def _profile(platform: Platform, folder: Path, config: ProfileConfig) -> list[Json]:
    with connect(platform) as connection:
        connection.register("files", _open(folder))
        return profile(connection, "files", config)


def _open(folder: Path) -> arrow.Dataset:
    import pyarrow.dataset as arrow  # imports pandas: a second of the server's start

    files = sorted(str(path) for path in folder.iterdir() if path.suffix in (".parquet", ".csv", ".tsv"))
    if files and files[0].endswith((".csv", ".tsv")):
        delimiter = "\t" if files[0].endswith(".tsv") else ","
        return arrow.dataset(files, format=arrow.CsvFileFormat(csv.ParseOptions(delimiter=delimiter)))
    return arrow.dataset(files, format="parquet")
