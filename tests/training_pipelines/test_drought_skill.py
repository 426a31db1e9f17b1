"""The drought model beats both baselines on held-out years of real cubes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from maggy.experiment import experiment

from deepcube.oblivious import MODEL_FILE, SingleRunConfig
from features import drought
from training_pipelines.drought import HPARAMS
from training_pipelines.drought.data import Samples
from training_pipelines.drought.evaluation import Evaluation, evaluate
from training_pipelines.drought.model import build_model, ensemble, load_network, predict, train_fn


def skill(source: str, folder: Path, seeds: int = 3) -> Evaluation:
    opened = drought.open_source(source)
    tables = [drought.compute_tables(block) for block in opened.blocks()]
    inputs = pd.concat([table.features for table in tables])
    targets = pd.concat([table.targets for table in tables])
    rows = inputs.merge(targets, on=[*drought.KEYS, "time"])
    rows = rows[rows[drought.LABELS].notna().any(axis=1)]
    parts = {}
    for part in ("train", "validation", "test"):
        chosen = rows[opened.split.select(rows["time"], part)]
        columns = (drought.FEATURE_NAMES, drought.LABELS)
        parts[part] = Samples(*(chosen[names].to_numpy(np.float32) for names in columns))
    config = {
        "model": build_model,
        "dataset": (parts["train"], parts["validation"]),
        "hparams": {**HPARAMS, "batch_size": max(128, len(parts["train"].inputs) // 50)},
        "optimization_key": "validation_rmse",
        "directory": folder,
    }
    runs = [experiment.lagom(train_fn, SingleRunConfig(**config, seed=seed)) for seed in range(seeds)]
    networks = [load_network(Path(run["directory"]) / MODEL_FILE) for run in runs]
    single = [predict(network, parts["test"].inputs) for network in networks]
    return evaluate(parts["test"], predict(ensemble(networks), parts["test"].inputs), single)


def test_modis_with_the_drought_of_2010_held_out(shared_data, tmp_path):
    result = skill(str(shared_data / "bfast-modis" / "modisraster.tif"), tmp_path)
    assert result.beats_baselines
    for output in drought.LABELS:
        assert all(result.model[output]["rmse"] < one[output]["rmse"] for one in result.baselines.values()), output
    assert result.model["overall"]["r2"] > result.baselines["climatology"]["overall"]["r2"] + 0.1


@pytest.mark.slow
def test_sentinel_2_sample(tmp_path):
    assert skill(drought.SAMPLE, tmp_path).beats_baselines
