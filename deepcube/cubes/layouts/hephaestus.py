"""Wrapped interferograms beside the annotations of Hephaestus: one JSON file for each image, polygons for its masks."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from deepcube.cubes.conventions import parse_crs
from deepcube.cubes.errors import NotACubeError
from deepcube.cubes.geotiff import Layer, LayerStack
from deepcube.cubes.layouts.interferograms import pair_of
from deepcube.cubes.model import Grid, Opened, slug

_KEYS = {"uniqueID", "frameID", "primary_date", "secondary_date", "label", "segmentation_mask"}
_IMAGES = (".png", ".tif", ".tiff")
_LABELS = ("Non_Deformation", "Deformation", "Earthquake")
_ACTIVITIES = ("Mogi", "Dyke", "Sill", "Spheroid", "Earthquake", "Unidentified")
_LEVELS = ("None", "Low", "Medium", "High")
_PHASES = ("None", "Rest", "Unrest", "Rebound")
_DEGREES = ("processing_error", "glacier_fringes", "atmospheric_fringes")
_YES_NO = ("corrupted", "orbital_fringes", "low_coherence", "no_info", "image_artifacts")

Pair = tuple[pd.Timestamp, pd.Timestamp]


@dataclass(frozen=True)
class _Image:
    """An annotated image: its file, the two dates and the document of its annotation."""

    path: Path
    pair: Pair
    note: Mapping[str, Any]


class PolygonStack(BackendArray):
    """Lazy array ``(pair, y, x)`` of 1 inside polygons and 0 outside; draws only the pairs asked for.

    Parameters
    ----------
    polygons : sequence of list of list of float
        Polygons of each pair, as ``x0, y0, x1, y1, ...`` in pixels from the top left corner.
    shape : tuple of int
        Rows and columns.
    """

    def __init__(self, polygons: Sequence[list[list[float]]], shape: tuple[int, int]) -> None:
        self.polygons = polygons
        self.shape = (len(polygons), *shape)
        self.dtype = np.dtype("uint8")

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._draw)

    def _draw(self, key: tuple[Any, ...]) -> np.ndarray:
        from rasterio.features import rasterize  # rasterio loads much that other cubes do without

        wanted = np.arange(self.shape[0])[key[0]]
        drawn = np.zeros((np.size(wanted), *self.shape[1:]), dtype=self.dtype)
        for image, number in zip(drawn, np.atleast_1d(wanted), strict=True):
            rings = [np.reshape(ring, (-1, 2)).tolist() for ring in self.polygons[number] if len(ring) >= 6]
            shapes = [({"type": "Polygon", "coordinates": [[*ring, ring[0]]]}, 1) for ring in rings]
            if shapes:
                rasterize(shapes, out=image)
        drawn = drawn[(slice(None), *key[1:])]
        return drawn[0] if np.ndim(wanted) == 0 else drawn


def is_hephaestus(path: Path) -> bool:
    """Return True for a folder with annotations of the schema of Hephaestus, in it or one folder below."""
    looked = itertools.chain(*(itertools.islice(path.glob(depth), 3) for depth in ("*.json", "*/*.json")))
    return any(_annotation(file) is not None for file in looked)


def open_hephaestus(path: Path, crs: Any = None) -> Opened:
    """Open a folder of wrapped interferograms with the annotations of Hephaestus.

    The schema is that of Bountos et al., "Hephaestus: a large scale multitask dataset towards InSAR understanding"
    (CVPR Workshops 2022): one JSON file an image. Images are found by the two dates in their names and the frame in
    their paths, such as ``124D_04854_171313/interferograms/20210309_20210321.geo.diff.png``.

    Parameters
    ----------
    path : pathlib.Path
        Folder that holds annotations and images, in any folders below.
    crs : any that pyproj understands, optional
        Coordinate reference system to use instead of the one in the files; pictures have none.

    Returns
    -------
    Opened
        One grid a frame, ``(pair, y, x)``: ``wrapped_phase`` in radians, ``deformation_mask`` drawn from the polygons;
        and by pair ``label``, ``activity_type``, ``intensity_level`` (the strongest), ``activity_phase``,
        ``confidence`` and the quality of the image, classes as CF flags. Annotations without an image are left out,
        and so are images without one; a note says how many.

    Raises
    ------
    NotACubeError
        If no annotation has an image, or images of a frame differ in size.
    """
    notes = [note for file in sorted(path.rglob("*.json")) if (note := _annotation(file)) is not None]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _IMAGES)
    frames = {str(note["frameID"]) for note in notes}
    placed: dict[tuple[str, Pair], Path] = {}
    for file in files:
        pair, frame = pair_of(file), next((part for part in file.parts[::-1] if part in frames), None)
        if pair is not None and (frame or len(frames) == 1):
            placed[frame or next(iter(frames)), pair] = file
    found: dict[str, dict[Pair, _Image]] = {}
    for note in notes:
        pair = _dates(note)
        image = placed.get((str(note["frameID"]), pair))
        if image is not None:
            found.setdefault(str(note["frameID"]), {})[pair] = _Image(image, pair, note)
    if not found:
        raise NotACubeError(
            f"{path} holds {len(notes)} annotations and {len(files)} images, but none of these belongs to one of "
            "those; expected images with both dates in their names below folders named after their frames, such as "
            f"{notes[0]['frameID']}/{notes[0]['primary_date']}_{notes[0]['secondary_date']}.png. Fetch the images, too."
        )
    used = sum(map(len, found.values()))
    left = [f"{len(notes) - used} of {len(notes)} annotations have no image of their own"] * (len(notes) > used)
    left += [f"{len(files) - used} of {len(files)} images have no annotation"] * (len(files) > used)
    return Opened([_frame(name, [held[pair] for pair in sorted(held)], crs) for name, held in found.items()], {}, left)


def _annotation(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_bytes())
    except ValueError:
        return None
    return found if isinstance(found, dict) and set(found) >= _KEYS else None


def _dates(note: Mapping[str, Any]) -> Pair:
    try:
        return pd.Timestamp(str(note["primary_date"])), pd.Timestamp(str(note["secondary_date"]))
    except ValueError as error:
        raise NotACubeError(
            f"Annotation {note['uniqueID']} has the dates {note['primary_date']!r} and {note['secondary_date']!r}; "
            "expected two such as 20210309."
        ) from error


def _frame(name: str, images: list[_Image], crs: Any) -> Grid:
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        headers = [_header(image.path) for image in images]
    height, width, dtype, transform, stated = headers[0]
    for image, header in zip(images, headers, strict=True):
        if header[:2] != (height, width) or header[2] != dtype:
            raise NotACubeError(
                f"{image.path} has {header[0]} x {header[1]} pixels of {header[2]}; expected {height} x {width} of "
                f"{dtype} as {images[0].path.name} of the same frame."
            )
    attrs: dict[str, Any] = {"units": "rad", "long_name": "wrapped phase"}
    if dtype == "uint8":  # grey 0 to 255 stands for -pi to pi
        attrs |= {"scale_factor": 2 * np.pi / 255, "add_offset": -np.pi}
    layers = [Layer(str(image.path), 1, "wrapped_phase", image.pair[1], attrs, dtype) for image in images]
    phase = xr.Variable(("pair", "y", "x"), indexing.LazilyIndexedArray(LayerStack(layers, (height, width))), attrs)
    drawn = PolygonStack([image.note["segmentation_mask"] for image in images], (height, width))
    mask_attrs = _flags("deformation in the polygons of the annotation", ("none", "deformation"))
    # Rows of a picture without a place count downwards, as those of a map do.
    a, _, c, _, e, f = tuple(transform)[:6] if not transform.is_identity else (1.0, 0.0, -0.5, 0.0, -1.0, 0.5)
    dataset = xr.Dataset(
        {
            "wrapped_phase": xr.conventions.decode_cf_variable("wrapped_phase", phase),
            "deformation_mask": xr.Variable(("pair", "y", "x"), indexing.LazilyIndexedArray(drawn), mask_attrs),
            **_columns(images),
        },
        {
            "primary_date": ("pair", pd.DatetimeIndex([image.pair[0] for image in images])),
            "secondary_date": ("pair", pd.DatetimeIndex([image.pair[1] for image in images])),
            "y": f + e * (np.arange(height) + 0.5),
            "x": c + a * (np.arange(width) + 0.5),
        },
    )
    system = parse_crs(crs) if crs is not None else parse_crs(stated) if stated else None
    return Grid(slug(f"frame_{name}"), dataset, system)


def _header(path: Path) -> tuple[int, int, str, Any, str | None]:
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(path) as file:
            wkt = file.crs.to_wkt() if file.crs else None
            return file.height, file.width, file.dtypes[0], file.transform, wkt
    except RasterioError as error:
        raise NotACubeError(f"{path} cannot be read ({error}). Check that it is complete.") from error


def _columns(images: list[_Image]) -> dict[str, Any]:
    """Return what annotations say of whole images, each as ``(pair,)``."""
    rows = []
    for image in images:
        try:
            rows.append(_row(image.note))
        except (KeyError, ValueError, TypeError) as error:
            raise NotACubeError(
                f"The annotation {image.note['uniqueID']} of {image.path.name} is not of the schema of Hephaestus "
                f"({type(error).__name__}: {error}). Check that it is complete."
            ) from error
    described: dict[str, dict[str, Any]] = {
        "label": _masks("what is seen in the image", _LABELS),
        "activity_type": _masks("sources seen", _ACTIVITIES),
        "intensity_level": _flags("strongest intensity", _LEVELS),
        "activity_phase": _flags("phase of the volcano", _PHASES),
        "confidence": {"units": "1", "long_name": "confidence of the annotator", "valid_min": 0.0, "valid_max": 1.0},
        **{name: _flags(name.replace("_", " "), ("none", "weak", "medium", "strong")) for name in _DEGREES},
        **{name: _flags(name.replace("_", " "), ("no", "yes")) for name in _YES_NO},
    }
    types = {name: "float32" if name == "confidence" else "uint8" for name in described}
    return {name: ("pair", np.array([row[name] for row in rows], types[name]), described[name]) for name in described}


def _row(note: Mapping[str, Any]) -> dict[str, float]:
    return {
        "label": _bits(note["label"], _LABELS),
        "activity_type": _bits(note["activity_type"], _ACTIVITIES),
        "intensity_level": max((_LEVELS.index(level) for level in note["intensity_level"]), default=0),
        "activity_phase": _PHASES.index(str(note["phase"])),
        "confidence": float(note["confidence"]),
        **{name: int(note[name]) for name in (*_DEGREES, *_YES_NO)},
    }


def _bits(values: Sequence[str], known: Sequence[str]) -> int:
    return sum(1 << known.index(value) for value in set(values))


def _flags(title: str, meanings: Sequence[str]) -> dict[str, Any]:
    return {"long_name": title, "flag_values": list(range(len(meanings))), "flag_meanings": " ".join(meanings)}


def _masks(title: str, meanings: Sequence[str]) -> dict[str, Any]:
    masks = [1 << bit for bit in range(len(meanings))]
    return {"long_name": title, "flag_masks": masks, "flag_meanings": " ".join(meanings)}
