"""The exceptions of :mod:`deepcube.explain`.

::

    ExplainError (ValueError)
    ├── InputError      inputs, baseline or names that do not fit the model
    ├── OutputError     a model whose output cannot be attributed to its inputs
    ├── MethodError     a method that does not exist, or does not fit the model
    ├── OptionsError    options of a request that make no sense
    └── CardError       a model card that lacks what it must say
"""


class ExplainError(ValueError):
    """Root of all errors raised by :mod:`deepcube.explain`."""


class InputError(ExplainError):
    """Inputs, baseline or names do not fit each other or the model."""


class OutputError(ExplainError):
    """The model's output has a shape or a value that cannot be explained."""


class MethodError(ExplainError):
    """There is no such method, or it does not fit the model."""


class OptionsError(ExplainError):
    """The options of a request make no sense."""


class CardError(ExplainError):
    """A model card lacks what it must say."""
