"""Boosted trees as a Keras layer: one format for all models of a use case, which holds no pickle.

Importing this module registers the layer with Keras, which loading a saved model needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from deepcube.explain import TreeSum
from features.wildfire.layout import Layout


@keras.saving.register_keras_serializable(package="deepcube")
class BoostedTrees(layers.Layer):
    """Sum of regression trees whose nodes are in arrays; leaves point at themselves.

    Parameters
    ----------
    trees, nodes, depth : int
        Number of trees, nodes of each (the largest tree's), and steps from root to the deepest leaf.
    """

    def __init__(self, trees: int, nodes: int, depth: int, **options: Any) -> None:
        super().__init__(**options)
        self.trees, self.nodes, self.depth = trees, nodes, depth

    def build(self, input_shape: Any) -> None:
        """Make the arrays of the nodes."""
        shape = (self.trees * self.nodes,)
        whole = {"shape": shape, "dtype": "int32", "initializer": "zeros", "trainable": False}
        self.feature = self.add_weight(name="feature", **whole)
        self.left = self.add_weight(name="left", **whole)
        self.right = self.add_weight(name="right", **whole)
        real = {"shape": shape, "dtype": "float32", "initializer": "zeros", "trainable": False}
        self.threshold = self.add_weight(name="threshold", **real)
        self.value = self.add_weight(name="value", **real)
        self.bias = self.add_weight(name="bias", shape=(1,), initializer="zeros", trainable=False)

    def call(self, inputs: Any) -> Any:
        """Return the sum over trees, shape (rows, 1)."""
        node = ops.zeros_like(inputs[:, :1], dtype="int32") + ops.arange(self.trees, dtype="int32") * self.nodes
        for _ in range(self.depth):
            value = ops.take_along_axis(inputs, ops.take(self.feature, node), axis=1)
            goes_left = value <= ops.take(self.threshold, node)
            node = ops.where(goes_left, ops.take(self.left, node), ops.take(self.right, node))
        return ops.sum(ops.take(self.value, node), axis=1, keepdims=True) + self.bias

    def as_sum(self, columns: Sequence[int], width: int) -> TreeSum:
        """Return the trees as exact explanations take them.

        Parameters
        ----------
        columns : sequence of int
            Positions of the layer's inputs among those of the model.
        width : int
            Number of the model's inputs.
        """
        shape = (self.trees, self.nodes)
        start = np.arange(self.trees)[:, None] * self.nodes

        def held(weight: Any, kind: Any) -> Any:
            return np.asarray(weight).reshape(shape).astype(kind)

        return TreeSum(
            feature=np.asarray(columns)[held(self.feature, np.int64)],
            left=held(self.left, np.int64) - start,
            right=held(self.right, np.int64) - start,
            threshold=held(self.threshold, np.float64),
            value=held(self.value, np.float64),
            offset=float(np.asarray(self.bias)[0]),
            width=width,
        )

    def get_config(self) -> dict[str, Any]:
        """Return what a saved layer is made from."""
        return {**super().get_config(), "trees": self.trees, "nodes": self.nodes, "depth": self.depth}


def trees_model(trees: list[Any], rate: float, start: float, names: tuple[str, ...]) -> keras.Model:
    """Return fitted regression trees of scikit-learn as a Keras model.

    Parameters
    ----------
    trees : list of sklearn.tree.DecisionTreeRegressor
        Trees over the inputs that :meth:`features.wildfire.Layout.table` lists.
    rate, start : float
        Learning rate, and log-odds before the first tree.
    names : tuple of str
        All inputs.
    """
    nodes = max(tree.tree_.node_count for tree in trees)
    depth = max(1, *(tree.tree_.max_depth for tree in trees))
    arrays: dict[str, list[Any]] = {name: [] for name in ("feature", "left", "right", "threshold", "value")}
    for number, one in enumerate(trees):
        tree, own = one.tree_, np.arange(nodes) + number * nodes
        leaf = np.ones(nodes, dtype=bool)
        leaf[: tree.node_count] = tree.children_left < 0
        children = {"left": tree.children_left, "right": tree.children_right}
        for side, child in children.items():
            padded = own.copy()
            padded[: tree.node_count] = np.where(child < 0, padded[: tree.node_count], child + number * nodes)
            arrays[side].append(padded)
        for name, stored in (("feature", tree.feature), ("threshold", tree.threshold), ("value", tree.value[:, 0, 0])):
            padded_values = np.zeros(nodes)
            padded_values[: tree.node_count] = stored
            if name == "value":
                padded_values = np.where(leaf, padded_values * rate, 0.0)
            arrays[name].append(np.maximum(padded_values, 0) if name == "feature" else padded_values)
    raw = keras.Input((len(names),), name="inputs")
    layer = BoostedTrees(len(trees), nodes, depth, name="trees")
    model = keras.Model(raw, layer(ops.take(raw, Layout(names).table(), axis=-1)), name="boosting")
    thresholds = np.concatenate(arrays["threshold"])
    below = thresholds.astype(np.float32)
    # Rounding a threshold up would send inputs just above it to the other side.
    below = np.where(below > thresholds, np.nextafter(below, np.float32(-np.inf)), below)
    integers = [np.concatenate(arrays[name]).astype(np.int32) for name in ("feature", "left", "right")]
    values = {"threshold": below, "value": np.concatenate(arrays["value"]), "bias": np.array([start])}
    for weight, array in zip((layer.feature, layer.left, layer.right), integers, strict=True):
        weight.assign(array)
    for name, array in values.items():
        getattr(layer, name).assign(array.astype(np.float32))
    return model
