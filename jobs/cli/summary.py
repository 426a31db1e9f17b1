"""What ``deepcube run`` tells at the end: what was created, scores beside baselines, one explained prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from jobs.stages import STAGES

_SHARED = ("cube", "simulated", "feature_groups", "figures", "seconds")


@dataclass
class Summary:
    """Results of the stages that ran, in one place; what did not run is None or empty.

    Attributes
    ----------
    use_case, source : str
        What was asked for.
    cube : str
        Name of the cube that was read.
    simulated : bool
        Whether the cube is simulated.
    feature_groups : list of str
        Feature groups written.
    feature_view : dict or None
        ``name`` and ``version`` of the feature view trained from.
    model : dict or None
        ``name``, ``version``; ``metrics``: scores by part of the test (``"overall"``, an output, ...) and score name;
        ``baselines``: the same for each baseline. A service that used a model tells its name and version only.
    deployment : dict or None
        ``name``, ``state``.
    example : dict or None
        ``inputs``, ``prediction``, ``explanation``.
    figures : list of str
        Paths of pictures.
    seconds : dict of str to float
        Duration of each stage.
    services : dict of str to dict
        What each service that ran has found.
    findings : dict of str to dict
        What else the stages found, by name, such as the scores of an index.
    """

    use_case: str
    source: str
    cube: str
    simulated: bool
    feature_groups: list[str] = field(default_factory=list)
    feature_view: dict[str, Any] | None = None
    model: dict[str, Any] | None = None
    deployment: dict[str, Any] | None = None
    example: dict[str, Any] | None = None
    figures: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, use_case: str, source: str, results: Mapping[str, Mapping[str, Any]]) -> Summary:
        """Put the summaries of the stages together.

        Parameters
        ----------
        results : mapping of str to mapping
            Summary of each stage that ran.
        """
        cube = next((r["cube"] for r in results.values() if "cube" in r), use_case)
        summary = cls(use_case, source, cube, any(r.get("simulated", False) for r in results.values()))
        for stage, result in results.items():
            summary.feature_groups += [n for n in result.get("feature_groups", []) if n not in summary.feature_groups]
            summary.figures += result.get("figures", [])
            summary.findings |= result.get("findings", {})
            summary.seconds[stage] = result["seconds"]
            if stage not in STAGES:
                summary.services[stage] = {name: result[name] for name in result if name not in _SHARED}
            for name in ("feature_view", "model", "deployment", "example"):
                if result.get(name) is not None:
                    setattr(summary, name, result[name])
        return summary

    def document(self) -> dict[str, Any]:
        """Return the summary as the JSON object of ``--json``."""
        return dict(self.__dict__)


def show(summary: Summary, console: Console) -> None:
    """Print a summary for people."""
    label = " [yellow](simulated)[/]" if summary.simulated else ""
    console.print(f"\n[bold]{summary.use_case}[/] on cube [bold]{summary.cube}[/]{label}")
    if summary.feature_groups:
        console.print(f"feature groups: {', '.join(summary.feature_groups)}")
    if summary.feature_view:
        view = summary.feature_view
        console.print(f"feature view:   {view['name']} version {view['version']}")
    if summary.model:
        console.print(f"model:          {summary.model['name']} version {summary.model['version']}")
        if "metrics" in summary.model:
            console.print(_scores(summary.model))
    if summary.deployment:
        console.print(f"deployment:     {summary.deployment['name']} ({summary.deployment['state']})")
    if summary.example:
        _show_example(summary.example, console)
    for service, found in {**summary.findings, **summary.services}.items():
        for name, value in found.items():
            console.print(f"{service} {name}: {value}", soft_wrap=True, markup=False, highlight=False)
    for figure in summary.figures:
        console.print(f"figure:         {figure}", soft_wrap=True)
    console.print("seconds:        " + ", ".join(f"{stage} {value:g}" for stage, value in summary.seconds.items()))


def _scores(model: Mapping[str, Any]) -> Table:
    """Tabulate the model's scores beside those of each baseline."""
    baselines: Mapping[str, Any] = model["baselines"]
    table = Table("held-out scores", "model", *baselines)
    for part, scores in model["metrics"].items():
        for name, value in scores.items():
            others = [baseline.get(part, {}).get(name) for baseline in baselines.values()]
            table.add_row(f"{part} {name}", *("" if number is None else f"{number:.4g}" for number in (value, *others)))
    return table


def _show_example(example: Mapping[str, Any], console: Console) -> None:
    explanation: Mapping[str, Any] = example["explanation"]
    console.print(f"example:        {_short(example['inputs'])} -> {_short(example['prediction'])}")
    output, attributions = next(iter(explanation["attributions"].items()))
    largest = sorted(attributions.items(), key=lambda item: -abs(item[1]))[:5]
    reasons = ", ".join(f"{name} {value:+.3f}" for name, value in largest)
    console.print(f"because:        ({output}; {explanation['method']}) {reasons}")
    error = explanation["completeness_error"]
    worst = max(abs(value) for value in error.values()) if isinstance(error, Mapping) else abs(error)
    console.print(f"                completeness error {worst:.2g}")


def _short(values: Any) -> str:
    if not isinstance(values, Mapping):
        return str(values)
    shown = [f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in list(values.items())[:4]]
    return ", ".join(shown) + (", ..." if len(values) > 4 else "")
