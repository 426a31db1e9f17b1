"""DeepCube: Earth system data cubes to features, models, explained predictions and maps.

One sub-package per idea, each usable by itself:

- :mod:`deepcube.cubes` opens data cubes and samples them;
- :mod:`deepcube.oblivious` trains with Maggy's oblivious training functions;
- :mod:`deepcube.explain` explains predictions and scores the explanations;
- :mod:`deepcube.embedded` is a Hopsworks in one process, for the unmodified ``hopsworks`` client.

The pipelines built on them live beside this package, in ``features/``, ``feature_pipelines/``,
``training_pipelines/``, ``inference_pipelines/`` and ``jobs/``. Imports go one way:
``jobs -> *_pipelines -> features -> deepcube``.
"""

__version__ = "0.1.0"
