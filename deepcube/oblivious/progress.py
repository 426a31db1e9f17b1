"""How far a search is, in the terminal: trials done, and the best one so far."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deepcube.oblivious.outcome import Outcome


class SearchProgress:
    """A progress bar; called with every trial that ended. Shows nothing where there is no terminal.

    Parameters
    ----------
    total : int
        Number of trials.
    direction : str
        ``"min"`` or ``"max"``, for the label.
    shown : bool
        Whether to show it at all.
    """

    def __init__(self, total: int, direction: str, shown: bool) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not (shown and console.is_terminal),
        )
        self._direction = {"min": "lowest", "max": "highest"}[direction]
        self._task = self._progress.add_task("", total=total)

    def __call__(self, outcome: Outcome, best: Outcome | None) -> None:
        """Count one trial."""
        if self._progress.disable:
            return
        described = "no trial finished yet"
        if best is not None and best.metric is not None:
            values = ", ".join(f"{name}={_short(value)}" for name, value in best.hparams.items())
            described = f"{self._direction} {best.metric:.6g}  {values}"
        self._progress.update(self._task, advance=1, description=described)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
