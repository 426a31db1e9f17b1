"""Inference pipelines: from a registered model to predictions, in batch and served; one per use case."""
