"""The exceptions of :mod:`deepcube.explain`.

::

    ExplainError (ValueError)
    ├── InputError      inputs, baseline or names that do not fit the model
    └── OutputError     a model whose output cannot be attributed to its inputs
"""


class ExplainError(ValueError):
    """Root of all errors raised by :mod:`deepcube.explain`."""


class InputError(ExplainError):
    """Inputs, baseline or names do not fit each other or the model."""


class OutputError(ExplainError):
    """The model's output has a shape or a value that cannot be explained."""
