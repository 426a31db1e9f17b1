"""What was said about artifacts survives a killed server; statistics that were not computed yet still come."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

from deepcube.embedded import Running, down, up

pytestmark = pytest.mark.e2e

gx = pytest.importorskip("great_expectations")


def kill(running: Running) -> None:
    """End a server as a power cut would."""
    process = psutil.Process(running.pid)
    os.kill(running.pid, signal.SIGKILL)
    process.wait(30)


def login(running: Running, patch: pytest.MonkeyPatch) -> Any:
    import hopsworks

    for name, value in running.environment().items():
        patch.setenv(name, value)
    return hopsworks.login()


def test_a_killed_server_forgets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hopsworks
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    running, _ = up(tmp_path / "home", port=0)
    store = login(running, monkeypatch).get_feature_store()
    group = store.create_feature_group("kept", version=1, primary_key=["cell"], time_travel_format="DELTA")
    group.insert(pd.DataFrame({"cell": range(50), "ndvi": np.linspace(0, 1, 50)}))
    rule = ExpectationConfiguration(type="expect_column_values_to_not_be_null", kwargs={"column": "ndvi"})
    group.save_expectation_suite(gx.core.ExpectationSuite(name="rules", expectations=[rule]))
    group.insert(pd.DataFrame({"cell": range(50, 60), "ndvi": 0.5}))
    group.add_tag("owner", {"team": "a"})
    group.set_keywords(["kept"])
    config = group.create_feature_monitoring("watch", event_time=False)
    config.compare_on("count", threshold=1, specific_value=60, feature_name="ndvi").save()
    store.create_feature_view("kept_view", version=1, query=group.select_all())
    group.insert(pd.DataFrame({"cell": range(60, 70), "ndvi": 0.5}))
    kill(running)
    hopsworks.logout()

    running, was_started = up(tmp_path / "home", port=0)
    assert was_started
    project = login(running, monkeypatch)
    group = project.get_feature_store().get_feature_group("kept", 1)
    counts = {feature.feature_name: feature.count for feature in group.statistics.feature_descriptive_statistics}
    assert counts == {"cell": 70, "ndvi": 70}
    assert group.get_tags() == {"owner": {"team": "a"}} and group.get_keywords() == ["kept"]
    assert group.get_expectation_suite(ge_type=False).expectation_suite_name == "rules"
    assert [report.ingestion_result for report in group.get_all_validation_reports(ge_type=False)] == ["INGESTED"] * 2
    assert [hit.name for hit in project.get_search_api().feature_groups("kept")] == ["kept"]
    assert [view.name for view in group.get_generated_feature_views().accessible] == ["kept_view"]
    (config,) = group.get_feature_monitoring_configs()
    job, deadline = config.run_once(), time.monotonic() + 60
    while not config.get_history(with_statistics=False) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert job.get_executions() and config.get_history()[0].shifted_feature_names == {"ndvi"}
    hopsworks.logout()
    assert down(tmp_path / "home")
