"""The displacement panel: its graph is the generating one, and regression on the latent state finds it."""

import numpy as np
import pandas as pd
import pytest

from deepcube.cubes.simulate import simulate
from deepcube.cubes.simulate.displacement import GRAPHS, MEMORY, NODES, latent_series, links, spectral_radius


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulate") / "panel"
    return simulate("displacement", out, seed=0, size="tiny", districts=6, weeks=2000)


@pytest.mark.parametrize("mechanism", GRAPHS)
def test_the_process_is_stationary_and_drought_has_no_parent(mechanism):
    assert spectral_radius(links(mechanism)) < 1
    assert all(effect != "spei_6m" for _, effect, _, _ in GRAPHS[mechanism])
    assert all(lag >= 1 for _, _, lag, _ in GRAPHS[mechanism])


def test_an_impulse_arrives_at_its_lag():
    shocks = np.zeros((20, len(NODES)))
    shocks[3, 0] = 1.0
    state = latent_series(links("drought"), shocks)
    displaced = state[:, NODES.index("displaced")]
    water = state[:, NODES.index("water_price")]
    assert not water[:5].any() and water[5] == pytest.approx(-0.35)
    assert not displaced[:7].any() and displaced[7] == pytest.approx(-0.30 + 0.35 * -0.35)


def test_regression_on_the_latent_state_finds_the_graph(made):
    truth = pd.read_parquet(made.truth)
    for mechanism, graph in made.document["truth_values"]["graph"].items():
        districts = truth[truth["mechanism"] == mechanism]
        for effect in NODES[1:]:
            causes = [
                (link["cause"], link["lag_weeks"], link["coefficient"]) for link in graph if link["effect"] == effect
            ]
            rows = []
            for _, district in districts.groupby("district"):
                data = {(cause, lag): district[cause].shift(lag) for cause, lag, _ in causes}
                data |= {("own", 1): district[effect].shift(1), ("now", 0): district[effect]}
                # a variable that is no parent must get no weight
                data |= {("none", 2): district["displaced" if effect != "displaced" else "livestock_price"].shift(7)}
                rows.append(pd.DataFrame(data).dropna())
            table = pd.concat(rows)
            wanted = table.pop(("now", 0))
            found = dict(
                zip(table.columns, np.linalg.lstsq(table.to_numpy(), wanted.to_numpy(), rcond=None)[0], strict=True)
            )
            assert found[("own", 1)] == pytest.approx(MEMORY[effect], abs=0.05)
            assert found[("none", 2)] == pytest.approx(0, abs=0.05)
            for cause, lag, coefficient in causes:
                assert found[(cause, lag)] == pytest.approx(coefficient, abs=0.08)


def test_the_panel_looks_like_the_real_one(made):
    panel = pd.read_parquet(made.data)
    assert list(panel.columns) == ["district", "week", *NODES]
    assert (panel["week"].dt.dayofweek == 0).all()
    assert panel["displaced"].isna().mean() == pytest.approx(0.1, abs=0.02)
    assert (panel["fatalities"] >= 0).all() and (
        panel[["water_price", "food_price", "livestock_price"]] > 0
    ).all().all()
    assert panel["spei_6m"].std() == pytest.approx(1, abs=0.25)


def test_no_strength_no_links():
    matrices = links("conflict", strength=0.0)
    assert all(np.array_equal(m, np.diag(np.diag(m))) for m in matrices.values())
