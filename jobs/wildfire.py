"""Wildfire: danger of fire on the next day, and the places at risk, from weather, vegetation and people.

Run by Hopsworks as the script of the jobs ``wildfire_features``, ``wildfire_training`` and ``wildfire_inference``.
"""

from __future__ import annotations

from jobs.stages import UseCase, main

USE_CASE = UseCase(
    name="wildfire",
    title="Map the danger of fire on the next day, beside the Fire Weather Index, and rank the places at risk",
    sources={
        "simulated": "simulated FireCube: weather at 9 km, surface at 1 km, vegetation at 500 m, known truth",
    },
    # Danger is of tomorrow: features and maps every day, a new model after every fire season.
    schedule={"features": "0 0 17 ? * *", "training": "0 0 4 1 12 ?", "inference": "0 0 18 ? * *"},
    validates=True,
)

if __name__ == "__main__":
    main(USE_CASE)
