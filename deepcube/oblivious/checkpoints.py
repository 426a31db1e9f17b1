"""The state of a training on disk: the latest one, never half-written, read without unpickling."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepcube.oblivious.errors import CheckpointError

_STEP_FILE = "checkpoint.json"


class Checkpoints:
    """Keeps the latest state of Keras models, torch modules and torch optimizers.

    Parameters
    ----------
    folder : pathlib.Path
        A folder that all ranks see.
    rank : int
        Rank of this process; only rank 0 writes.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        self.folder = folder
        self.rank = rank

    def save(self, step: int, objects: Mapping[str, Any]) -> None:
        """Keep the state after a step; the previous one stays until the new one is complete.

        Raises
        ------
        CheckpointError
            If an object has no state that can be kept.
        """
        states = {name: self.gather(name, each) for name, each in objects.items()}  # with the other ranks
        if self.rank == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            for old in self.folder.glob(f"checkpoint-{step}.*"):
                old.unlink()
            files = {name: self._write(step, name, objects[name], state) for name, state in states.items()}
            partial = self.folder / f"{_STEP_FILE}.partial"
            with partial.open("w") as file:
                json.dump({"step": step, "files": files}, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.folder / _STEP_FILE)
            for old in self.folder.glob("checkpoint-*"):
                if old.name not in files.values():
                    old.unlink()
        self.barrier()

    def restore(self, objects: Mapping[str, Any]) -> int:
        """Bring back the latest state, and return the step to go on with; 0 if there is none.

        Raises
        ------
        CheckpointError
            If the state holds other objects than these.
        """
        self.barrier()
        try:
            kept = json.loads((self.folder / _STEP_FILE).read_text())
        except FileNotFoundError:
            return 0
        if kept["files"].keys() != objects.keys():
            raise CheckpointError(
                f"Found a checkpoint of {', '.join(kept['files'])} in {self.folder}; expected {', '.join(objects)}."
            )
        for name, each in objects.items():
            self._read(self.folder / kept["files"][name], each)
        return int(kept["step"]) + 1

    def gather(self, name: str, each: Any) -> Any:
        """Return the whole state of an object, in rank 0 at least; None for one that writes itself."""
        if hasattr(each, "save_weights"):
            return None
        if not hasattr(each, "state_dict"):
            raise CheckpointError(
                f"Found {name} of type {type(each).__name__}; expected a Keras model, or a torch module or optimizer."
            )
        return each.state_dict()

    def scatter(self, each: Any, state: Any) -> None:
        """Bring the whole state into an object."""
        each.load_state_dict(state)

    def barrier(self) -> None:
        """Wait for the other ranks."""

    def _write(self, step: int, name: str, each: Any, state: Any) -> str:
        path = self.folder / f"checkpoint-{step}.{name}{'.weights.h5' if state is None else '.pt'}"
        if state is None:
            each.save_weights(path)
        else:
            import torch

            torch.save(state, path)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        return path.name

    def _read(self, path: Path, each: Any) -> None:
        if hasattr(each, "load_weights"):
            if getattr(each, "optimizer", None) is not None and not each.optimizer.built:
                each.optimizer.build(each.trainable_variables)
            each.load_weights(path)
            return
        import torch

        self.scatter(each, torch.load(path, map_location="cpu", weights_only=True))
