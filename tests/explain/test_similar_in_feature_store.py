"""Similar training examples from the vector index of the feature store, through the real client."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from deepcube.explain import similar, similar_in_feature_group

pytestmark = pytest.mark.e2e


def test_the_vector_index_finds_the_same_neighbours(project):
    from hsfs.embedding import EmbeddingIndex

    vectors = np.random.default_rng(0).normal(size=(30, 4))
    vectors = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)  # as `similar` standardises them
    index = EmbeddingIndex()
    index.add_embedding("activations", 4)
    group = project.get_feature_store().get_or_create_feature_group(
        "training_examples", version=1, primary_key=["id"], online_enabled=True, embedding_index=index
    )
    rows = pd.DataFrame({"id": range(30), "label": [f"class {i % 3}" for i in range(30)]})
    group.insert(rows.assign(activations=vectors.tolist()), write_options={"wait_for_online_ingestion": True})

    training = xr.DataArray(vectors, dims=("instance", "component"))
    expected = similar(training[7:8] + 0.01, training, count=4)["position"].values[0].tolist()
    found = similar_in_feature_group(group, (vectors[7] + 0.01).tolist(), count=4)
    assert found["id"].tolist() == expected
    assert found["distance"].is_monotonic_increasing
    assert found["label"].tolist() == [f"class {i % 3}" for i in expected]
    only = similar_in_feature_group(group, vectors[7].tolist(), count=3, filter=group.label == "class 0")
    assert set(only["label"]) == {"class 0"}
