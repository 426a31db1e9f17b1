"""A tiny drought model on disk."""

from pathlib import Path

import numpy as np
import pytest

from deepcube.oblivious import Signature, save_artifact
from features import drought
from training_pipelines.drought.model import build_model

CUBE = "sample"


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with random weights, saved as the training pipeline saves one."""
    rng = np.random.default_rng(0)
    inputs = rng.uniform(0, 1, (200, len(drought.FEATURE_NAMES))).astype("float32")
    network = build_model(inputs, units=4, l2=0.0)
    network.set_weights([w + rng.normal(0, 0.05, w.shape) if w.ndim == 2 else w for w in network.get_weights()])
    signature = Signature(
        inputs=drought.FEATURE_NAMES,
        outputs=drought.LABELS,
        input_units=dict.fromkeys(drought.FEATURE_NAMES, "1"),
        output_units="1",
        feature_view=f"drought_{CUBE}",
        feature_view_version=1,
        training_dataset_version=1,
        details={"cube": CUBE, "split": {"test_start": "2010-01-01T00:00:00"}},
    )
    return save_artifact(tmp_path_factory.mktemp("model"), network, signature)
