"""Serve tiles of a Zarr cube with xpublish-tiles: ``python tiles_xpublish.py PORT CUBE``, in an environment with it."""

import sys

import uvicorn
import xarray as xr
import xpublish
from xpublish_tiles.xpublish.tiles import TilesPlugin

xr.set_options(keep_attrs=True)
dataset = xr.open_zarr(sys.argv[2], chunks=None)
dataset.attrs["_xpublish_id"] = "peer"
app = xpublish.SingleDatasetRest(dataset, plugins={"tiles": TilesPlugin()}).app
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
