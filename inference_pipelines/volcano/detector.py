"""A volcano model ready to use: probability, type, place and reasons, alike in batch, in alerts and at an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from deepcube.explain import ExplainOptions, ServedExplainer, TracedModel, activation_map, as_dict, explain
from deepcube.oblivious import ArtifactError, Signature, load_artifact
from features import volcano

METHODS = ("integrated_gradients", "gradient_x_input")
"""Methods that attribute a probability to parts of the interferogram, the default first."""

BASELINE = "noise without coherence: nothing to be seen"
"""What attributions compare with."""

_FURTHER = ("maps.keras", "kinds.keras")
_LAYER = "features"
_CHUNK = 32
_BLOCK = 12  # pixels of the network's along a side of a part that attributions are summed over

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Findings:
    """What a model sees in interferograms; all arrays have one row for each.

    Attributes
    ----------
    probabilities : numpy.ndarray of float32, shape (n, outputs)
        See :data:`features.volcano.OUTPUTS`.
    support : numpy.ndarray of float32, shape (n, SIDE, SIDE)
        Where activations support deformation (Grad-CAM), without unit.
    mask : numpy.ndarray of float32, shape (n, SIDE / 4, SIDE / 4)
        Probability that each cell deforms.
    embedding : numpy.ndarray of float32, shape (n, EMBEDDING)
        Vector that similar interferograms are found by.
    """

    probabilities: Floats
    support: Floats
    mask: Floats
    embedding: Floats

    def document(self, number: int, corner: tuple[int, int] = (0, 0)) -> dict[str, Any]:
        """Return the findings of one interferogram as JSON has them.

        Parameters
        ----------
        number : int
            Which one.
        corner : tuple of int
            Row and column of the image where the part that was looked at begins.

        Returns
        -------
        dict
            ``probability`` of deformation; ``kind``, the most probable type if it deforms, and ``kinds``, the
            probability of each; ``row`` and ``column`` of most support, in pixels of the image; ``deforming_share`` of
            the part that was looked at.
        """
        row, column = np.unravel_index(int(self.support[number].argmax()), self.support[number].shape)
        kinds = dict(zip(volcano.KINDS, map(float, self.probabilities[number, 1:]), strict=True))
        half = volcano.LOOKS // 2
        return {
            "probability": float(self.probabilities[number, 0]),
            "kind": max(kinds, key=lambda kind: kinds[kind]),
            "kinds": kinds,
            "row": corner[0] + int(row) * volcano.LOOKS + half,
            "column": corner[1] + int(column) * volcano.LOOKS + half,
            "deforming_share": float((self.mask[number] >= 0.5).mean()),
        }


@dataclass(frozen=True, eq=False)
class Judgement:
    """What a model says of one whole interferogram: of the window of it in which deformation is most probable.

    Attributes
    ----------
    document : dict
        As of :meth:`Findings.document`.
    seen : numpy.ndarray of float32, shape (SIDE, SIDE, 2)
        That window, as the network sees it.
    support, mask : numpy.ndarray of float32
        Its maps, as of :class:`Findings`.
    """

    document: dict[str, Any]
    seen: Floats
    support: Floats
    mask: Floats


class Detector:
    """A volcano model with its maps and its signature.

    Parameters
    ----------
    network : keras.Model
        From phasors (rows, SIDE, SIDE, 2) to the probability of deformation (rows, 1).
    maps : keras.Model
        From phasors to ``mask`` and ``embedding``.
    kinds : keras.Model
        From the numbers :data:`features.volcano.SHAPE` to the probability of each type.
    signature : Signature
        Names, units, threshold and lineage.
    """

    def __init__(self, network: Any, maps: Any, kinds: Any, signature: Signature) -> None:
        self.signature = signature
        self._network = TracedModel(network)
        self._maps = maps
        self._kinds = kinds
        self.explainer = ServedExplainer(
            self._network,
            outputs=volcano.OUTPUTS[:1],
            output_units="1",
            baseline_meaning=BASELINE,
            methods=METHODS,
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the model that the training pipeline saved.

        Parameters
        ----------
        folder : pathlib.Path
            Folder of the model's files.

        Raises
        ------
        deepcube.oblivious.ArtifactError
            If it does not hold a model, or another kind of model.
        """
        import keras

        network, signature = load_artifact(folder)
        missing = [name for name in _FURTHER if not (folder / name).is_file()]
        if signature.outputs != volcano.OUTPUTS[:1] or missing:
            raise ArtifactError(
                f"Found another kind of model in {folder}, or one of an earlier version; expected one of the volcano "
                f"use case with {', '.join(_FURTHER)}. Train it again: deepcube run volcano."
            )
        maps, kinds = (keras.saving.load_model(folder / name, compile=False, safe_mode=True) for name in _FURTHER)
        return cls(network, maps, kinds, signature)

    @property
    def cube(self) -> str:
        """Name of the set of interferograms that the model was scored on."""
        return str(self.signature.details["cube"])

    @property
    def simulated(self) -> bool:
        """Whether that set is simulated."""
        return bool(self.signature.details.get("simulated", False))

    @property
    def threshold(self) -> float:
        """Probability from which an alert is raised; chosen on the validation part."""
        return float(self.signature.details["threshold"])

    def deformation(self, seen: Floats) -> Floats:
        """Return the probability of deformation for phasors, shape (n,)."""
        parts = [np.asarray(self._network(seen[i : i + _CHUNK]))[:, 0] for i in range(0, len(seen), _CHUNK)]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def kinds(self, seen: Floats) -> Floats:
        """Return the probability of each type for phasors, given deformation, shape (n, types)."""
        shapes = np.array([volcano.shape_statistics(one) for one in seen])
        return np.asarray(self._kinds(shapes), np.float32)

    def look(self, seen: Floats) -> Findings:
        """Return everything that the model sees in phasors, shape (n, SIDE, SIDE, 2), n at least 1."""
        support, mask, embedding = [], [], []
        for first in range(0, len(seen), _CHUNK):
            part = seen[first : first + _CHUNK]
            found = activation_map(self._network, _labelled(part), layer=_LAYER, outputs=volcano.OUTPUTS[:1])
            support.append(found["activation_map"].sel(output=volcano.OUTPUTS[0]).values)
            made = self._maps(part)
            mask.append(np.asarray(made["mask"]))
            embedding.append(np.asarray(made["embedding"]))
        probabilities = np.column_stack([self.deformation(seen), self.kinds(seen)])
        return Findings(probabilities, *(np.concatenate(one) for one in (support, mask, embedding)))

    def judge(self, phase: NDArray[np.float32]) -> Judgement:
        """Look at a whole interferogram, window by window; see :func:`features.volcano.windows`.

        Parameters
        ----------
        phase : numpy.ndarray of float32, shape (rows, columns)
            Checked phase, as :func:`features.volcano.read_interferogram` returns it.

        Raises
        ------
        features.volcano.InterferogramError
            If no window has enough values.
        """
        corners, parts = [], []
        for row, column in volcano.windows(phase):
            window = phase[row : row + volcano.PIXELS, column : column + volcano.PIXELS]
            if np.isfinite(window).mean() >= 0.05:
                corners.append((row, column))
                parts.append(volcano.phasor(window))
        if not parts:
            raise volcano.InterferogramError("No part of the interferogram has enough values; expected one at least.")
        seen = np.stack(parts)
        best = int(self.deformation(seen).argmax())
        found = self.look(seen[best : best + 1])
        return Judgement(found.document(0, corners[best]), seen[best], found.support[0], found.mask[0])

    def explain(self, seen: Floats, options: ExplainOptions, *, since: float | None = None) -> list[dict[str, Any]]:
        """Attribute probabilities of deformation to parts of the interferograms, within a time budget.

        Parameters
        ----------
        seen : numpy.ndarray of float32, shape (n, SIDE, SIDE, 2)
            Phasors.
        options : ExplainOptions
            Method, scores and budget.
        since : float, optional
            When the budget began to run, by ``time.perf_counter()``; now, without.

        Returns
        -------
        list of dict
            As :meth:`deepcube.explain.ServedExplainer.explain`; ``attributions`` of deformation by part of the image,
            named after its pixels, which add up to what the probability differs from the base value by.
        """
        inputs = _labelled(seen)
        answers = self.explainer.explain(inputs, _labelled(volcano.incoherent()[None])[0], options, since=since)
        return [_by_part(answer) for answer in answers]

    def attribute(self, seen: Floats, steps: int = 16) -> dict[str, Any]:
        """Attribute one probability of deformation to parts of the interferogram, however long it takes.

        Parameters
        ----------
        seen : numpy.ndarray of float32, shape (SIDE, SIDE, 2)
            Phasors.
        steps : int
            Points of Integrated Gradients along the path from the baseline.

        Returns
        -------
        dict
            As one answer of :meth:`explain`, but for what belongs to a request.
        """
        result = explain(
            self._network,
            _labelled(seen[None]),
            METHODS[0],
            baseline=_labelled(volcano.incoherent()[None])[0],
            baseline_meaning=BASELINE,
            outputs=volcano.OUTPUTS[:1],
            samples=steps,
        )
        return _by_part(as_dict(result))

    def warm_up(self) -> None:
        """Judge and explain once, so that no request waits for what is loaded, traced and measured only once."""
        some = np.full((1, volcano.SIDE, volcano.SIDE, 2), 0.5, np.float32)
        self.look(some)
        inputs = _labelled(some)
        self.explainer.warm_up(inputs, _labelled(volcano.incoherent()[None]))


def _by_part(answer: dict[str, Any]) -> dict[str, Any]:
    """Sum the attributions of one answer over channels and parts of the image."""
    if "attributions" not in answer:
        return answer
    summed: Mapping[str, Any] = {
        output: _parts(np.asarray(values, float)) for output, values in answer["attributions"].items()
    }
    return {name: value for name, value in answer.items() if name != "dims"} | {"attributions": summed}


def _parts(values: NDArray[np.float64]) -> dict[str, float]:
    count, pixels = volcano.SIDE // _BLOCK, _BLOCK * volcano.LOOKS
    blocks = values.sum(axis=-1).reshape(count, _BLOCK, count, _BLOCK).sum(axis=(1, 3))
    return {
        f"rows {pixels * i}-{pixels * (i + 1) - 1}, columns {pixels * j}-{pixels * (j + 1) - 1}": float(blocks[i, j])
        for i in range(count)
        for j in range(count)
    }


def _labelled(seen: Floats) -> xr.DataArray:
    dims = ("instance", "y", "x", "channel")
    return xr.DataArray(np.asarray(seen, np.float32), dims=dims, coords={"channel": volcano.CHANNELS})
