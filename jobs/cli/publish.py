"""``deepcube cubes publish``: a self-describing, analysis-ready copy of a cube."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@click.command()
@click.argument("cube", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--licence", default=None, help="SPDX name, such as CC-BY-4.0; default: the one that the cube states.")
@click.option("--title", default=None, help="Title; default: the one that the cube states, else its name.")
@click.option("--layout", type=click.Choice(["patch", "map", "series"]), default="patch", show_default=True,
              help="Fast reads wanted: patches of space and time, whole images, or whole series.")  # fmt: skip
@click.option("--crs", default=None, help="Coordinate reference system, where the file states none: EPSG:32637.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists, when the new copy is complete.")
def publish(
    cube: Path, out: Path, licence: str | None, title: str | None, layout: Any, crs: str | None, overwrite: bool
) -> None:
    """Write CUBE to the folder OUT as Zarr with a STAC item, checksums, provenance, a README and pictures.

    The folder appears once it is complete and opens again by its item.json.
    """
    from deepcube.cubes import open_cube  # scientific libraries take a second to load
    from deepcube.cubes.publish import publish as write

    opened = open_cube(cube, crs=crs)
    columns = (TextColumn("publishing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("publish", total=None)
        item = write(
            opened,
            out,
            licence=licence,
            title=title,
            layout=layout,
            overwrite=overwrite,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    click.echo(str(item))
