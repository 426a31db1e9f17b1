"""From a trained model and its figures on disk to a Hopsworks project."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def register_model(
    project: Any,
    name: str,
    files: Path,
    *,
    metrics: Mapping[str, float],
    inputs: "pd.DataFrame",
    outputs: "pd.DataFrame",
    feature_view: Any,
    training_dataset_version: int,
    description: str,
) -> Any:
    """Register a model with what a user needs to trust it: metrics, schema, an example and its lineage.

    Parameters
    ----------
    project : hopsworks.project.Project
        Project whose registry receives the model.
    name : str
        Name of the model; the registry gives the version.
    files : pathlib.Path
        Folder with the model in its framework's own format. Everything in it is uploaded.
    metrics : mapping of str to float
        Scores of the model and, beside them, of the baselines.
    inputs, outputs : pandas.DataFrame
        A few rows of model inputs and outputs. Their columns and types are the schema; the first input row is the
        example.
    feature_view : hsfs.feature_view.FeatureView
        Where the training data came from.
    training_dataset_version : int
        Version of the training dataset of that view.
    description : str
        What the model does, in a sentence or two.

    Returns
    -------
    hsml.model.Model
        The registered model with its version.
    """
    from hsml.model_schema import ModelSchema
    from hsml.schema import Schema

    # The generic kind: Hopsworks serves only this kind with a predictor script, which explanations need.
    model = project.get_model_registry().python.create_model(
        name,
        metrics=dict(metrics),
        description=description,
        input_example=inputs.iloc[0].tolist(),
        model_schema=ModelSchema(Schema(inputs), Schema(outputs)),
        feature_view=feature_view,
        training_dataset_version=training_dataset_version,
    )
    model.save(str(files))
    return model


def upload_files(project: Any, files: Sequence[Path], folder: str) -> list[str]:
    """Upload files, for example figures, into a folder of the project, replacing those of the same name.

    Parameters
    ----------
    project : hopsworks.project.Project
        The project.
    files : sequence of pathlib.Path
        Local files.
    folder : str
        Folder in the project, for example ``"Resources/drought/sample"``; created if missing.

    Returns
    -------
    list of str
        Path of each file in the project.
    """
    datasets = project.get_dataset_api()
    if not datasets.exists(folder):
        datasets.mkdir(folder)
    return [datasets.upload(str(file), folder, overwrite=True) for file in files]
