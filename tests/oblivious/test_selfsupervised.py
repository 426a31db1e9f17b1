"""Learning without labels: losses against their definitions, distributed against single, and a linear probe."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from functions import image_of
from hypothesis import given, settings
from hypothesis import strategies as st
from maggy.experiment import experiment

from deepcube.cubes import Cube, Grid, write_cube
from deepcube.cubes.conventions import parse_crs
from deepcube.cubes.sampling import PatchDataset, every_patch
from deepcube.oblivious import DistributedConfig, SingleRunConfig, TrainResultError

torch = pytest.importorskip("torch", reason="torch is optional")
from deepcube.oblivious import networks, selfsupervised, semisupervised  # noqa: E402

CONTRASTIVE = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-3, "temperature": 0.5}
MASKED = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-3, "block": 4, "share": 0.5}


def make_cube(shape):
    coordinates = {
        "time": pd.date_range("2020-01-01", periods=shape[0]),
        "y": 50 - 0.5 * np.arange(shape[1]),
        "x": 10 + 0.5 * np.arange(shape[2]),
    }
    values = np.random.default_rng(1).normal(size=shape).astype("float32")
    dataset = xr.Dataset({"phase": (("time", "y", "x"), values)}, coordinates)
    return Cube("m", (Grid("main", dataset, parse_crs("EPSG:4326")),), "memory")


def patches(rows=40):
    return torch.randn(rows, 1, 16, 16, generator=torch.Generator().manual_seed(0))


@settings(max_examples=20)
@given(rows=st.integers(2, 6), seed=st.integers(0, 1000), temperature=st.floats(0.1, 2.0))
def test_the_contrastive_loss_is_its_formula(rows, seed, temperature):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(2 * rows, 5))
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    similarity = np.exp(unit @ unit.T / temperature)
    losses = []
    for i in range(2 * rows):
        others = sum(similarity[i, k] for k in range(2 * rows) if k != i)
        losses.append(-np.log(similarity[i, (i + rows) % (2 * rows)] / others))
    one, other = torch.tensor(z[:rows]), torch.tensor(z[rows:])
    assert float(selfsupervised.contrastive_loss(one, other, temperature)) == pytest.approx(np.mean(losses), rel=1e-6)


def test_only_masked_pixels_count_and_every_row_has_as_many():
    x = patches(6)
    mask = selfsupervised.block_mask(x, 4, 0.25, selfsupervised.Draws(1))
    assert mask.shape == (6, 1, 16, 16)
    assert set(mask.flatten(1).sum(1).tolist()) == {64}
    assert float(selfsupervised.masked_loss(x, torch.where(mask, x, x + 9), mask)) == 0.0
    assert float(selfsupervised.masked_loss(x, x + 2, mask)) == pytest.approx(4.0, rel=1e-5)


@pytest.mark.parametrize(("which", "strategy"), [("contrastive", "ddp"), ("masked", "fsdp2")])
def test_pre_training_on_two_ranks_equals_one_process(tmp_path, which, strategy):
    """Negatives come from both ranks: without them, the losses would differ."""
    train_fn, model, hparams = {
        "contrastive": (selfsupervised.contrastive_train_fn, networks.Contrastive, CONTRASTIVE),
        "masked": (selfsupervised.masked_train_fn, networks.Restoring, MASKED),
    }[which]
    common = {"model": model, "dataset": patches(), "hparams": hparams, "optimization_key": "loss", "seed": 1}
    single = experiment.lagom(train_fn, SingleRunConfig(directory=tmp_path, **common))
    result = experiment.lagom(train_fn, DistributedConfig(strategy, directory=tmp_path, **common))
    assert result["metric"] == pytest.approx(single["metric"], rel=1e-5)
    features = []
    for each in (single, result):
        encoder = networks.Encoder()
        weights = Path(each["directory"]) / selfsupervised.WEIGHTS_FILE
        encoder.load_state_dict(torch.load(weights, weights_only=True))
        features.append(encoder(patches()))
    torch.testing.assert_close(*features, rtol=1e-3, atol=1e-4)


def test_a_training_function_does_not_know_whether_its_rows_come_from_a_cube(tmp_path):
    """Patches of a stored cube, each rank reading its own, equal the same patches in memory."""
    write_cube(make_cube((2, 64, 96)), tmp_path / "cube.zarr", layout={"time": 1, "y": 32, "x": 32})
    starts = every_patch((2, 64, 96), (1, 16, 16))
    rows = PatchDataset(tmp_path / "cube.zarr", ["phase"], (1, 16, 16), starts, prepare=image_of)
    common = {"model": networks.Contrastive, "hparams": CONTRASTIVE, "optimization_key": "loss", "directory": tmp_path}
    in_memory = SingleRunConfig(dataset=torch.from_numpy(np.asarray(rows)), **common)
    expected = experiment.lagom(selfsupervised.contrastive_train_fn, in_memory)["metric"]
    for config in (SingleRunConfig(dataset=rows, **common), DistributedConfig("fsdp2", dataset=rows, **common)):
        found = experiment.lagom(selfsupervised.contrastive_train_fn, config)["metric"]
        assert found == pytest.approx(expected, rel=1e-5)


def test_batches_that_ranks_cannot_share_evenly_are_named(tmp_path):
    config = DistributedConfig(
        "ddp",
        3,
        networks.Contrastive,
        patches(),
        CONTRASTIVE,
        optimization_key="loss",
        directory=tmp_path,
    )
    with pytest.raises(TrainResultError, match="batches of 16 for 3 ranks"):
        experiment.lagom(selfsupervised.contrastive_train_fn, config)


def test_a_pseudo_label_counts_only_where_it_is_sure():
    weak = torch.tensor([[9.0, 0.0], [0.1, 0.0]])
    strong = torch.tensor([[0.0, 0.0], [5.0, -5.0]])
    assert float(semisupervised.pseudo_label_loss(weak, strong, 0.95)) == pytest.approx(np.log(2) / 2)


def test_a_teacher_is_the_moving_average_of_its_student():
    teacher, student = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    expected = 0.9 * teacher.weight.detach() + 0.1 * student.weight.detach()
    semisupervised.follow(teacher, student, 0.9)
    torch.testing.assert_close(teacher.weight.detach(), expected)


@pytest.mark.parametrize(
    ("train_fn", "options"),
    [
        (semisupervised.consistency_train_fn, {"threshold": 0.6}),
        (semisupervised.mean_teacher_train_fn, {"decay": 0.9}),
    ],
)
def test_semi_supervised_training_learns_and_equals_one_process_on_two_ranks(tmp_path, train_fn, options):
    def rows(count, seed):
        generator = torch.Generator().manual_seed(seed)
        classes = torch.arange(count) % 2
        x = torch.randn(count, 1, 16, 16, generator=generator) + 2.0 * classes[:, None, None, None]
        return torch.utils.data.TensorDataset(x, classes)

    dataset = (rows(16, 1), rows(48, 2).tensors[0], rows(40, 3))
    hparams = {
        "epochs": 3,
        "batch_size": 8,
        "unlabelled_batch_size": 8,
        "learning_rate": 3e-3,
        "weight": 0.5,
        **options,
    }
    common = {"model": networks.Classifier, "dataset": dataset, "hparams": hparams, "optimization_key": "accuracy"}
    single = experiment.lagom(train_fn, SingleRunConfig(directory=tmp_path, **common))
    assert single["metric"] > 0.8
    result = experiment.lagom(train_fn, DistributedConfig("ddp", directory=tmp_path, **common))
    assert result["metrics"] == pytest.approx(single["metrics"], rel=1e-5)


@pytest.mark.slow
def test_pre_training_helps_a_linear_probe_on_real_interferogram_patches(tmp_path, shared_data):
    from benchmarks.oblivious_probe import probe

    found = probe(shared_data / "insar-volcano-patches", seeds=(0, 1, 2), epochs=30, into=tmp_path)
    assert found["contrastive"]["mean"] > found["random"]["mean"]
