"""Samples of a cube at the speed of the disk: which patches, in which order they are read, and for which framework.

A plan turns patches into reads that decode each chunk once in bounded memory; partitions keep training, validation and
test apart in time and in space; adapters hand batches to numpy, TensorFlow and PyTorch.
"""

from deepcube.cubes.sampling.adapters import tf_dataset, torch_dataset
from deepcube.cubes.sampling.dataset import PatchDataset
from deepcube.cubes.sampling.partition import PARTS, Partition
from deepcube.cubes.sampling.places import every_patch, patches_at, random_patches, stratified
from deepcube.cubes.sampling.planning import Plan
from deepcube.cubes.sampling.reading import Batch, Sampler
from deepcube.cubes.sampling.several import GridBatch, GridsSampler

__all__ = [
    "PARTS",
    "Batch",
    "GridBatch",
    "GridsSampler",
    "Partition",
    "PatchDataset",
    "Plan",
    "Sampler",
    "every_patch",
    "patches_at",
    "random_patches",
    "stratified",
    "tf_dataset",
    "torch_dataset",
]
