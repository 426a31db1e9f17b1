"""Training pipelines: from a feature view to a registered model with an honest score; one per use case."""
