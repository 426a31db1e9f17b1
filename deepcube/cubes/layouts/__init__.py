"""Layouts that are no plain stack of dates: points, pairs of dates, labelled patches, height tiles."""

from deepcube.cubes.layouts.hephaestus import is_hephaestus, open_hephaestus
from deepcube.cubes.layouts.interferograms import open_interferograms, pair_of
from deepcube.cubes.layouts.patches import find_patches, open_patches
from deepcube.cubes.layouts.points import is_point_table, open_points
from deepcube.cubes.layouts.tiles import is_tile, open_tile

__all__ = [
    "find_patches",
    "is_hephaestus",
    "is_point_table",
    "is_tile",
    "open_hephaestus",
    "open_interferograms",
    "open_patches",
    "open_points",
    "open_tile",
    "pair_of",
]
