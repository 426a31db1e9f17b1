"""Seeds reach frameworks whenever they are imported."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from deepcube.oblivious.seeding import seed_everything
if sys.argv[2] == "before":
    __import__(sys.argv[1])
seed_everything(int(sys.argv[3]))
import random, numpy
first = random.random(), numpy.random.random()
if sys.argv[1] == "torch":
    import torch
    drawn = torch.rand(2).tolist()
else:
    import keras
    weights = keras.layers.Dense(2).kernel_initializer((2, 2))
    drawn = keras.random.uniform((2,)).numpy().tolist(), weights.numpy().tolist()
print(first, drawn, random.random(), numpy.random.random())
"""


def drawn(framework, when, seed):
    command = [sys.executable, "-c", SCRIPT, framework, when, str(seed)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_a_framework_that_is_imported_later_draws_the_same(framework):
    before, later, other = drawn(framework, "before", 3), drawn(framework, "later", 3), drawn(framework, "later", 4)
    assert before == later != other
