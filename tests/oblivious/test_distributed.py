"""What is wrong with a distributed training is named before any rank starts."""

import threading

import numpy as np
import pytest
from functions_torch_free import Alone
from maggy.experiment import experiment

from deepcube.oblivious import DistributedConfig, ExperimentConfigError, Launcher, TrainFunctionError


class NeverStarts(Launcher):
    name = "never"

    def start(self, job, count, folder):
        raise AssertionError("workers were started")


def config(**options):
    return DistributedConfig(Alone(), launcher=NeverStarts(), optimization_key="loss", **options)


@pytest.mark.parametrize(
    "dataset",
    [
        np.zeros((3, 2)),
        (np.zeros((3, 2)), np.zeros((90, 2))),
        ((np.zeros((3, 2)), np.zeros(3)), (np.zeros((90, 2)), np.zeros(90))),
    ],
    ids=["rows", "training and validation rows", "inputs and targets of both"],
)
def test_more_ranks_than_rows(dataset):
    assert config(ranks=3, dataset=dataset).ranks == 3
    with pytest.raises(ExperimentConfigError, match="3 rows of training data for 4 ranks"):
        config(ranks=4, dataset=dataset)


def test_datasets_that_the_function_takes_apart_itself_are_its_own_business():
    for dataset in ({"few": 1}, ({"few": 1}, {}), iter([1]), None, 5):
        config(ranks=4, dataset=dataset)


def test_functions_that_cannot_be_called_or_shipped(tmp_path):
    lock = threading.Lock()

    def closes_over(hparams):
        return {"loss": float(lock.locked())}

    with pytest.raises(TrainFunctionError, match="epochs"):
        experiment.lagom(lambda epochs: 0.0, config(directory=tmp_path))
    with pytest.raises(TrainFunctionError, match="'lock'"):
        experiment.lagom(closes_over, config(directory=tmp_path))
    with pytest.raises(ExperimentConfigError, match="dataset of type lock"):
        experiment.lagom(lambda dataset: 0.0, config(directory=tmp_path, dataset=lock))
