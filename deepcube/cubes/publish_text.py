"""The README of a published cube."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepcube.cubes.model import Cube
from deepcube.cubes.variables import describe


def readme(cube: Cube, title: str, licence: str, origin: Mapping[str, Any], pictures: Sequence[Path]) -> str:
    """Return what is inside a published cube, in Markdown.

    Parameters
    ----------
    cube : Cube
        The published copy.
    title, licence : str
        As published.
    origin : mapping
        Its provenance.
    pictures : sequence of pathlib.Path
        Its quick-looks.
    """
    lines = [f"# {title}", ""]
    if cube.simulated:
        lines += ["**These data are simulated; they are no observations.**", ""]
    lines += [
        f"Licence: {licence}. Source: {origin['source']}. Made on {origin['created'][:10]} with {origin['software']}.",
        "",
        "Open it by its STAC item, or with any reader of Zarr:",
        "",
        "```python",
        "from deepcube.cubes.publish import open_published",
        'cube = open_published("item.json")',
        "",
        "import xarray",
        f'grid = xarray.open_zarr("cube.zarr", group="{cube.grids[0].name}")',
        "```",
        "",
    ]
    for grid in cube.grids:
        shape = " x ".join(map(str, grid.shape))
        crs = grid.crs.to_string() if grid.crs is not None and grid.crs.to_epsg() else "see the store"
        lines += [f"## {grid.name}", "", f"{shape}, coordinate reference system: {crs}."]
        if "time" in grid.dataset.dims:
            lines.append(f"{len(grid.times)} times from {grid.times[0]:%Y-%m-%d} to {grid.times[-1]:%Y-%m-%d}.")
        lines += ["", "| variable | dimensions | units | kind | meaning |", "|---|---|---|---|---|"]
        for data in grid.dataset.data_vars.values():
            v = describe(grid.name, data)
            lines.append(f"| `{v.name}` | {', '.join(v.dims)} | {v.units} | {v.kind} | {v.long_name} |")
        lines.append("")
    lines += [f"![{path.stem}]({path.parent.name}/{path.name})" for path in pictures]
    lines += ["", "`sha256sum --check CHECKSUMS.sha256` tells whether every file is as it was published.", ""]
    return "\n".join(lines)
