"""One seed for all random generators of a process, also for those of frameworks that are imported later."""

import importlib.util
import random
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and the deep-learning frameworks: those that are imported now, others when they are.

    Parameters
    ----------
    seed : int
        Whole number from 0 to 2**32 - 1.
    """
    random.seed(seed)
    np.random.seed(seed)  # frameworks and user code draw from the global generator
    for framework, seeds in _FRAMEWORKS.items():
        if framework in sys.modules:
            seeds(seed)
    _LATER.seed = seed
    if _LATER not in sys.meta_path:
        sys.meta_path.insert(0, _LATER)


def _seed_keras(seed: int) -> None:
    import keras

    keras.utils.set_random_seed(seed)


def _seed_torch(seed: int) -> None:
    import torch

    torch.manual_seed(seed)


_FRAMEWORKS: dict[str, Callable[[int], None]] = {"keras": _seed_keras, "torch": _seed_torch}


class _Later(MetaPathFinder):
    """Seeds a framework right after its import; the states of Python's and NumPy's generators stay what they are."""

    def __init__(self) -> None:
        self.seed = 0
        self._looking: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _FRAMEWORKS or fullname in self._looking:
            return None
        self._looking.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking.discard(fullname)
        if spec is not None and spec.loader is not None:
            self._seed_after(fullname, spec.loader)
        return spec

    def _seed_after(self, framework: str, loader: Loader) -> None:
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            python, numpy = random.getstate(), np.random.get_state()
            load(module)  # which may draw, too
            _FRAMEWORKS[framework](self.seed)
            random.setstate(python)
            np.random.set_state(numpy)

        loader.exec_module = exec_module  # type: ignore[method-assign]


_LATER = _Later()
