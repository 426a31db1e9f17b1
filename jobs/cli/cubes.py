"""``deepcube cubes``: what is in a cube, what is wrong with it, a picture of it, and other chunks for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from jobs.cli.cube_tables import show_cube, show_problems
from jobs.cli.errors import PlatformError
from jobs.cli.publish import publish

_cube = click.argument("cube", type=click.Path(path_type=Path))
_crs = click.option("--crs", default=None, help="Coordinate reference system, where the file states none: EPSG:32637.")
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")


class _Cubes(click.Group):
    """Tells of a cube that cannot be read in one message."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ValueError as error:
            from deepcube.cubes import CubeError

            if isinstance(error, CubeError):
                raise PlatformError(str(error)) from error
            raise


@click.group(cls=_Cubes)
def cubes() -> None:
    """Look into data cubes of any format, check them, draw them and cut them anew.

    CUBE is a GeoTIFF or a folder of them, NetCDF files, a Zarr store, an eo-learn patch, or a folder that holds one.
    """


cubes.add_command(publish)


@cubes.command()
@_cube
@_crs
@_json
def info(cube: Path, crs: str | None, as_json: bool) -> None:
    """Show grids, time steps, variables, units and chunks; reads no values."""
    from deepcube.cubes import describe_cube, open_cube

    found = describe_cube(open_cube(cube, crs=crs))
    found["truth"] = _truth(cube)
    if as_json:
        click.echo(json.dumps(found, allow_nan=True))
    else:
        show_cube(found, Console())


def _truth(folder: Path) -> str | None:
    """Return where the truth behind a simulated cube lies; None for any other cube."""
    from deepcube.cubes.simulate.registry import DESCRIPTION, read_simulation

    return str(read_simulation(folder).truth) if (folder / DESCRIPTION).is_file() else None


@cubes.command()
@_cube
@_crs
@_json
@click.option("--quick", is_flag=True, help="Look at descriptions and files only, do not read values.")
def check(cube: Path, crs: str | None, as_json: bool, quick: bool) -> None:
    """Look for quality problems; exit status 1 if there are errors."""
    from deepcube.cubes import check_cube, open_cube

    console = Console(stderr=True)
    with console.status("opening") as status:
        opened = open_cube(cube, crs=crs)
        problems = check_cube(opened, values=not quick, progress=lambda name: status.update(f"reading {name}"))
    if as_json:
        click.echo(json.dumps([problem.document() for problem in problems]))
    else:
        show_problems([problem.document() for problem in problems], opened.name, Console())
    if any(problem.severity == "error" for problem in problems):
        raise click.exceptions.Exit(1)


@cubes.command()
@_cube
@_crs
@click.option("--variable", default=None, help="Variable to draw (default: the first one with rows and columns).")
@click.option("--time", default=None, help="Date to draw, such as 2020-06-01 (default: one with few gaps).")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Picture (default: NAME.png here).")
def view(cube: Path, crs: str | None, variable: str | None, time: str | None, out: Path | None) -> None:
    """Draw a quick-look picture: one image, and the mean over time."""
    from deepcube.cubes import open_cube, quick_look

    opened = open_cube(cube, crs=crs)
    click.echo(str(quick_look(opened, out or Path(f"{opened.name}.png"), variable, time)))


@cubes.command()
@_cube
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--layout",
    type=click.Choice(["patch", "map", "series"]),
    default="patch",
    show_default=True,
    help="Fast reads wanted: patches of space and time, whole images, or whole series.",
)
@click.option("--chunks", default=None, metavar="T,Y,X", help="Chunk sizes of your own, such as 30,64,64.")
@click.option("--memory", default=512, show_default=True, type=click.IntRange(16), help="Values held at a time, in MB.")
@click.option("--overwrite", is_flag=True, help="Replace TARGET when the new cube is complete.")
@_crs
def rechunk(
    cube: Path, target: Path, layout: Any, chunks: str | None, memory: int, overwrite: bool, crs: str | None
) -> None:
    """Write CUBE as Zarr v3 to TARGET with chunks that suit the reads to come.

    Every stored chunk is decoded once, in bounded memory. Interrupted, the same command goes on where it stopped.
    """
    from deepcube.cubes import open_cube, write_cube

    wanted: Any = layout if chunks is None else _chunks(chunks)
    opened = open_cube(cube, crs=crs)
    columns = (TextColumn("writing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("write", total=None)
        path = write_cube(
            opened,
            target,
            layout=wanted,
            overwrite=overwrite,
            budget=memory << 20,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    click.echo(str(path))


def _chunks(text: str) -> dict[str, int]:
    try:
        sizes = [int(part) for part in text.split(",")]
        time, y, x = sizes
    except ValueError as error:
        raise click.BadParameter(f"found {text!r}; expected three whole numbers, such as 30,64,64") from error
    return {"time": time, "y": y, "x": x}
