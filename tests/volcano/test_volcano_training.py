"""Scenes that coherence does not give away, splits that leak nothing, and what the network is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import volcano
from training_pipelines.studies import TrainingDataError
from training_pipelines.volcano import scenes
from training_pipelines.volcano.data import Patches, split
from training_pipelines.volcano.evaluation import score_of, statistics_baseline
from training_pipelines.volcano.model import contrastive_loss

SIDE = volcano.SIDE


@pytest.fixture(scope="module")
def bank() -> scenes.Bank:
    return scenes.make_bank(24, 0)


def test_scenes_are_what_they_say(bank: scenes.Bank) -> None:
    batch = scenes.make_batch(64, bank, np.random.default_rng(0))
    moves = batch.deformation[:, 0] == 1
    assert 8 < moves.sum() < 56
    assert (np.linalg.norm(batch.seen, axis=-1) <= 1 + 1e-6).all()
    assert ((batch.kind[:, 0] >= 0) == moves).all()
    assert (batch.mask[~moves] == 0).all()
    assert (batch.mask[moves].max(axis=(1, 2, 3)) > 0).all()


def test_scenes_are_the_same_for_the_same_seed(bank: scenes.Bank) -> None:
    one, other = (scenes.make_batch(4, bank, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one.seen, other.seen)
    assert not np.array_equal(one.seen, scenes.make_batch(4, bank, np.random.default_rng(4)).seen)


def test_deformation_is_added_to_quiet_patches_as_phase(bank: scenes.Bank) -> None:
    quiet = np.zeros((1, SIDE, SIDE, 2), np.float32)
    quiet[..., 0] = 1.0  # coherent and flat
    batch = scenes.make_batch(16, bank, np.random.default_rng(1), quiet=quiet, share=1.0)
    z = batch.seen[..., 0] + 1j * batch.seen[..., 1]
    flat = np.abs(z * z[:, :1, :1].conj() - 1).max(axis=(1, 2)) < 1e-4
    assert np.array_equal(flat, batch.deformation[:, 0] == 0)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_views_keep_what_matters(seed: int) -> None:
    generator = np.random.default_rng(seed)
    phase = generator.uniform(-np.pi, np.pi, (1, SIDE, SIDE))
    length = generator.uniform(0.2, 1, phase.shape)
    seen = (length[..., None] * np.stack([np.cos(phase), np.sin(phase)], axis=-1)).astype(np.float32)
    (view,) = scenes.random_views(seen, generator)
    lengths = np.linalg.norm(view, axis=-1)
    assert np.allclose(np.sort(lengths.ravel()), np.sort(length.ravel()), atol=1e-5)
    z, w = seen[0, ..., 0] + 1j * seen[0, ..., 1], view[..., 0] + 1j * view[..., 1]

    def turning(image: np.ndarray) -> float:  # of all phase gradients, the mean size: free of all symmetries
        down, across = image[1:] * image[:-1].conj(), image[:, 1:] * image[:, :-1].conj()
        return float(np.abs(np.angle(down)).sum() + np.abs(np.angle(across)).sum())

    assert turning(w) == pytest.approx(turning(z), rel=1e-4)


def patches(regions: list[str], parts: list[str], moves: list[bool]) -> Patches:
    count = len(regions)
    table = pd.DataFrame({"region": regions, "split": parts, "kind": "", "mask": [None] * count})
    return Patches(np.zeros((count, SIDE, SIDE, 2), np.float32), np.array(moves), table)


def test_no_region_of_the_test_is_trained_on() -> None:
    regions = [f"r{i % 10}" for i in range(60)]
    parts = ["test" if i in (0, 1) else "train" for i in range(60)]
    data = split(patches(regions, parts, [i % 3 == 0 for i in range(60)]), "x", 1)
    held = set(data.test.table["region"])
    assert held == {"r0", "r1"}
    assert set(data.neighbours.table["region"]) == held
    rest = set(data.fit.table["region"]), set(data.validation.table["region"])
    assert not held & rest[0] and not held & rest[1] and not rest[0] & rest[1]
    assert sum(part["patches"] for part in data.rows.values()) == 60


def test_a_set_without_a_test_part_gets_one_by_region() -> None:
    regions = [f"r{i % 30}" for i in range(120)]
    data = split(patches(regions, ["train"] * 120, [i % 2 == 0 for i in range(120)]), "x", 1)
    assert len(data.test) and len(data.validation) and not len(data.neighbours)
    assert not set(data.test.table["region"]) & set(data.fit.table["region"])


def test_a_part_with_one_class_only_is_refused() -> None:
    with pytest.raises(TrainingDataError, match="'test'"):
        split(patches(list("abcd"), ["test", "train", "train", "validation"], [True, True, False, True]), "x", 1)


def test_the_contrastive_loss_is_that_of_the_library_for_torch() -> None:
    torch = pytest.importorskip("torch")
    from deepcube.oblivious.selfsupervised import contrastive_loss as by_torch

    vectors = np.random.default_rng(0).normal(size=(10, 6)).astype(np.float32)
    ours = float(np.mean(np.asarray(contrastive_loss(None, vectors))))
    theirs = float(by_torch(torch.from_numpy(vectors[:5]), torch.from_numpy(vectors[5:]), 0.5))
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_scores_of_known_probabilities() -> None:
    truth = np.array([True] * 10 + [False] * 10)
    perfect = score_of(truth, np.where(truth, 0.9, 0.1))
    assert (perfect["auroc"], perfect["auprc"], perfect["false_alarm_rate_at_recall_90"]) == (1, 1, 0)
    assert score_of(truth, np.full(20, 0.5))["auroc"] == 0.5


def test_the_statistical_baseline_tells_fringes_from_noise() -> None:
    generator = np.random.default_rng(0)
    fit, test = (np.concatenate([generator.normal(m, 1, (40, 5)) for m in (0, 3)]) for _ in range(2))
    truth = np.arange(80) >= 40
    assert score_of(truth, statistics_baseline(fit, truth, test))["auroc"] > 0.95


def test_the_mean_of_networks_is_their_mean(artifact: Path, phases: list[np.ndarray]) -> None:
    from inference_pipelines.volcano import Detector

    detector = Detector.load(artifact)
    seen = np.stack([volcano.phasor(phase) for phase in phases])
    found = detector.look(seen)
    assert found.probabilities.shape == (4, 4)
    assert np.allclose(found.probabilities[:, 1:].sum(axis=1), 1, atol=1e-5)
    assert found.support.shape == (4, SIDE, SIDE) and (found.support >= 0).all()
    assert found.mask.shape == (4, SIDE // 4, SIDE // 4)
    assert found.embedding.shape == (4, volcano.EMBEDDING)
    document = found.document(0, corner=(216, 0))
    row, column = np.unravel_index(found.support[0].argmax(), (SIDE, SIDE))
    assert (document["row"], document["column"]) == (216 + 3 * row + 1, 3 * column + 1)


@pytest.mark.slow
def test_a_network_learns_deformation_from_simulation(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from training_pipelines.volcano.model import (
        NETWORK_FILE,
        Material,
        build_head,
        build_network,
        load_network,
        probabilities,
        train_fn,
    )

    told: list[float] = []
    reporter: Any = SimpleNamespace(directory=tmp_path, broadcast=lambda value, step, metrics=None: told.append(value))
    validation = scenes.make_batch(128, scenes.make_bank(60, 1), np.random.default_rng(1))
    material = Material(scenes.make_bank(200, 2), validation.seen[:0], None, validation)
    hparams = {
        "width": 8,
        "batch_size": 24,
        "learning_rate": 3e-3,
        "simulated_steps": 150,
        "unlabelled_steps": 0,
        "label_steps": 0,
        "quiet_share": 0.0,
        "labelled_share": 0.0,
        "seed": 0,
    }
    result = train_fn(hparams, (build_network, build_head), material, reporter)
    assert result["validation_auroc"] > 0.65
    assert told[-1] == pytest.approx(result["validation_loss"])
    kept = probabilities(load_network(tmp_path / NETWORK_FILE), validation.seen)
    assert score_of(validation.deformation[:, 0] == 1, kept)["auroc"] == pytest.approx(result["validation_auroc"])
