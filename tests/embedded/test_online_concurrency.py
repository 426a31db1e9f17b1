"""Eight processes write one stream group at once, and the server is killed: nothing is lost, nothing is doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

import hopsworks
import pytest

from deepcube.embedded import down, up

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PROCESSES = 8

# Each process owns its keys; every round writes them anew, so the newest value of a key is the last round's.
WRITER = """
import sys, time
import hopsworks, pandas as pd
number, seconds = int(sys.argv[1]), float(sys.argv[2])
group = hopsworks.login().get_feature_store().get_feature_group("crowd", 1)
begin, round_ = time.monotonic(), 0
while round_ < 2 or time.monotonic() - begin < seconds:
    round_ += 1
    ids = [number * 100 + i for i in range(20)]
    group.insert(pd.DataFrame({"id": ids, "v": [round_] * 20}))
print("rounds", round_)
"""


def crowd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    running, _ = up(tmp_path / "home", port=0)
    try:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        store = hopsworks.login().get_feature_store()
        group = store.create_feature_group(
            "crowd", version=1, primary_key=["id"], online_enabled=True, stream=True, time_travel_format="DELTA"
        )
        import pandas as pd

        group.insert(pd.DataFrame({"id": [0], "v": [0]}), write_options={"wait_for_job": True})
        command = [sys.executable, "-c", WRITER]
        writers = [
            subprocess.Popen([*command, str(i), str(seconds)], stdout=PIPE, stderr=PIPE, text=True)
            for i in range(1, PROCESSES + 1)
        ]
        expected = {0: 0}
        for number, writer in enumerate(writers, start=1):
            out, error = writer.communicate(timeout=500)
            assert writer.returncode == 0, error[-3000:]
            rounds = int(out.rsplit("rounds ", 1)[1])
            expected |= {number * 100 + i: rounds for i in range(20)}
        os.kill(running.pid, signal.SIGKILL)
        while running.home.is_locked():
            time.sleep(0.05)
        again, _ = up(running.home.root)
        assert again.pid != running.pid
        hopsworks.logout()
        group = hopsworks.login().get_feature_store().get_feature_group("crowd", 1)
        group.materialization_job.run(await_termination=True)
        for online in (True, False):
            found = group.read(online=online)
            assert len(found) == len(expected)
            assert dict(zip(found["id"], found["v"], strict=True)) == expected
        hopsworks.logout()
    finally:
        down(tmp_path / "home")


def test_eight_processes_upsert_one_stream_group(tmp_path, monkeypatch):
    crowd(tmp_path, monkeypatch, seconds=0)


def test_eight_processes_upsert_one_stream_group_for_a_minute(tmp_path, monkeypatch):
    crowd(tmp_path, monkeypatch, seconds=60)
