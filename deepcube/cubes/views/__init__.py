"""Views on the fly: any grid, region, period and step of a cube, by arithmetic that each kind of variable allows."""

from deepcube.cubes.views.target import Raster, Region, crop
from deepcube.cubes.views.views import view

__all__ = ["Raster", "Region", "crop", "view"]
