"""Drought: NDVI forecast a few steps ahead from a satellite cube.

Run by Hopsworks as the script of the jobs ``drought_features``, ``drought_training`` and ``drought_inference``.
"""

from __future__ import annotations

from jobs.stages import UseCase, main

USE_CASE = UseCase(
    name="drought",
    title="Forecast vegetation (NDVI) a few steps ahead, beside persistence and climatology",
    sources={
        "sample": "real Sentinel-2 minicube of a forest in Romania, 2015-2021, that comes with the package",
        "simulated": "simulated minicube: Sentinel-2 every 5 days at 30 m, daily weather at 9 km, known truth",
    },
    # Composites come every few days; a week's delay is short beside what a forecast of months would lose by it.
    schedule={"features": "0 0 3 ? * MON", "training": "0 0 4 1 * ?", "inference": "0 0 6 ? * MON"},
)

if __name__ == "__main__":
    main(USE_CASE)
