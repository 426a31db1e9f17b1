"""Folders of image patches, one class a folder: wrapped interferograms with their dates in the file names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from deepcube.cubes.errors import NotACubeError
from deepcube.cubes.layouts.interferograms import pair_of
from deepcube.cubes.model import Grid, Opened

SIDE = 224
"""Pixels of a patch: the top left corner of larger images."""

_IMAGES = (".png", ".tif", ".tiff")


class ImageStack(BackendArray):
    """Lazy array ``(patch, y, x)`` over image files; reads only the files asked for.

    Parameters
    ----------
    files : list of pathlib.Path
        One grey image each, at least :data:`SIDE` pixels high and wide.
    """

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self.shape = (len(files), SIDE, SIDE)
        self.dtype = np.dtype("float32")

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        wanted = np.arange(len(self.files))[key[0]]
        images = [_grey(self.files[number])[key[1:]] for number in np.atleast_1d(wanted)]
        return images[0] if np.ndim(wanted) == 0 else np.stack(images) if images else np.empty((0, SIDE, SIDE), "f4")


def _grey(path: Path) -> np.ndarray:
    """Return the corner of an image as phase in radians: grey 0 to 255 is -pi to pi."""
    import warnings

    import rasterio  # loads much that other cubes do without
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.windows import Window

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as file:
                if min(file.height, file.width) < SIDE:
                    raise NotACubeError(f"{path} has {file.height} x {file.width} pixels; expected {SIDE} x {SIDE}.")
                grey = file.read(1, window=Window(0, 0, SIDE, SIDE))
    except RasterioError as error:
        raise NotACubeError(f"{path} cannot be read ({error}). Check that it is complete.") from error
    return (grey.astype("f4") / np.float32(255) * 2 - 1) * np.float32(np.pi)


def find_patches(path: Path) -> list[Path]:
    """Return the images of a folder of classes (``CLASS/*.png`` or ``SPLIT/CLASS/*.png``), or nothing."""
    files = [file for depth in ("*/*", "*/*/*") for file in path.glob(depth) if file.suffix.lower() in _IMAGES]
    paired = [file for file in files if pair_of(file) is not None]
    classes = {file.parent.name for file in paired}
    enough = len(classes) > 1 and len(paired) == len(files) and any(f.suffix.lower() == ".png" for f in files)
    return sorted(paired) if enough else []


def open_patches(path: Path, crs: Any = None) -> Opened:
    """Open labelled patches of wrapped interferograms.

    Parameters
    ----------
    path : pathlib.Path
        Folder of folders named after classes, below folders named after splits if there are any.
    crs : any, optional
        Not used: patches have no place.

    Returns
    -------
    Opened
        One grid with the dimensions ``(patch, y, x)``: ``wrapped_phase`` in radians and ``label`` with CF flag
        attributes; coordinates ``primary_date``, ``secondary_date`` and ``split``.
    """
    files = find_patches(path)
    pairs = [pair_of(file) for file in files]
    labels = sorted({file.parent.name for file in files})
    splits = [file.parent.parent.name if file.parent.parent != path else "" for file in files]
    phase = {"units": "rad", "long_name": "wrapped phase", "valid_min": -float(np.pi), "valid_max": float(np.pi)}
    flags = {"flag_values": list(range(len(labels))), "flag_meanings": " ".join(labels), "long_name": "class"}
    codes = np.array([labels.index(file.parent.name) for file in files], dtype="int8")
    stack = indexing.LazilyIndexedArray(ImageStack(files))
    dataset = xr.Dataset(
        {
            "wrapped_phase": xr.Variable(("patch", "y", "x"), stack, phase),
            "label": ("patch", codes, flags),
        },
        {
            "primary_date": ("patch", pd.DatetimeIndex([pair[0] for pair in pairs if pair])),
            "secondary_date": ("patch", pd.DatetimeIndex([pair[1] for pair in pairs if pair])),
            "split": ("patch", splits),
            "y": -np.arange(SIDE, dtype=float),
            "x": np.arange(SIDE, dtype=float),
        },
    )
    note = f"images are cut to their top left {SIDE} x {SIDE} pixels; grey 0 to 255 is read as -pi to pi"
    return Opened([Grid("patches", dataset, None)], {}, [note])
