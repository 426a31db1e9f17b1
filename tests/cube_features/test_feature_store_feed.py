"""Declared features reach a feature group through the client, once, however often a run is cut short."""

import pandas as pd
import pytest

from deepcube.cubes.features import Lag, Window, declare, extract, feed


@pytest.mark.e2e
def test_an_interrupted_run_leaves_every_row_once(project, make_grid, weekly, tmp_path):
    import numpy as np

    cube = np.random.default_rng(0).normal(size=(12, 6, 4))
    extraction = declare(
        make_grid({"v": cube}, weekly(12)), {"now": "v", "lag": Lag("v", 1), "mean": Window("v", 3, "mean", 1)},
        required=["lag"], tile=(3, 4),
    )  # fmt: skip
    group = project.get_feature_store().get_or_create_feature_group(
        name="declared", version=1, primary_key=["cell_id"], event_time="time", time_travel_format="DELTA"
    )
    written = []

    def write(table, fail):
        group.insert(table.to_pandas())
        written.append(table)
        if fail:
            raise KeyboardInterrupt  # after the rows are there, before the journal knows

    with pytest.raises(KeyboardInterrupt):
        feed(extraction, lambda table: write(table, True), journal=tmp_path)
    feed(extraction, lambda table: write(table, False), journal=tmp_path)
    assert len(written) == extraction.tiles + 1  # the first tile was written twice
    keys = ["cell_id", "time"]
    stored = group.read()
    stored["time"] = pd.to_datetime(stored["time"], utc=True).dt.tz_localize(None).astype("datetime64[us]")
    stored = stored.sort_values(keys, ignore_index=True)
    expected = pd.concat([table.to_pandas() for _, table in extract(extraction)]).sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(stored[expected.columns], expected, check_exact=True)
