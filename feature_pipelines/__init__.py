"""Feature pipelines, one module per use case: from a cube to rows in the feature store.

May import :mod:`features` and :mod:`deepcube`.
"""
