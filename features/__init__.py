"""Feature definitions, one module per use case: names, units, feature groups and feature views.

May import :mod:`deepcube`; imported by the pipelines of the same name.
"""
