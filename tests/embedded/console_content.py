"""What the console tests look at: a project filled through the real client, with hostile names where names are free."""

from __future__ import annotations

import io
import json
import sqlite3
import struct
import textwrap
import zlib
from pathlib import Path
from typing import Any

import pandas as pd

HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked=1'>"
GROUP, VIEW, MODEL, DEPLOYMENT, JOB = "console_weather", "console_view", "console_model", "consolemodel", "console_job"
CUBE, STUDY = "console_cube", "5" * 32

PREDICTOR = '''
class Predict:
    """Adds its inputs, and says so when asked to explain."""

    WEIGHTS = {"temperature": 0.5, "humidity": -0.25}

    def predict(self, inputs, explain=False):
        answers = [sum(self.WEIGHTS[name] * row[name] for name in self.WEIGHTS) for row in inputs]
        return [self.explained(row, answer) for row, answer in zip(inputs, answers)] if explain else answers

    def explained(self, row, answer):
        attributions = {"sum": {name: self.WEIGHTS[name] * row[name] for name in self.WEIGHTS}}
        explanation = {"method": "exact", "attributions": attributions, "completeness_error": {"sum": 0.0}}
        return {"prediction": {"sum": answer}, "inputs": row, "explanation": explanation}
'''

PROGRAM = """
import sys
import time

print("arguments:", sys.argv[1:], flush=True)
print("hostile: <script>window.hacked = 1</script>", flush=True)
print("caf\\u00e9 \\u2713", file=sys.stderr, flush=True)
if "--wait" in sys.argv:
    for step in range(600):
        print("step", step, flush=True)
        time.sleep(0.2)
print("done", flush=True)
"""


