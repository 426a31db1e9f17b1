"""Model cards: what a model is for, what it was made of, how good it is beside its baselines, and why it says so."""

import base64
import html
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deepcube.explain.errors import CardError

CARD_JSON, CARD_MARKDOWN, CARD_HTML = "model_card.json", "model_card.md", "model_card.html"
"""Names of a card's files."""


@dataclass(frozen=True)
class CardTable:
    """A table of a card.

    Attributes
    ----------
    columns : sequence of str
        Headings, with units.
    rows : sequence of sequence of str or number
        Cells.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class ModelCard:
    """What everyone who uses a model should know; the sections follow Mitchell et al., 2019, Model Cards, FAT*.

    Attributes
    ----------
    name, purpose : str
        Name of the model; what it predicts from what, and for whom.
    data : mapping of str to str
        Where its data came from: source, feature view, training dataset, rows. ``simulated`` says whether the data are.
    split : mapping of str to str
        Which period or region was used for what.
    metrics : CardTable
        Scores on held-out data **beside those of the baselines**, with the spread over seeds.
    explanations : CardTable
        What drives the model as a whole.
    explanation_quality : CardTable
        How far the explanations are to be trusted.
    limits : sequence of str
        What it must not be used for, and what is not known.
    figures : mapping of str to pathlib.Path
        PNG files by caption.
    details : mapping
        Anything else, JSON-able: parameters, seeds, versions.
    """

    name: str
    purpose: str
    data: Mapping[str, str]
    split: Mapping[str, str]
    metrics: CardTable
    explanations: CardTable
    explanation_quality: CardTable
    limits: Sequence[str]
    figures: Mapping[str, Path] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse a card that lacks what a reader needs to judge the model.

        Raises
        ------
        CardError
            If a section is empty, the data do not say whether they are simulated, or a figure does not exist.
        """
        sections = ("name", "purpose", "data", "split", "limits")
        empty = [name for name in sections if not getattr(self, name)]
        empty += [n for n in ("metrics", "explanations", "explanation_quality") if not getattr(self, n).rows]
        if empty:
            raise CardError(f"Found a model card without {', '.join(empty)}; expected something to say in each.")
        if "simulated" not in self.data:
            raise CardError(
                "Found a model card whose data do not say whether they are simulated; expected `simulated`."
            )
        absent = [str(path) for path in self.figures.values() if not path.is_file()]
        if absent:
            raise CardError(f"Found no figure {', '.join(absent)}; expected PNG files.")
        for table in (self.metrics, self.explanations, self.explanation_quality):
            if any(len(row) != len(table.columns) for row in table.rows):
                raise CardError(f"Found a row of another length than the headings {', '.join(table.columns)}.")

    def write(self, folder: Path) -> list[Path]:
        """Write the card as JSON, Markdown and one self-contained HTML page, and its figures beside them.

        Parameters
        ----------
        folder : pathlib.Path
            Existing folder, for example of the files that a model is registered with.

        Returns
        -------
        list of pathlib.Path
            The files.

        Raises
        ------
        CardError
            If the card lacks something; nothing is written then.
        """
        self.check()
        figures = {caption: folder / path.name for caption, path in self.figures.items()}
        for caption, target in figures.items():
            if self.figures[caption].resolve() != target.resolve():
                _write(target, self.figures[caption].read_bytes())
        plain = asdict(self) | {"figures": {caption: target.name for caption, target in figures.items()}}
        texts = {
            CARD_JSON: json.dumps(_plain(plain), indent=1, allow_nan=False),
            CARD_MARKDOWN: self.markdown(),
            CARD_HTML: self.html(),
        }
        for name, text in texts.items():
            _write(folder / name, text.encode())
        return [folder / name for name in texts] + list(figures.values())

    def markdown(self) -> str:
        """Return the card as Markdown, its figures as links to files beside it."""
        parts = [f"# Model card: {self.name}", self.purpose]
        for title, content in self._sections():
            parts.append(f"## {title}")
            if isinstance(content, CardTable):
                parts.append(_markdown_table(content))
            elif isinstance(content, Mapping):
                parts.append("\n".join(f"- **{key}**: {_text(value)}" for key, value in content.items()))
            else:
                parts.append("\n".join(f"- {line}" for line in content))
        parts += [f"![{caption}]({path.name})" for caption, path in self.figures.items()]
        return "\n\n".join(parts) + "\n"

    def html(self) -> str:
        """Return the card as one HTML page that needs no other file."""
        parts = [f"<h1>Model card: {html.escape(self.name)}</h1>", f"<p>{html.escape(self.purpose)}</p>"]
        for title, content in self._sections():
            parts.append(f"<h2>{html.escape(title)}</h2>")
            if isinstance(content, CardTable):
                parts.append(_html_table(content))
            elif isinstance(content, Mapping):
                rows = [f"<dt>{html.escape(str(k))}</dt><dd>{html.escape(_text(v))}</dd>" for k, v in content.items()]
                parts.append(f"<dl>{''.join(rows)}</dl>")
            else:
                parts.append(f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in content)}</ul>")
        for caption, path in self.figures.items():
            data, said = base64.b64encode(path.read_bytes()).decode(), html.escape(caption, quote=True)
            image = f'<img alt="{said}" src="data:image/png;base64,{data}">'
            parts.append(f"<figure>{image}<figcaption>{said}</figcaption></figure>")
        head = f'<meta charset="utf-8"><title>Model card: {html.escape(self.name)}</title><style>{_STYLE}</style>'
        return f'<!doctype html><html lang="en"><head>{head}</head><body><main>{"".join(parts)}</main></body></html>\n'

    def _sections(self) -> list[tuple[str, Any]]:
        sections: list[tuple[str, Any]] = [
            ("Data", self.data),
            ("Split", self.split),
            ("Metrics on held-out data", self.metrics),
            ("What drives the model", self.explanations),
            ("How far to trust the explanations", self.explanation_quality),
            ("Limits", self.limits),
        ]
        return [*sections, ("Details", self.details)] if self.details else sections


_STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:0;color:light-dark(#1b1f24,#e6e8eb);"
    "background:light-dark(#fff,#15181c)}main{max-width:60rem;margin:auto;padding:1rem;overflow-wrap:anywhere}"
    "div{overflow-x:auto}table{border-collapse:collapse;overflow-wrap:normal}th,td{border:1px solid #6b7280;"
    "padding:.25rem .6rem;text-align:left}img{max-width:100%;background:#fff}dt{font-weight:600}"
    "dd{margin:0 0 .4rem 1rem}figure{margin:1rem 0}"
)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "not defined"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}{':' * _nested(one)} {_within(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_within, value))
    return "not defined" if value is None else str(value)


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _within(value: Any) -> str:
    return f"({_text(value)})" if _nested(value) else _text(value)


def _markdown_table(table: CardTable) -> str:
    def line(cells: Sequence[Any]) -> str:
        return "| " + " | ".join(_text(cell).replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(table.columns), "|" + "---|" * len(table.columns), *map(line, table.rows)])


def _html_table(table: CardTable) -> str:
    head = "".join(f'<th scope="col">{html.escape(_text(name))}</th>' for name in table.columns)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(_text(c))}</td>' for c in row)}</tr>" for row in table.rows)
    return f'<div tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _plain(value: Any) -> Any:
    """Return what JSON can hold; a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, Sequence):
        return [_plain(one) for one in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, int | float) else str(value)


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
