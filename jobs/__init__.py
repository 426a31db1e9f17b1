"""How pipelines run: Hopsworks job scripts, one per use case, and the ``deepcube`` command.

A use case is a module of the same name in ``features``, ``feature_pipelines``, ``training_pipelines``,
``inference_pipelines`` and here; the module here names its stages (:mod:`jobs.stages`) and is itself the script that a
Hopsworks job runs. May import everything.
"""
