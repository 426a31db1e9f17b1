"""Geometry of the charts of trials: learning curves and parallel coordinates. Templates draw it as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640.0, 240.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 16.0, 14.0, 34.0
COLOURS = 8
"""Classes of lines that the style sheet colours, ``run0`` and so on."""


@dataclass(frozen=True)
class Line:
    """One trial: its points as an SVG path, its class and what a pointer on it is told."""

    path: str
    style: str
    label: str


@dataclass(frozen=True)
class Text:
    """A text at a place; ``anchor`` is start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True)
class Chart:
    """A drawing.

    Attributes
    ----------
    lines : tuple of Line
        Trials.
    axes : tuple of str
        SVG paths of axes.
    texts : tuple of Text
        Names and ends of axes.
    summary : str
        The whole in a sentence, for those who do not see it.
    width, height : float
        Size of the drawing.
    """

    lines: tuple[Line, ...]
    axes: tuple[str, ...]
    texts: tuple[Text, ...]
    summary: str
    width: float = WIDTH
    height: float = HEIGHT


def learning_curves(courses: Sequence[tuple[str, Sequence[tuple[int, float]]]], metric: str) -> Chart | None:
    """Return the courses of a metric over steps; None where no trial has one.

    Parameters
    ----------
    courses : sequence of (name, sequence of (step, value))
        One a trial, in order of the step.
    metric : str
        Name of the metric.
    """
    known = [(position, name, course) for position, (name, course) in enumerate(courses) if len(course) > 1]
    if not known:
        return None
    steps = [step for _, _, course in known for step, _ in course]
    values = [value for _, _, course in known for _, value in course]
    across, down = _scale(min(steps), max(steps), _LEFT, WIDTH - _RIGHT), _down(min(values), max(values))
    lines = tuple(
        Line(_path([(across(step), down(value)) for step, value in course]), _style(position), _last(name, course))
        for position, name, course in known
    )
    bottom = HEIGHT - _BOTTOM
    axes = (f"M{_LEFT} {_TOP}V{bottom}H{WIDTH - _RIGHT}",)
    texts = (
        Text(_LEFT - 6, _TOP + 8, f"{max(values):.3g}", "end"),
        Text(_LEFT - 6, bottom, f"{min(values):.3g}", "end"),
        Text(_LEFT, HEIGHT - 16, str(min(steps)), "start"),
        Text(WIDTH - _RIGHT, HEIGHT - 16, str(max(steps)), "end"),
        Text((_LEFT + WIDTH) / 2, HEIGHT - 4, "step"),
    )
    best = min(known, key=lambda one: one[2][-1][1])
    summary = (
        f"{metric} of {len(known)} trials over steps {min(steps)} to {max(steps)}, from {min(values):.4g} to "
        f"{max(values):.4g}; the lowest at the end is {best[2][-1][1]:.4g} of {best[1]}"
    )
    return Chart(lines, axes, texts, summary)


def parallel_coordinates(
    params: Sequence[Mapping[str, str]], varied: Sequence[str], values: Sequence[float | None], metric: str
) -> Chart | None:
    """Return trials as lines over axes of what they were run with, and of how they did; None where nothing varied.

    Parameters
    ----------
    params : sequence of mapping
        Parameters of each trial; numbers get an even axis, words one place each.
    varied : sequence of str
        Parameters that get an axis.
    values : sequence of float or None
        Metric of each trial; those without are left out. Lines are coloured by it, the lowest first.
    metric : str
        Name of the metric.
    """
    trials = [(one, value) for one, value in zip(params, values, strict=True) if value is not None]
    if not varied or len(trials) < 2:
        return None
    names = [*varied, metric]
    width = max(WIDTH, 110.0 * len(names))
    columns = [[one.get(name) for one, _ in trials] for name in varied]
    columns.append([repr(value) for _, value in trials])
    places = [48 + position * (width - 96) / (len(names) - 1) for position in range(len(names))]
    heights, texts = [], []
    for name, x, column in zip(names, places, columns, strict=True):
        at, low, high = _axis(column)
        heights.append(at)
        texts += [Text(x, HEIGHT - 4, name), Text(x, _TOP - 4, high), Text(x, HEIGHT - 20, low)]
    ranks = _ranks([value for _, value in trials])
    lines = tuple(
        Line(
            _path([(x, at[number]) for x, at in zip(places, heights, strict=True) if at[number] is not None]),
            _style(int(ranks[number] * (COLOURS - 1) + 0.5)),
            f"{metric} {value:.4g}: " + ", ".join(f"{name} {one.get(name, 'none')}" for name in varied),
        )
        for number, (one, value) in enumerate(trials)
    )
    axes = tuple(f"M{x:.1f} {_TOP}V{HEIGHT - _BOTTOM}" for x in places)
    best = min(trials, key=lambda one: one[1])
    summary = f"{len(trials)} trials over {', '.join(varied)}; the lowest {metric} is {best[1]:.4g}, of " + ", ".join(
        f"{name} {best[0].get(name, 'none')}" for name in varied
    )
    return Chart(lines, axes, tuple(texts), summary, width)


def _axis(column: Sequence[str | None]) -> tuple[list[float | None], str, str]:
    """Return where the values of an axis lie, and what stands at its lower and upper end."""
    known = [value for value in column if value is not None]
    numbers = [_number(value) for value in known]
    if all(number is not None for number in numbers):
        finite = [number for number in numbers if number is not None]
        down = _down(min(finite), max(finite))
        at = [None if value is None else down(float(value)) for value in column]
        return at, f"{min(finite):.4g}", f"{max(finite):.4g}"
    words = sorted(set(known))
    down = _down(0, len(words) - 1)
    return [None if value is None else down(words.index(value)) for value in column], words[0][:16], words[-1][:16]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value as a share from 0 to 1."""
    order = sorted(range(len(values)), key=lambda position: values[position])
    ranks = [0.0] * len(values)
    for rank, position in enumerate(order):
        ranks[position] = rank / max(len(values) - 1, 1)
    return ranks


def _scale(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    """Return what puts values between low and high between two places of the drawing."""
    span = (high - low) or 1.0
    return lambda value: first + (value - low) / span * (last - first)


def _down(low: float, high: float) -> Callable[[float], float]:
    return _scale(low, high, HEIGHT - _BOTTOM, _TOP)


def _path(points: Sequence[tuple[float, float | None]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points if y is not None)


def _style(position: int) -> str:
    return f"run{position % COLOURS}"


def _last(name: str, course: Sequence[tuple[int, float]]) -> str:
    return f"{name}: {course[-1][1]:.4g} at step {course[-1][0]}"
