"""From a real cube to an explained prediction, as a new user would do it: by the command, each step a Hopsworks job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from deepcube.embedded import Running, down, find, up

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]

SCRIPT = """
import hopsworks, json
project = hopsworks.login()
view = project.get_feature_store().get_feature_view("drought_modisraster", version=1)
view.init_serving(1)
vector = view.get_feature_vector({"cube": "modisraster", "cell_id": CELL})
answer = project.get_model_serving().get_deployment("droughtmodisraster").predict(inputs=[vector])
print(json.dumps({"rows": len(view.get_batch_data()), "vector": len(vector), "prediction": answer["predictions"][0]}))
"""


def deepcube(home: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HOPSWORKS_", "DEEPCUBE_"))}
    return subprocess.run(
        [sys.executable, "-c", "from jobs.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        env=clean | {"DEEPCUBE_HOME": str(home)},
        cwd=folder,
        timeout=1800,
    )


def run(home: Path, folder: Path, *arguments: str) -> dict[str, Any]:
    result = deepcube(home, folder, "run", "drought", "--json", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    summary: dict[str, Any] = json.loads(result.stdout)  # nothing else may be there
    return summary


def python(running: Running, code: str) -> str:
    """Run a script that knows of the platform from the environment alone."""
    environment = {**os.environ, **running.environment()}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=600)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    up(home, port=0)
    yield home
    down(home)


def assert_beats_baselines(model: dict[str, Any]) -> None:
    ours = model["metrics"]["overall"]
    for name, scores in model["baselines"].items():
        assert ours["rmse"] < scores["overall"]["rmse"], name
        assert ours["r2"] > scores["overall"]["r2"], name
        assert ours["n"] == scores["overall"]["n"], "scored over the same rows"


def assert_explained(example: dict[str, Any]) -> None:
    explanation = example["explanation"]
    for output, value in example["prediction"].items():
        total = sum(explanation["attributions"][output].values())
        difference = value - explanation["base_value"][output]
        assert total - difference == pytest.approx(explanation["completeness_error"][output], abs=1e-5)
        assert abs(total - difference) < 1e-3
        assert set(explanation["attributions"][output]) == set(example["inputs"])


def test_a_restart_between_any_two_stages_loses_nothing(home: Path, shared_data: Path, tmp_path: Path) -> None:
    source = ["--source", str(shared_data / "bfast-modis" / "modisraster.tif")]
    features = run(home, tmp_path, "--stage", "features", *source)
    assert features["simulated"] is False
    running = find(home)
    assert running is not None
    process = psutil.Process(running.pid)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    up(home)

    training = run(home, tmp_path, "--stage", "training", *source)
    assert training["feature_view"] == {"name": "drought_modisraster", "version": 1}
    assert_beats_baselines(training["model"])
    down(home)
    up(home)

    inference = run(home, tmp_path, "--stage", "inference", *source)
    assert inference["deployment"]["state"] == "Running"
    assert_explained(inference["example"])
    for figure in inference["figures"]:
        assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")

    running, _ = up(home)
    cell = inference["example"]["request"]["cell_id"]
    answer = json.loads(python(running, SCRIPT.replace("CELL", str(cell))).strip().splitlines()[-1])
    assert answer["rows"] > 5000
    assert answer["vector"] == len(inference["example"]["inputs"])
    assert answer["prediction"] == pytest.approx(inference["example"]["prediction"], abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["fg", "list"], ["drought_ndvi", "drought_features", "drought_predictions"]),
        (["model", "list"], ["drought_modisraster"]),
        (["job", "list"], ["drought_features", "drought_training", "drought_inference"]),
    ],
)
def test_the_clients_own_command_lists_it(home: Path, arguments: list[str], names: list[str], tmp_path: Path) -> None:
    running = find(home)
    assert running is not None
    hops = Path(sys.executable).parent / "hops"
    environment = {**os.environ, **running.environment(), "HOME": str(tmp_path), "COLUMNS": "200"}
    result = subprocess.run([hops, *arguments], capture_output=True, text=True, env=environment, timeout=300)
    assert result.returncode == 0, result.stderr
    for name in names:
        assert name in result.stdout


def test_bad_input_fails_the_job_and_leaves_the_store_as_it_was(home: Path, tmp_path: Path) -> None:
    running = find(home)
    assert running is not None
    count = "import hopsworks; print(len(hopsworks.login().get_feature_store().get_feature_groups()))"
    before = python(running, count).splitlines()[-1]
    (tmp_path / "broken.tif").write_bytes(b"this is no GeoTIFF")
    result = deepcube(home, tmp_path, "run", "drought", "--source", str(tmp_path / "broken.tif"))
    assert result.returncode == 1
    assert "broken.tif" in result.stderr
    assert "Traceback" not in result.stderr
    assert python(running, count).splitlines()[-1] == before


@pytest.mark.slow
def test_the_simulated_cube_in_one_command_is_labelled_throughout(home: Path, tmp_path: Path) -> None:
    summary = run(home, tmp_path, "--source", "simulated")
    assert (summary["cube"], summary["simulated"]) == ("simulated_drought", True)
    assert "drought_weather" in summary["feature_groups"]
    assert {"rain_anomaly_lag_0", "temperature_anomaly_lag_5"} < set(summary["example"]["inputs"])
    assert_beats_baselines(summary["model"])
    assert summary["deployment"]["state"] == "Running"
    assert summary["example"]["simulated"] is True
    assert_explained(summary["example"])


def test_the_sample_in_one_command(home: Path, tmp_path: Path) -> None:
    summary = run(home, tmp_path)
    assert summary["use_case"] == "drought"
    assert summary["source"] == "sample"
    assert summary["simulated"] is False
    groups = ("ndvi", "climatology", "features", "targets", "predictions", "impact")
    assert set(summary["feature_groups"]) == {f"drought_{group}" for group in groups}
    assert_beats_baselines(summary["model"])
    assert summary["deployment"]["state"] == "Running"
    assert_explained(summary["example"])
    assert len(summary["figures"]) >= 2
    assert set(summary["seconds"]) == {"features", "training", "inference"}
