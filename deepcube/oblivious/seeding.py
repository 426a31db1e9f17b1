"""One seed for all random generators of a process."""

import random
import sys

import numpy as np


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and those deep-learning frameworks that are already imported.

    Parameters
    ----------
    seed : int
        Whole number from 0 to 2**32 - 1.
    """
    random.seed(seed)
    np.random.seed(seed)  # frameworks and user code draw from the global generator
    if "keras" in sys.modules:
        import keras

        keras.utils.set_random_seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
