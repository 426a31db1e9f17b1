"""The script that a deployment runs: deformation in interferograms, with explanations, over HTTP.

It is uploaded alone, so everything else comes from the installed package. A request is ``{"instances": [...]}`` with
instances of these kinds, alone or mixed:

- ``{"image": "iVBORw0..."}``: a PNG or TIFF, Base64; grey 0 to 255 is -pi to pi;
- ``{"phase": [[0.1, ...], ...]}``: rows of wrapped phase in radians, null where there is none.

Each is answered with ``probability``, ``kind``, ``kinds``, ``row``, ``column``, ``deforming_share``, ``threshold`` and
``alert``. With ``"explain": true`` beside ``instances``, or in an instance, ``explanation`` says how much parts of the
image contributed, and ``where`` holds the map of activations that support deformation and the segmentation. Instead of
true, ``{"method": "gradient_x_input", "scores": true, "budget_seconds": 2}`` chooses how; see
:class:`deepcube.explain.ExplainOptions`.
"""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepcube.explain import ExplainOptions
from deepcube.oblivious import InstanceError
from features import volcano
from inference_pipelines.endpoint import explained_by_wish, split_options
from inference_pipelines.volcano.detector import Detector, Judgement

_KINDS = ({"image"}, {"phase"})
_LARGEST = 32 * 1024 * 1024
_MAGIC = {b"\x89PNG": ".png", b"II*\x00": ".tif", b"MM\x00*": ".tif"}


class Predict:
    """Loads the model that the platform put in ``$MODEL_FILES_PATH`` and answers requests."""

    def __init__(self) -> None:
        self._detector = Detector.load(Path(os.environ["MODEL_FILES_PATH"]))
        self._detector.warm_up()

    def predict(self, inputs: list[Any], **options: Any) -> list[dict[str, Any]]:
        """Answer the instances of one request.

        Parameters
        ----------
        inputs : list of dict
            The instances.
        **options : Any
            Further keys of the request; ``explain`` asks for an explanation of every instance. The budget is for the
            whole request and runs from when it came.

        Returns
        -------
        list of dict
            One answer per instance, in order.

        Raises
        ------
        deepcube.oblivious.InstanceError, features.volcano.InterferogramError, deepcube.explain.ExplainError
            If an instance or an option does not fit (a ``ValueError``: the server answers with status 400).
        """
        arrived = time.perf_counter()
        instances, explain = split_options(self._detector.explainer, inputs, options.get("explain", False))
        phases = [read_instance(instance, f"instance {position}") for position, instance in enumerate(instances)]
        judged = [self._detector.judge(phase) for phase in phases]
        found = [self._document(judgement) for judgement in judged]

        def explained(positions: list[int], wanted: ExplainOptions) -> list[dict[str, Any]]:
            seen = np.stack([judged[position].seen for position in positions])
            return self._detector.explain(seen, wanted, since=arrived)

        for position, explanation in explained_by_wish(explain, explained):
            found[position] |= {"explanation": explanation, "where": _where(judged[position])}
        return found

    def _document(self, judgement: Judgement) -> dict[str, Any]:
        threshold = self._detector.threshold
        return judgement.document | {
            "threshold": threshold,
            "alert": judgement.document["probability"] >= threshold,
            **({"simulated": True} if self._detector.simulated else {}),
        }


def read_instance(instance: Any, where: str) -> Any:
    """Return the phase that an instance holds, checked.

    Parameters
    ----------
    instance : object
        Expected to be one of the kinds that the module describes.
    where : str
        Where it stands, for messages.

    Raises
    ------
    InstanceError
        If it is of another kind, or cannot be decoded.
    features.volcano.InterferogramError
        If what it holds is no interferogram.
    """
    if not isinstance(instance, Mapping):
        raise InstanceError(f"{where}: found a {type(instance).__name__}; expected an object with an image.")
    if set(instance) not in _KINDS:
        raise InstanceError(
            f'{where}: found {", ".join(map(str, instance)) or "nothing"}; expected {{"image": "<Base64>"}} or '
            '{"phase": [[...], ...]}.'
        )
    if "phase" in instance:
        try:
            phase = np.array(instance["phase"], dtype=np.float32)  # null becomes NaN
        except (TypeError, ValueError) as error:
            raise InstanceError(f"{where}: found a phase that is no table of numbers ({error}).") from error
        return volcano.check_phase(phase, where)
    image = instance["image"]
    if not isinstance(image, str) or len(image) > _LARGEST:
        raise InstanceError(f"{where}: found an image that is no text of at most {_LARGEST} characters of Base64.")
    try:
        content = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InstanceError(f"{where}: found an image that is not Base64 ({error}).") from error
    suffix = _MAGIC.get(content[:4])
    if suffix is None:
        raise InstanceError(f"{where}: found an image that is neither PNG nor TIFF; expected one of these.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"image{suffix}"
        path.write_bytes(content)
        return volcano.read_interferogram(path)


def _where(judgement: Judgement) -> dict[str, Any]:
    return {
        "support": np.round(_coarse(judgement.support), 4).tolist(),
        "mask": np.round(judgement.mask.astype(float), 4).tolist(),
        "meaning": "18 x 18 cells of 12 x 12 pixels: support by activations (Grad-CAM, no unit), and the "
        "probability that the cell deforms",
    }


def _coarse(support: Any) -> Any:
    cells = volcano.SIDE // 4
    return support.reshape(cells, 4, cells, 4).mean(axis=(1, 3)).astype(float)
