"""Volcano: deformation in wrapped interferograms, and an alert service over new ones.

Run by Hopsworks as the script of the jobs ``volcano_features``, ``volcano_training``, ``volcano_inference``,
``volcano_alert`` and ``volcano_places``.
"""

from __future__ import annotations

from jobs.stages import Service, UseCase, main

USE_CASE = UseCase(
    name="volcano",
    title="Find deformation of volcanoes in wrapped interferograms: probability, type, place, alerts",
    sources={"simulated": "simulated interferograms: Mogi, dyke and sill through turbulent and layered air"},
    # Sentinel-1 passes every 6 or 12 days, over some volcano every hour.
    schedule={"alert": "0 15 * ? * *"},
    services={
        "alert": Service(
            title="score new interferograms once each and raise alerts: feature group, feeds, webhooks",
            source="Resources/volcano/inbox",
        ),
        "places": Service(
            title="read a catalogue of volcanoes (CSV), so that the map knows where interferograms lie",
            source="Resources/volcano/volcanoes.csv",
        ),
    },
    scores="Probability of deformation in each interferogram",
)

if __name__ == "__main__":
    main(USE_CASE)
