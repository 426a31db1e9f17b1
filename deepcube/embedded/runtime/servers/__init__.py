"""Predictor scripts for models that are deployed without one. They are run as scripts and import nothing from here."""
