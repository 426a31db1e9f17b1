"""``deepcube simulate``: data with known truth."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@click.command()
@click.argument("name", required=False)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder to make.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Equal seeds, equal data.")
@click.option("--size", default="small", show_default=True, help="tiny, small, ...: see the list.")
@click.option("--overwrite", is_flag=True, help="Replace the folder if it exists.")
@click.option("--set", "changes", multiple=True, metavar="PARAMETER=VALUE", help="Change a number or text; repeatable.")
def simulate(
    name: str | None, out: Path | None, seed: int, size: str, overwrite: bool, changes: tuple[str, ...]
) -> None:
    """Simulate data with known truth, such as `deepcube simulate firecube --out fire --seed 0 --size small`.

    Without NAME it lists the simulators and their sizes. Everything it writes says that it is simulated.
    """
    from deepcube.cubes.errors import CubeError  # scientific libraries take a second to load
    from deepcube.cubes.simulate import get_simulator, simulator_names
    from deepcube.cubes.simulate import simulate as make

    if name is None:
        for each in simulator_names():
            simulator = get_simulator(each)
            click.echo(f"{each:16} {simulator.title}\n{'':16} sizes: {', '.join(simulator.sizes)}")
        return
    if out is None:
        raise click.UsageError("--out is missing: the folder to make")
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(f"simulating {name}", total=1.0)
        try:
            made = make(
                name,
                out,
                seed=seed,
                size=size,
                overwrite=overwrite,
                report=lambda share: progress.update(task, completed=share),
                **dict(_parse(change) for change in changes),
            )
        except CubeError as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"simulated: {made.data}\ntruth:     {made.truth}")


def _parse(change: str) -> tuple[str, int | float | str]:
    """Return the parameter and the value of ``PARAMETER=VALUE``."""
    key, mark, value = change.partition("=")
    if not mark:
        raise click.UsageError(f"--set {change!r} has no '='; expected PARAMETER=VALUE")
    for kind in (int, float):
        try:
            return key.strip(), kind(value)
        except ValueError:
            continue
    return key.strip(), value
