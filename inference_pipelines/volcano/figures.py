"""Pictures of what a volcano model sees: the map of an alert, and the surest interferograms of a set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from features import volcano
from features.volcano.pictures import draw_phase, draw_support
from inference_pipelines.volcano.detector import Judgement


def draw_judgement(judgement: Judgement, path: Path, *, title: str) -> Path:
    """Draw an interferogram, and over it where the model finds support and what it outlines as deforming.

    Parameters
    ----------
    judgement : Judgement
        What the model says of it.
    path : pathlib.Path
        PNG file to write.
    title : str
        Heading.

    Returns
    -------
    pathlib.Path
        The file.
    """
    figure = Figure(figsize=(8.4, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _panel(left, judgement, over=False)
    left.set_title("wrapped phase (dark: incoherent)", fontsize=9)
    _panel(right, judgement, over=True)
    right.set_title("support of deformation (bright), outline (cyan)", fontsize=9)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=100)
    return path


def draw_surest(judgements: Sequence[Judgement], names: Sequence[str], path: Path, *, title: str) -> Path:
    """Draw several interferograms with what the model sees in them, one column each; see :func:`draw_judgement`."""
    count = max(len(judgements), 1)
    figure = Figure(figsize=(2.2 * count, 5), layout="constrained")
    panels = figure.subplots(2, count, squeeze=False)
    for column, (judgement, name) in enumerate(zip(judgements, names, strict=True)):
        _panel(panels[0, column], judgement, over=False)
        _panel(panels[1, column], judgement, over=True)
        found = judgement.document
        panels[0, column].set_title(f"{name}\np = {found['probability']:.2f}, {found['kind']}", fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=110)
    return path


def _panel(axes: Any, judgement: Judgement, *, over: bool) -> None:
    found = judgement.document
    draw_phase(axes, judgement.seen)
    if over:
        draw_support(axes, judgement.support, judgement.mask)
        row, column = (value % volcano.PIXELS for value in (found["row"], found["column"]))
        axes.plot(column, row, "+", color="black", markersize=12)
