"""Serve tiles of a Zarr cube with titiler.xarray: ``python tiles_titiler.py PORT``, in an environment that has it."""

import sys

import uvicorn
from fastapi import FastAPI
from titiler.xarray.factory import TilerFactory

app = FastAPI()
app.include_router(TilerFactory(router_prefix="/md").router, prefix="/md")
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
