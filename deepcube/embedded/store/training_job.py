"""The process of a training-dataset job: the client itself reads, splits and transforms; the parts become files.

``python -m deepcube.embedded.store.training_job VIEW VERSION DATASET_VERSION FOLDER OPTIONS``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> int:
    """Write one training dataset.

    Parameters
    ----------
    arguments : list of str
        Name and version of the view, version of the dataset, folder to write into, options as JSON.
    """
    name, version, dataset_version, folder, text = arguments
    import hopsworks
    from hsfs import engine

    options = json.loads(text)
    view = hopsworks.login().get_feature_store().get_feature_view(name, int(version))
    worker = view._feature_view_engine
    dataset = worker._get_training_dataset_metadata(view, int(dataset_version))
    query = worker._get_batch_query(
        view,
        dataset.event_start_time,
        dataset.event_end_time,
        with_label=True,
        primary_keys=_flag(options, "primary_keys"),
        event_time=_flag(options, "event_time"),
        inference_helper_columns=False,
        training_helper_columns=_flag(options, "training_helper_columns"),
        training_dataset_version=dataset.version,
        lookback=dataset._lookback,
    )
    rows = engine._get_instance()._get_training_data(dataset, view, query, {}, "pandas")
    for part, frame in (rows if isinstance(rows, dict) else {dataset.name: rows}).items():
        write(frame, Path(folder) / str(part), dataset.data_format)
        print(f"{part}: {len(frame)} rows")
    worker._compute_training_dataset_statistics(view, dataset, rows)
    return 0


def _flag(options: dict[str, Any], name: str) -> bool:
    return str(options.get(name, "")).lower() == "true"


def write(frame: Any, folder: Path, data_format: str) -> None:
    """Write a data frame as one file of a training dataset.

    Parameters
    ----------
    frame : pandas.DataFrame
        The rows.
    folder : Path
        Made if absent.
    data_format : str
        ``parquet``, ``csv`` or ``tsv``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"part-00000.{data_format}"
    if data_format == "parquet":
        frame.to_parquet(file, index=False)
    else:
        frame.to_csv(file, index=False, sep="\t" if data_format == "tsv" else ",")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