def picture(width: int = 96, height: int = 48) -> bytes:
    """Return a small PNG: a gradient."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(
        b"\0" + bytes(value for x in range(width) for value in (20, 120 + x, 90 + 2 * y)) for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def rows(count: int = 200) -> pd.DataFrame:
    """Return simulated weather of a few stations."""
    index = pd.Series(range(count))
    return pd.DataFrame(
        {
            "station": index % 5,
            "time": pd.date_range("2026-01-01", periods=count, freq="h", tz="UTC"),
            "temperature": 10 + (index % 24) * 0.5,
            "humidity": (60 + (index * 7) % 31).astype(float).where(index % 10 != 0),
            "remark": ["calm" if i % 3 else "<b>windy</b>" for i in range(count)],
        }
    )


def fill_features(project: Any) -> Any:
    """Make a feature group with units, a hostile description and rows."""
    from hsfs.feature import Feature

    group = project.get_feature_store().get_or_create_feature_group(
        name=GROUP,
        version=1,
        description=f"Simulated weather {HOSTILE}",
        primary_key=["station"],
        event_time="time",
        features=[
            Feature("station", "bigint", "Number of the station (count)"),
            Feature("time", "timestamp", "Time of the observation, UTC"),
            Feature("temperature", "double", f"Air temperature at 2 m (degrees Celsius) {HOSTILE}"),
            Feature("humidity", "double", "Relative humidity (unit percent); null where the sensor failed"),
            Feature("remark", "string", "What the observer wrote"),
        ],
        statistics_config={"enabled": True, "histograms": True, "correlations": True},
    )
    group.insert(rows(), wait=True)
    return group


def fill_view(project: Any, group: Any) -> Any:
    """Make a feature view and a training dataset."""
    view = project.get_feature_store().get_or_create_feature_view(
        name=VIEW,
        version=1,
        description="Weather for the console's tests",
        query=group.select_all(),
        labels=["humidity"],
    )
    view.create_train_test_split(test_size=0.2, data_format="csv", description="a random split")
    return view


def fill_models(project: Any, folder: Path, view: Any = None) -> None:
    """Register two versions of a model with a picture."""
    registry = project.get_model_registry()
    for rmse in (0.31, 0.27):
        content = folder / f"model-{rmse}"
        content.mkdir()
        (content / "weights.json").write_text(json.dumps({"temperature": 0.5}))
        (content / "attributions.png").write_bytes(picture())
        (content / "predictor.py").write_text(PREDICTOR)
        model = registry.python.create_model(
            name=MODEL,
            metrics={"rmse": rmse, "r2": 1 - rmse},
            description=f"A linear model {HOSTILE}",
            input_example={"temperature": 20.0, "humidity": 40.0},
            **({} if view is None else {"feature_view": view, "training_dataset_version": 1}),
        )
        model.save(str(content))


def fill_deployment(project: Any) -> Any:
    """Deploy the second version; it is started by the test."""
    model = project.get_model_registry().get_model(MODEL, version=2)
    script = f"{model.version_path}/Files/predictor.py"
    return model.deploy(name=DEPLOYMENT, script_file=script, description="Answers the console's tests")


def fill_jobs(project: Any, folder: Path) -> Any:
    """Make a job that can be told to wait."""
    program = folder / "console_job.py"
    program.write_text(textwrap.dedent(PROGRAM))
    path = project.get_dataset_api().upload(str(program), "Resources", overwrite=True)
    jobs = project.get_job_api()
    configuration = jobs.get_configuration("PYTHON")
    configuration["appPath"] = path
    configuration["defaultArgs"] = "--greet world"
    return jobs.create_job(JOB, configuration)


def fill_files(project: Any, folder: Path) -> None:
    """Upload files that a browser must not run."""
    datasets = project.get_dataset_api()
    for name, content in {
        "evil.html": b"<script>window.hacked = 1</script>",
        "evil.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='window.hacked=1'/>",
        "notes <b>.txt": f"plain {HOSTILE}\n".encode(),
        "data.bin": io.BytesIO(bytes(range(256))).getvalue(),
    }.items():
        file = folder / name
        file.write_bytes(content)
        datasets.upload(str(file), "Resources", overwrite=True)


def fill_cube(project: Any, folder: Path) -> None:
    """Publish a small cube with a hostile title, and upload the folder."""
    import numpy as np
    import xarray as xr

    from deepcube.cubes import open_cube
    from deepcube.cubes.publish import publish

    data = xr.Dataset(
        {"ndvi": (("time", "y", "x"), np.random.default_rng(0).random((4, 20, 30), np.float32), {"units": "1"})},
        {
            "time": pd.date_range("2020-01-01", periods=4, freq="16D"),
            "y": ("y", 45 - 0.01 * np.arange(20), {"units": "degrees_north", "standard_name": "latitude"}),
            "x": ("x", 22 + 0.01 * np.arange(30), {"units": "degrees_east", "standard_name": "longitude"}),
        },
        {"licence": "CC-BY-4.0"},
    )
    data.to_zarr(folder / f"{CUBE}.zarr")
    published = folder / CUBE
    publish(open_cube(folder / f"{CUBE}.zarr"), published, title=f"Vegetation {HOSTILE}", licence="CC-BY-4.0")
    datasets = project.get_dataset_api()
    for each in sorted([published, *published.rglob("*")]):
        place = f"Resources/cubes/{CUBE}/{each.relative_to(published)}".removesuffix("/.")
        for end in range(2, len(place.split("/")) + each.is_dir()):
            if not datasets.exists(part := "/".join(place.split("/")[:end])):
                datasets.mkdir(part)
        if each.is_file():
            datasets.upload(str(each), place.rpartition("/")[0], overwrite=True)


def fill_alerts(project: Any, folder: Path) -> None:
    """Upload the feed of a use case, and have an alert of a job wait and come up."""
    datasets = project.get_dataset_api()
    for part in ("Resources/volcano", "Resources/volcano/alerts"):
        if not datasets.exists(part):
            datasets.mkdir(part)
    items = [
        {
            "title": f"Etna: deformation 93% probable {HOSTILE}",
            "date_published": "2026-05-01T10:00:00Z",
            "image": "etna.png",
            "content_text": "Most support at row 70, column 80 of the image.",
        },
        {"title": "Somewhere else", "image": "../../../secret.png"},
        "not an entry",
    ]
    feed = {"title": "Volcano alerts", "items": items}
    (folder / "feed.json").write_text(json.dumps(feed))
    (folder / "etna.png").write_bytes(picture())
    for name in ("feed.json", "etna.png"):
        datasets.upload(str(folder / name), "Resources/volcano/alerts", overwrite=True)
    project.get_alerts_api().create_alert_receiver("console", webhook_configs=[{"url": "https://example.org"}])
    project.get_job_api().get_job(JOB).create_alert("console", "finished", "info")


def fill_experiments(root: Path) -> None:
    """Write a study of three trials in the tables that MLflow keeps them in."""
    (root / "mlflow").mkdir(exist_ok=True)
    with sqlite3.connect(root / "mlflow" / "mlflow.db") as database:
        database.executescript(
            "CREATE TABLE runs (run_uuid, name, status, start_time, end_time, lifecycle_stage);"
            "CREATE TABLE tags (run_uuid, key, value); CREATE TABLE params (run_uuid, key, value);"
            "CREATE TABLE metrics (run_uuid, key, step, value, is_nan);"
        )
        begun = 1_777_000_000_000
        runs = [(STUDY, "study", "FINISHED", begun, begun + 60_000, "active")]
        tags, params, metrics = [(STUDY, "cube", f"attica {HOSTILE}")], [], []
        for number, family in enumerate(("dense <b>", "lstm", "trees")):
            run = f"{number}" * 32
            runs.append((run, family, "FAILED" if number == 2 else "FINISHED", begun, begun + 5000, "active"))
            tags.append((run, "mlflow.parentRunId", STUDY))
            params += [(run, "family", family), (run, "units", str(16 << number))]
            metrics += [(run, "validation_loss", step, 1 / (1 + step + number), 0) for step in range(8)]
        database.executemany("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?)", runs)
        database.executemany("INSERT INTO tags VALUES (?, ?, ?)", tags)
        database.executemany("INSERT INTO params VALUES (?, ?, ?)", params)
        database.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?)", metrics)
