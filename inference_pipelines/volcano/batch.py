"""Batch inference of the volcano use case: what a model sees in every interferogram of a set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from features import volcano
from inference_pipelines.volcano.detector import Findings, Judgement

if TYPE_CHECKING:
    from hsfs.feature_store import FeatureStore


def read_patches(fs: FeatureStore, cube: str) -> pd.DataFrame:
    """Read the interferograms of a set, with their labels where there are any.

    Returns
    -------
    pandas.DataFrame
        Columns of ``volcano_patches``, ``seen`` unpacked, and ``deformation`` (-1 where nobody has said).
    """
    patches, labels = volcano.patches_group(fs), volcano.labels_group(fs)
    table = patches.select_all().filter(patches.get_feature("cube") == cube).read()
    known = labels.select(["patch_id", "deformation"]).filter(labels.get_feature("cube") == cube).read()
    table = table.merge(known, on="patch_id", how="left")
    table["deformation"] = table["deformation"].fillna(-1).astype("int32")
    table["seen"] = [volcano.unpack(packed, volcano.SIDE, volcano.SIDE, 2) for packed in table["seen"]]
    return table.sort_values("patch_id", ignore_index=True)


def prediction_rows(table: pd.DataFrame, found: Findings, version: int) -> pd.DataFrame:
    """Return the rows of ``volcano_predictions``."""
    documents = [found.document(number) for number in range(len(table))]
    rows = table[["cube", "patch_id", "time", "file", "volcano"]].copy()
    for position, name in enumerate(volcano.OUTPUTS):
        rows[f"probability_{name}"] = found.probabilities[:, position].astype(float)
    rows["deforming_share"] = [document["deforming_share"] for document in documents]
    rows["row"] = np.array([document["row"] for document in documents], np.int32)
    rows["col"] = np.array([document["column"] for document in documents], np.int32)
    rows["model_version"] = np.full(len(table), version, np.int32)
    return rows


def embedding_rows(table: pd.DataFrame, found: Findings) -> pd.DataFrame:
    """Return the rows of ``volcano_embeddings``."""
    rows = table[["cube", "patch_id", "time", "file", "volcano", "deformation"]].copy()
    rows["probability_deformation"] = found.probabilities[:, 0].astype(float)
    rows["embedding"] = found.embedding.astype(float).tolist()
    return rows


def surest(table: pd.DataFrame, found: Findings, count: int = 6) -> tuple[list[Judgement], Sequence[str]]:
    """Return the interferograms in which deformation is most probable, each of another volcano, with their names."""
    order = np.argsort(-found.probabilities[:, 0], kind="stable")
    chosen = table.iloc[order].drop_duplicates("volcano").index[:count]
    judgements = [
        Judgement(found.document(number), table["seen"][number], found.support[number], found.mask[number])
        for number in chosen
    ]
    return judgements, [str(table["volcano"][number] or table["file"][number]) for number in chosen]


def similar_past(group: Any, found: Findings, number: int, patch_id: str, count: int = 3) -> list[dict[str, Any]]:
    """Find past interferograms like one, by the similarity index of the feature store.

    Parameters
    ----------
    group : hsfs.feature_group.FeatureGroup
        ``volcano_embeddings``.
    found : Findings
        What the model sees.
    number : int
        Which interferogram.
    patch_id : str
        Its own key, which is left out.
    count : int
        How many.

    Returns
    -------
    list of dict
        ``file``, ``volcano``, ``deformation`` and ``distance``, the nearest first.
    """
    from deepcube.explain import similar_in_feature_group

    rows = similar_in_feature_group(group, found.embedding[number].astype(float).tolist(), count=count + 1)
    rows = rows[rows["patch_id"] != patch_id].head(count)
    return [
        {
            "file": str(row["file"]),
            "volcano": str(row["volcano"]),
            "deformation": int(row["deformation"]),
            "distance": float(row["distance"]),
        }
        for _, row in rows.iterrows()
    ]
