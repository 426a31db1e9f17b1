"""``python -m benchmarks.drought_impact``: what the weather's inputs are worth to the impact index, in both periods.

Networks of five seeds are trained with all inputs, without standardised precipitation (SPI), and without weather, and
their index is scored on the validation period and on the test period. Needs the platform that the ``HOPSWORKS_*``
variables name, with the features of a cube that has weather::

    deepcube run drought --source simulated --stage features
    eval "$(deepcube env)"
    python -m benchmarks.drought_impact
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Table

from deepcube.oblivious import MODEL_FILE
from features import drought
from features.drought.quantiles import error_quantiles
from inference_pipelines.batches import read_rows
from inference_pipelines.drought.batch import PREDICTED, read_grid, read_truth
from inference_pipelines.drought.impact import find_districts, impact_rows, impact_scores, read_spread
from training_pipelines.drought import HPARAMS, SEEDS
from training_pipelines.drought.data import Samples, TrainingData, read_training_data, require_cube
from training_pipelines.drought.model import build_model, ensemble, load_network, predict, train_fn

_DRAWS = 1000


def main() -> None:
    """Train, score and print the table."""
    import hopsworks

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cube", default="simulated_drought", help="a cube with weather (default: %(default)s)")
    arguments = parser.parse_args()
    bench = Bench.read(hopsworks.login(), arguments.cube)
    names = bench.data.test.names
    inputs = {
        "all inputs": names,
        "without SPI": [name for name in names if not name.startswith("spi_")],
        "without weather": list(drought.FEATURE_NAMES),
    }
    console = Console()
    table = Table("inputs", "period", "RMSE of the index (%)", "over seeds", "persistence", "a normal month", "n")
    indices: dict[tuple[str, str], pd.DataFrame] = {}
    for label, kept in track(inputs.items(), "training", console=console, transient=True):
        networks = [bench.train(kept, seed) for seed in SEEDS]
        for period in ("validation", "test"):
            single = [impact_scores(bench.index(one, kept, period))["rmse"]["model"] for one in networks]
            indices[label, period] = bench.index(ensemble(networks), kept, period)
            found = impact_scores(indices[label, period])
            rmse = [f"{found['rmse'][name]:.1f}" for name in ("model", "persistence", "climatology")]
            spread = f"{np.mean(single):.2f} +- {np.std(single, ddof=1):.2f}"
            table.add_row(label, period, rmse[0], spread, *rmse[1:], str(found["n"]))
    console.print(table)
    for period in ("validation", "test"):
        low, middle, high = difference(indices["all inputs", period], indices["without SPI", period])
        console.print(f"{period}: all inputs minus without SPI {middle:.1f} ({low:.1f} to {high:.1f}, months redrawn)")


@dataclass(frozen=True)
class Bench:
    """A cube's training data, and what its impact index is computed from."""

    data: TrainingData
    inputs: pd.DataFrame
    truth: pd.DataFrame
    spread: pd.DataFrame
    districts: pd.Series

    @classmethod
    def read(cls, project: Any, cube: str) -> Bench:
        """Read everything of a cube from the feature store."""
        fs = project.get_feature_store()
        split = require_cube(fs, cube)
        view = drought.feature_view(fs, cube)
        data = read_training_data(view, split)
        start = pd.Timestamp(split.validation_start)
        inputs = read_rows(view, drought.targets_group(fs), drought.KEYS, start, data.test.names)
        districts = find_districts(project, read_grid(fs, cube))
        return cls(data, inputs, read_truth(fs, cube, inputs["time"].min()), read_spread(fs, cube), districts)

    def train(self, kept: list[str], seed: int) -> Any:
        """Return a network of some of the inputs, trained as the pipeline does."""
        import keras

        keras.utils.set_random_seed(seed)
        dataset = (_kept(self.data.train, kept), _kept(self.data.validation, kept))
        hparams = {**HPARAMS, "batch_size": max(128, len(dataset[0].inputs) // 50)}
        with tempfile.TemporaryDirectory() as folder:
            reporter: Any = SimpleNamespace(directory=Path(folder), broadcast=lambda *_, **__: None)
            train_fn(hparams, build_model, dataset, reporter)
            return load_network(Path(folder) / MODEL_FILE)

    def index(self, network: Any, kept: list[str], period: str) -> pd.DataFrame:
        """Return the index of a period by district and month, its spread being that of the validation errors."""
        validation, split = _kept(self.data.validation, kept), self.data.split
        offsets = error_quantiles(validation.targets, predict(network, validation.inputs))
        first, last = getattr(split, f"{period}_start"), getattr(split, f"{period}_end")
        inputs = self.inputs[(self.inputs["time"] >= first) & (self.inputs["time"] < last)]
        rows = inputs[[*drought.KEYS, "time"]].copy()
        rows[PREDICTED] = predict(network, inputs[kept].to_numpy(np.float32))
        return impact_rows(inputs, rows, self.truth, self.spread, self.districts, offsets)


def difference(one: pd.DataFrame, other: pd.DataFrame) -> tuple[float, float, float]:
    """Return by how much the RMSE of one index is larger: 2.5 %, 50 % and 97.5 % over months drawn with replacement."""
    random, months = np.random.default_rng(0), one.loc[one["observations"] > 0, "month"].unique()
    parts = [{month: table[table["month"] == month] for month in months} for table in (one, other)]
    found = []
    for _ in range(_DRAWS):
        drawn = random.choice(months, len(months))
        scores = [impact_scores(pd.concat([part[month] for month in drawn]))["rmse"]["model"] for part in parts]
        found.append(scores[0] - scores[1])
    low, middle, high = np.quantile(found, [0.025, 0.5, 0.975])
    return float(low), float(middle), float(high)


def _kept(samples: Samples, names: list[str]) -> Samples:
    columns = [samples.names.index(name) for name in names]
    return replace(samples, inputs=samples.inputs[:, columns], extra=tuple(names[len(drought.FEATURE_NAMES) :]))


if __name__ == "__main__":
    main()
