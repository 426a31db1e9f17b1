"""A trained model on disk: the network in its framework's own format, and beside it what it expects and returns.

The training pipeline saves an artifact and registers its folder; whoever serves the model loads the same folder and
needs to know nothing else about how it was trained.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from deepcube.oblivious.errors import ArtifactError, InstanceError

MODEL_FILE = "model.keras"
"""Name of the network's file."""

SIGNATURE_FILE = "signature.json"
"""Name of the file that describes the network."""


@dataclass(frozen=True)
class Signature:
    """What a model expects and returns, and where its data came from.

    Attributes
    ----------
    inputs : list of str
        Names of the input features, in the model's order.
    outputs : list of str
        Names of the outputs, in the model's order.
    input_units : dict of str to str
        Unit of each input.
    output_units : str
        Unit of the outputs.
    feature_view : str
        Name of the feature view that supplies the inputs.
    feature_view_version, training_dataset_version : int
        Versions of the view and of the training dataset made from it.
    details : dict
        Whatever else the use case keeps with its model; JSON-able.
    """

    inputs: list[str]
    outputs: list[str]
    input_units: dict[str, str]
    output_units: str
    feature_view: str
    feature_view_version: int
    training_dataset_version: int
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the signature of the artifact in a folder.

        Raises
        ------
        ArtifactError
            If there is none, or it lacks a field.
        """
        path = folder / SIGNATURE_FILE
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise ArtifactError(f"Found no {SIGNATURE_FILE} in {folder}; expected a model saved by us.") from error
        except (TypeError, ValueError) as error:
            raise ArtifactError(f"Found a {SIGNATURE_FILE} in {folder} that cannot be used: {error}.") from error

    def table(self, instances: Sequence[Any]) -> pd.DataFrame:
        """Turn the instances of a request into model inputs, refusing what does not fit.

        Parameters
        ----------
        instances : sequence of mapping or of list
            Each a mapping with a number for every input, or a list of numbers in the model's order.

        Returns
        -------
        pandas.DataFrame
            One row of float64 per instance, columns as :attr:`inputs`.

        Raises
        ------
        InstanceError
            If there is no instance, or one lacks an input, has one too many, or holds anything but finite numbers.
        """
        if isinstance(instances, str | Mapping) or not isinstance(instances, Sequence):
            raise InstanceError(f"Found instances of type {type(instances).__name__}; expected a list of instances.")
        if not instances:
            raise InstanceError("Found no instance; expected at least one.")
        rows = [self._row(instance, f"instance {position}") for position, instance in enumerate(instances)]
        return pd.DataFrame(rows, columns=self.inputs, dtype=np.float64)

    def _row(self, instance: Any, where: str) -> list[float]:
        expected = f"expected numbers for {', '.join(self.inputs)}"
        if isinstance(instance, Mapping):
            missing = [name for name in self.inputs if name not in instance]
            unknown = [str(name) for name in instance if name not in self.inputs]
            if missing or unknown:
                raise InstanceError(
                    f"{where}: missing {', '.join(missing) or 'nothing'}, unknown {', '.join(unknown) or 'nothing'}; "
                    f"{expected}."
                )
            values = [instance[name] for name in self.inputs]
        elif isinstance(instance, Sequence) and not isinstance(instance, str):
            values = list(instance)
            if len(values) != len(self.inputs):
                raise InstanceError(f"{where}: found {len(values)} values; {expected}, {len(self.inputs)} in all.")
        else:
            raise InstanceError(f"{where}: found a {type(instance).__name__}; {expected}.")
        for name, value in zip(self.inputs, values, strict=True):
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise InstanceError(f"{where}: found {value!r} for {name}; expected a finite number.")
        return [float(value) for value in values]


def save_artifact(folder: Path, network: Any, signature: Signature) -> Path:
    """Write a network and its signature into an empty or new folder.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.
    network : keras.Model
        The trained network.
    signature : Signature
        What it expects and returns.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network.save(folder / MODEL_FILE, include_optimizer=False)
    (folder / SIGNATURE_FILE).write_text(json.dumps(asdict(signature), indent=1), encoding="utf-8")
    return folder


def load_artifact(folder: Path) -> tuple[Any, Signature]:
    """Load a network and its signature.

    Keras' own format holds an architecture and weights but no pickles, and its safe mode refuses code; a model from a
    registry can therefore be loaded without running what somebody else wrote.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of the artifact.

    Returns
    -------
    tuple of keras.Model and Signature
        The network, ready to predict but not to train on, and its signature.

    Raises
    ------
    ArtifactError
        If the folder is not an artifact, or the network does not have the inputs and outputs that the signature says.
    """
    import keras

    signature = Signature.load(folder)
    if not (folder / MODEL_FILE).is_file():
        raise ArtifactError(f"Found no {MODEL_FILE} in {folder}; expected a model saved by us.")
    network = keras.saving.load_model(folder / MODEL_FILE, compile=False, safe_mode=True)
    found = (network.input_shape[-1], network.output_shape[-1])
    if found != (len(signature.inputs), len(signature.outputs)):
        raise ArtifactError(
            f"Found a network with {found[0]} inputs and {found[1]} outputs in {folder}; "
            f"expected {len(signature.inputs)} and {len(signature.outputs)} as its signature says."
        )
    return network, signature
