"""Sums of regression trees held in arrays, whatever library fitted them: what exact Shapley values are computed of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from deepcube.explain.errors import InputError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TreeSum:
    """A model that adds up regression trees: ``offset + sum of the leaves that the inputs fall into``.

    Attributes
    ----------
    feature, left, right : numpy.ndarray of int64, shape (trees, nodes)
        Input that a node looks at, and the nodes of the same tree that follow; a leaf follows itself on both sides.
    threshold : numpy.ndarray of float64, shape (trees, nodes)
        Inputs up to it go left.
    value : numpy.ndarray of float64, shape (trees, nodes)
        What a leaf adds; 0 elsewhere.
    offset : float
        Added to the sum.
    width : int
        Number of inputs.
    """

    feature: Ints
    left: Ints
    right: Ints
    threshold: Floats
    value: Floats
    offset: float
    width: int

    @classmethod
    def joined(cls, parts: Sequence[TreeSum], scale: float, offset: float) -> TreeSum:
        """Return ``offset + scale * (sum of the parts)`` as one sum of trees.

        Parameters
        ----------
        parts : sequence of TreeSum
            Models over the same inputs.
        scale, offset : float
            Factor and summand, in the unit of the output.

        Raises
        ------
        InputError
            If the parts have different inputs.
        """
        if len({part.width for part in parts}) != 1:
            raise InputError(f"Found trees over {sorted({p.width for p in parts})} inputs; expected the same of all.")
        nodes = max(part.value.shape[1] for part in parts)
        wide = [part._widened(nodes) for part in parts]

        def stacked(name: str) -> Any:
            return np.concatenate([getattr(part, name) for part in wide])

        return cls(
            feature=stacked("feature"),
            left=stacked("left"),
            right=stacked("right"),
            threshold=stacked("threshold"),
            value=scale * stacked("value"),
            offset=offset + scale * sum(part.offset for part in parts),
            width=parts[0].width,
        )

    def _widened(self, nodes: int) -> TreeSum:
        """Return the same trees with room for more nodes, which nothing leads to."""
        own = self.value.shape[1]
        further = np.broadcast_to(np.arange(own, nodes), (len(self.value), nodes - own))
        zero = np.zeros(further.shape)

        def padded(array: Any, fill: Any) -> Any:
            return np.concatenate([array, fill.astype(array.dtype)], axis=1)

        return replace(
            self,
            feature=padded(self.feature, zero),
            left=padded(self.left, further),
            right=padded(self.right, further),
            threshold=padded(self.threshold, zero),
            value=padded(self.value, zero),
        )

    def __call__(self, inputs: npt.ArrayLike) -> Floats:
        """Return the model's output, shape (rows, 1), for inputs of shape (rows, inputs).

        Raises
        ------
        InputError
            If the inputs have another shape.
        """
        x = np.asarray(inputs, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != self.width:
            raise InputError(f"Found inputs of shape {x.shape}; expected (rows, {self.width}).")
        row, tree = np.arange(len(x))[:, None], np.arange(len(self.value))[None, :]
        node = np.zeros((len(x), len(self.value)), dtype=np.int64)
        while True:
            goes_left = x[row, self.feature[tree, node]] <= self.threshold[tree, node]
            following = np.where(goes_left, self.left[tree, node], self.right[tree, node])
            if (following == node).all():
                return np.asarray(self.value[tree, node].sum(axis=1, keepdims=True) + self.offset)
            node = following

    def shuffled(self, random: np.random.Generator) -> TreeSum:
        """Return trees that ask the same and have learnt nothing: what the leaves add is shuffled among all of them."""
        value = self.value.copy()
        leaf = value != 0  # not what only fills up smaller trees
        value[leaf] = random.permutation(value[leaf])
        return replace(self, value=value)

    def as_shap(self) -> dict[str, Any]:
        """Return the model as ``shap.TreeExplainer`` reads models that it does not know."""
        itself = np.arange(self.left.shape[1])
        trees = []
        for feature, left, right, threshold, value in zip(
            self.feature, self.left, self.right, self.threshold, self.value, strict=True
        ):
            leaf = left == itself
            trees.append(
                {
                    "children_left": np.where(leaf, -1, left).astype(np.int32),
                    "children_right": np.where(leaf, -1, right).astype(np.int32),
                    "children_default": np.where(leaf, -1, left).astype(np.int32),
                    "features": np.where(leaf, -1, feature).astype(np.int32),
                    "thresholds": threshold,
                    "values": value[:, None],
                    "node_sample_weight": np.ones(len(value)),
                }
            )
        return {"trees": trees, "base_offset": self.offset, "tree_output": "raw_value", "internal_dtype": np.float64}
