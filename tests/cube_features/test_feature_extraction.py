"""Extraction: rows by cell and time, the same whatever the tiles and threads, restartable, written once."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from deepcube.cubes import pixel_cells
from deepcube.cubes.features import FeatureError, Journal, Lag, Slope, Window, declare, extract, feed


@pytest.fixture
def grid(make_grid, weekly):
    generator = np.random.default_rng(0)
    cube = generator.normal(size=(20, 9, 7))
    cube[generator.random(cube.shape) < 0.1] = np.nan
    return make_grid({"v": cube, "z": generator.normal(size=(9, 7))}, weekly(20))


FEATURES = {"now": "v", "lag": Lag("v", 2), "mean": Window("v", 4, "mean", 1), "slope": Slope("z")}


def rows(extraction, **options):
    table = pa.concat_tables(table for _, table in extract(extraction, **options))
    return table.to_pandas().sort_values(["cell_id", "time"], ignore_index=True)


def test_rows_hold_the_values_of_their_cell_and_time(grid):
    frame = rows(declare(grid, FEATURES))
    cells, level = pixel_cells(*grid.longitude_latitude())
    assert len(frame) == 20 * 9 * 7 and not frame.duplicated(["cell_id", "time"]).any()
    assert declare(grid, FEATURES).level == level
    wide = frame.pivot(index="time", columns="cell_id", values="now")
    assert np.array_equal(
        wide[cells.ravel()].to_numpy().reshape(20, 9, 7), grid.dataset["v"].to_numpy(), equal_nan=True
    )
    assert list(wide.index) == list(grid.times)


@pytest.mark.parametrize("tile", [(9, 7), (4, 3), (1, 7), (2, 2)])
@pytest.mark.parametrize("workers", [1, 3])
def test_tiles_and_threads_change_no_bit(grid, tile, workers):
    whole = rows(declare(grid, FEATURES, tile=(9, 7)), workers=1)
    parts = rows(declare(grid, FEATURES, tile=tile), workers=workers)
    pd.testing.assert_frame_equal(whole, parts, check_exact=True)


def test_memory_sets_the_size_of_a_tile(grid):
    small = declare(grid, FEATURES, memory=8 * 3 * 20 * 6 * 10)
    assert small.rows * small.columns <= 10 < declare(grid, FEATURES).rows * declare(grid, FEATURES).columns
    pd.testing.assert_frame_equal(rows(small), rows(declare(grid, FEATURES)), check_exact=True)


def test_period_and_required(grid):
    start, end = str(grid.times[5].date()), str(grid.times[9].date())
    whole = rows(declare(grid, FEATURES))
    part = rows(declare(grid, FEATURES, period=(start, end), required=["now", "lag"]))
    wanted = whole[(whole["time"] >= start) & (whole["time"] < end)].dropna(subset=["now", "lag"])
    pd.testing.assert_frame_equal(part, wanted.reset_index(drop=True), check_exact=True)
    assert part["lag"].notna().all() and 0 < len(part) < 4 * 63


def test_unknown_values_are_null(grid):
    table = declare(grid, FEATURES).tile(0)
    assert table.column("now").null_count == int(np.isnan(grid.dataset["v"]).sum())
    assert table.schema.field("cell_id").type == pa.int64() and not table.schema.field("time").nullable


def test_an_interrupted_extraction_goes_on(grid, tmp_path):
    extraction = declare(grid, FEATURES, tile=(3, 3))
    written = []

    def fail_at_fourth(table):
        if len(written) == 3:
            raise OSError("disk full")
        written.append(table)

    with pytest.raises(OSError):
        feed(extraction, fail_at_fourth, journal=tmp_path / "journal")
    assert len(written) == 3
    count = feed(extraction, written.append, journal=tmp_path / "journal")
    assert len(written) == extraction.tiles and count == sum(t.num_rows for t in written[3:])
    frame = pa.concat_tables(written).to_pandas().sort_values(["cell_id", "time"], ignore_index=True)
    pd.testing.assert_frame_equal(frame, rows(extraction), check_exact=True)
    assert feed(extraction, written.append, journal=tmp_path / "journal") == 0


def test_the_journal_of_another_extraction_is_refused(grid, tmp_path):
    feed(declare(grid, FEATURES), lambda table: None, journal=tmp_path)
    with pytest.raises(FeatureError, match="another extraction"):
        feed(declare(grid, {**FEATURES, "lag": Lag("v", 3)}), lambda table: None, journal=tmp_path)


def test_a_line_cut_short_by_a_crash_counts_as_not_written(tmp_path):
    book = Journal(tmp_path, {"a": 1})
    for number in (0, 1, 12):
        book.finish(number)
    lines = tmp_path / "done.txt"
    lines.write_text(lines.read_text()[:-2])  # "1" of "12" without its end
    again = Journal(tmp_path, {"a": 1})
    assert again.done() == {0, 1}
    again.finish(5)
    assert again.done() == {0, 1, 5}


def test_wrong_declarations_are_refused_before_anything_is_read(grid):
    with pytest.raises(FeatureError, match="no variable w"):
        declare(grid, {"x": "w"})
    with pytest.raises(FeatureError, match="at least one"):
        declare(grid, {})
    with pytest.raises(FeatureError, match="cell_id"):
        declare(grid, {"cell_id": "v"})
    with pytest.raises(FeatureError, match="not among"):
        declare(grid, {"x": "v"}, required=["y"])
