"""A small volcano model with its files, interferograms on disk, and a project that lives in memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio

from deepcube.oblivious import Signature, save_artifact
from features import volcano


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a model of two untrained networks; alerts are raised from a probability of 0.5."""
    import keras

    from training_pipelines.volcano import MAPS_FILE
    from training_pipelines.volcano.kinds import save_kinds, train_kinds
    from training_pipelines.volcano.model import build_head, build_network, ensemble
    from training_pipelines.volcano.scenes import make_bank

    networks = []
    for seed in (0, 1):
        keras.utils.set_random_seed(seed)
        trunk = build_network(8)
        networks.append(keras.Model(trunk.input, build_head(trunk.output_shape[-1])(trunk.output)))
    model, maps = ensemble(networks)
    signature = Signature(
        inputs=volcano.CHANNELS,
        outputs=volcano.OUTPUTS[:1],
        input_units=dict.fromkeys(volcano.CHANNELS, "1"),
        output_units="1",
        feature_view="volcano_test",
        feature_view_version=1,
        training_dataset_version=1,
        details={"cube": "test", "simulated": False, "threshold": 0.5},
    )
    folder = save_artifact(tmp_path_factory.mktemp("volcano") / "model", model, signature)
    maps.save(folder / MAPS_FILE, include_optimizer=False)
    save_kinds(train_kinds(make_bank(16, 0), None, 0.0, scenes=60), folder)
    return folder


@pytest.fixture(scope="session")
def phases() -> list[np.ndarray]:
    """Four interferograms: rings of different width, and noise."""
    axis = np.linspace(-1, 1, volcano.PIXELS)
    distance = np.hypot(*np.meshgrid(axis, axis))
    made = [np.angle(np.exp(1j * fringes * np.exp(-3 * distance**2))) for fringes in (4, 8, 16)]
    made.append(np.random.default_rng(0).uniform(-np.pi, np.pi, distance.shape))
    return [one.astype(np.float32) for one in made]


@pytest.fixture
def inbox(tmp_path: Path, phases: list[np.ndarray]) -> Path:
    """Folder of these interferograms as PNG files, and of one that is no image."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    for number, phase in enumerate(phases):
        _write(folder / f"x_014A_07885_131313_etna{number}_20200101_2020011{number}.png", phase)
    (folder / "broken_20200101_20200113.png").write_bytes(b"\x89PNG but not really")
    return folder


@pytest.fixture(scope="session")
def write_phase() -> Callable[[Path, np.ndarray], Path]:
    """Write a phase as grey levels of a PNG."""
    return _write


def _write(path: Path, phase: np.ndarray) -> Path:
    grey = np.rint((phase / np.pi + 1) / 2 * 255).astype(np.uint8)
    size = {"height": grey.shape[0], "width": grey.shape[1], "count": 1}
    with rasterio.open(path, "w", driver="PNG", dtype="uint8", **size) as file:
        file.write(grey, 1)
    return path


class Group:
    """A feature group that keeps one row a key, in memory."""

    name = "volcano_events"
    id = 1

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.fails_at: int | None = None

    def insert(self, table: pd.DataFrame) -> None:
        if self.fails_at is not None:
            self.fails_at -= 1
            if self.fails_at < 0:
                raise RuntimeError("interrupted")
        for row in table.to_dict("records"):
            self.rows[str(row["event_id"])] = {str(name): value for name, value in row.items()}

    def read(self) -> pd.DataFrame:
        columns = [column.name for column in volcano.EVENT_COLUMNS]
        return pd.DataFrame(list(self.rows.values()), columns=columns)


class Datasets:
    """The project's files, in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _place(self, path: str) -> Path:
        return self.root / path.removeprefix("/Projects/test/")

    def exists(self, path: str) -> bool:
        return self._place(path).exists()

    def mkdir(self, path: str) -> None:
        self._place(path).mkdir()

    def upload(self, file: str, folder: str, overwrite: bool = False) -> str:
        shutil.copy(file, self._place(folder))
        return f"{folder}/{Path(file).name}"

    def download(self, path: str, folder: str, overwrite: bool = False) -> str:
        return shutil.copy(self._place(path), folder)

    def list(self, path: str, offset: int = 0, limit: int = 1000) -> list[str]:
        return sorted(f"/Projects/test/{path}/{file.name}" for file in self._place(path).iterdir())[offset:][:limit]

    def read_content(self, path: str) -> Any:
        return SimpleNamespace(content=self._place(path).read_bytes())


@pytest.fixture
def platform(tmp_path: Path, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project in memory with a registered model; ``group`` holds its events and ``root`` its files."""
    root = tmp_path / "project"
    (root / "Resources").mkdir(parents=True)
    group, datasets = Group(), Datasets(root)
    model = SimpleNamespace(name="volcano_test", version=3, download=lambda folder: str(artifact))
    project = SimpleNamespace(
        name="test",
        group=group,
        root=root,
        get_dataset_api=lambda: datasets,
        get_feature_store=lambda: None,
        get_model_registry=lambda: SimpleNamespace(get_models=lambda name: [model] if name == model.name else []),
    )
    monkeypatch.setattr(volcano, "events_group", lambda fs: group)
    monkeypatch.setattr("inference_pipelines.volcano.alerts.best_model", lambda project: model)
    monkeypatch.setattr("inference_pipelines.volcano.scoring.best_model", lambda project: model)
    return project
