"""Features by a PYSPARK job of the platform: the rows of one process, in the feature group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deepcube.cubes import open_cube
from deepcube.cubes.features import extract
from deepcube.cubes.simulate import simulate
from jobs import cube_features

DECLARATION = """
from deepcube.cubes.features import Anomaly, Lag, Masked, Ndvi, Window, declare

def declared(cube):
    ndvi = Masked(Ndvi("s2_B04", "s2_B8A"), "s2_mask", (0,))
    anomaly = Anomaly(ndvi, ("2016-01-01", "2017-01-01"))
    features = {"ndvi": ndvi, "lag": Lag(ndvi, 1), "std": Window(ndvi, 6, "std", 2), "anomaly": anomaly}
    return declare(cube.grid("s2_30m_5day"), features, required=["std"], tile=(5, 7))
"""
KEYS = ["cell_id", "time"]


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate("drought", tmp_path_factory.mktemp("cube") / "made", seed=0, size="tiny", side=16, days=400).data


def rows_here(cube: Path, declaration: Path) -> pd.DataFrame:
    tables = extract(cube_features.opener(str(cube), str(declaration))())
    return pd.concat([rows.to_pandas() for _, rows in tables]).sort_values(KEYS, ignore_index=True)


def test_the_declaration_is_read_from_its_file(cube: Path, tmp_path: Path) -> None:
    (tmp_path / "dry.py").write_text(DECLARATION)
    opened = cube_features.opener(str(cube), str(tmp_path / "dry.py"))
    assert opened().grid.name == "s2_30m_5day" and list(opened().features) == ["ndvi", "lag", "std", "anomaly"]
    assert open_cube(cube).grid("s2_30m_5day").shape == opened().grid.shape
    from pyspark import cloudpickle

    assert "dry" not in str(cloudpickle.dumps(opened).split(b"declared")[0])  # travels by value, not as a module


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.parametrize("master", ["local[*]", "local-cluster[2,1,1024]"])
def test_a_pyspark_job_fills_a_feature_group(project: Any, cube: Path, tmp_path: Path, master: str) -> None:
    pytest.importorskip("pyspark")
    (tmp_path / "dry.py").write_text(DECLARATION)
    files = project.get_dataset_api()
    program = files.upload(cube_features.__file__, "Resources", overwrite=True)
    declaration = files.upload(str(tmp_path / "dry.py"), "Resources", overwrite=True)
    api = project.get_job_api()
    config = api.get_configuration("PYSPARK")
    config |= {"appPath": program, "spark.driver.memory": 1024, "files": declaration}
    config["properties"] = "spark.executor.memory=1g\nspark.cores.max=2"
    name = f"dry_{'cluster' if 'cluster' in master else 'local'}"
    job = api.create_job(name, config)
    arguments = f"--cube {cube} --declaration dry.py --group {name} --partitions 3 --master {master}"
    execution = job.run(args=arguments)
    out = Path(execution.download_logs(str(tmp_path))[0]).read_text()
    expected = rows_here(cube, tmp_path / "dry.py")
    assert execution.success and f"{len(expected)} rows in {name} version 1, by Spark on {master}" in out
    stored = project.get_feature_store().get_feature_group(name, 1).read()
    stored["time"] = pd.to_datetime(stored["time"], utc=True).dt.tz_localize(None).astype("datetime64[us]")
    stored = stored.sort_values(KEYS, ignore_index=True)
    assert len(stored) > 1000 and stored[KEYS].equals(expected[KEYS])
    for column in ("ndvi", "lag", "std", "anomaly"):
        assert np.array_equal(stored[column].to_numpy().view(np.int64), expected[column].to_numpy().view(np.int64))
