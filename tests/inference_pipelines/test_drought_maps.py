"""Maps of a drought forecast."""

import numpy as np
import pandas as pd
import pytest

from features import drought
from inference_pipelines.batches import to_grid
from inference_pipelines.deployments import deployment_name
from inference_pipelines.drought.figures import draw_maps, most_telling_origin

DAYS = pd.date_range("2010-01-01", periods=4)


def test_cells_go_where_they_belong():
    table = pd.DataFrame({"row": [1, 0], "col": [2, 0], "value": [5.0, 7.0]})
    grid = to_grid(table, "value", (2, 3))
    assert grid[1, 2] == 5 and grid[0, 0] == 7
    assert np.isnan(grid).sum() == 4


def origins(observed: list[list[float]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of four days by cells; climatology 0.5 everywhere."""
    keys = [{"cube": "c", "cell_id": cell, "time": day} for day in DAYS for cell in range(len(observed[0]))]
    predictions = pd.DataFrame(keys).assign(**{drought.CLIMATOLOGY[0]: 0.5})
    return predictions, pd.DataFrame(keys).assign(**{drought.LABELS[0]: np.ravel(observed)})


def test_the_driest_of_the_well_observed_origins_is_drawn():
    gap = np.nan
    observed = [[0.5, 0.5], [0.4, 0.4], [0.3, 0.45], [0.1, gap]]
    assert most_telling_origin(*origins(observed)) == DAYS[2], "the last day is drier but half unseen"


def test_nothing_observed_is_named():
    with pytest.raises(ValueError, match="no observed target"):
        most_telling_origin(*origins([[np.nan]] * 4))


@pytest.mark.parametrize("truth", [[0.4, 0.6], [0.4, np.nan], [np.nan, np.nan]], ids=["full", "gap", "unseen"])
def test_a_map_is_drawn(tmp_path, truth):
    table = pd.DataFrame({"row": [0, 1], "col": [0, 1], "predicted_ndvi_step_1": [0.5, 0.5], "ndvi_step_1": truth})
    assert draw_maps(table, tmp_path / "map.png", title="t").read_bytes()[:4] == b"\x89PNG"


def test_deployment_names_are_letters_and_digits():
    assert deployment_name("drought", "romania_s2") == "droughtromanias2"
    assert deployment_name("drought", "Jubba-2010") == "droughtjubba2010"
