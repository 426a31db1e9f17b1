"""The 58 variables of the published FireCube (Prapas et al., 2021, doi:10.5281/zenodo.4943354) on their own grids."""

from deepcube.cubes.simulate.store import Field

_STATIC = ("y", "x")


def _quality(name: str, text: str) -> Field:
    flags = {"flag_values": [0, 2], "flag_meanings": "good not_produced_because_of_cloud"}
    return Field(name, "1", text, dtype="uint8", kind="categorical", attrs=flags)


WEATHER = [
    Field("era5_max_t2m", "K", "maximum 2 m temperature of the day"),
    Field("era5_min_t2m", "K", "minimum 2 m temperature of the day"),
    Field("era5_max_u10", "m s-1", "maximum eastward 10 m wind of the day"),
    Field("era5_min_u10", "m s-1", "minimum eastward 10 m wind of the day"),
    Field("era5_max_v10", "m s-1", "maximum northward 10 m wind of the day"),
    Field("era5_min_v10", "m s-1", "minimum northward 10 m wind of the day"),
    Field("era5_max_tp", "m", "precipitation accumulated over the day"),
    Field("era5_min_tp", "m", "precipitation of the day's first hour"),
    Field("fwi", "1", "Canadian fire weather index at noon"),
]
"""Daily, 9 km."""

LST = [
    Field("LST_Day_1km", "K", "land surface temperature by day"),
    Field("LST_Night_1km", "K", "land surface temperature by night"),
    _quality("QC_Day", "quality of the temperature by day"),
    _quality("QC_Night", "quality of the temperature by night"),
]
"""Daily, 1 km."""

INDICES = [
    Field("1 km 16 days NDVI", "1", "normalised difference vegetation index, best of 16 days up to the date"),
    Field("1 km 16 days EVI", "1", "enhanced vegetation index, best of 16 days up to the date"),
    _quality("1 km 16 days VI Quality", "quality of the vegetation indices"),
]
"""Every 16 days, 1 km."""

VEGETATION = [
    Field("Fpar_500m", "1", "fraction of absorbed photosynthetically active radiation"),
    Field("FparStdDev_500m", "1", "standard deviation of Fpar_500m"),
    Field("Lai_500m", "m2 m-2", "leaf area index"),
    Field("LaiStdDev_500m", "m2 m-2", "standard deviation of Lai_500m"),
    _quality("FparLai_QC", "quality of Fpar and Lai"),
    _quality("FparExtra_QC", "further quality of Fpar and Lai"),
    Field("ET_500m", "kg m-2", "evapotranspiration of 8 days up to the date"),
    Field("PET_500m", "kg m-2", "potential evapotranspiration of 8 days up to the date"),
    Field("LE_500m", "J m-2 d-1", "latent heat flux, mean of 8 days up to the date"),
    Field("PLE_500m", "J m-2 d-1", "potential latent heat flux, mean of 8 days up to the date"),
    _quality("ET_QC_500m", "quality of the evapotranspiration"),
]
"""Every 8 days, 500 m."""

TERRAIN = [
    Field(f"{name}_{statistic}", units, f"{text}, {word} within the pixel", dims=_STATIC)
    for name, units, text in (("dem", "m", "height"), ("slope", "degree", "slope"), ("aspect", "degree", "aspect"))
    for statistic, word in (("mean", "mean"), ("max", "maximum"), ("min", "minimum"), ("std", "standard deviation"))
]
"""Static, 1 km."""

SURFACE = [
    *(
        Field(f"clc_{year}", "1", f"CORINE land cover class of {year}", dims=_STATIC, dtype="uint8", kind="categorical")
        for year in (2006, 2012, 2018)
    ),
    Field("roads_density_2020", "km km-2", "length of roads per area", dims=_STATIC),
    *(
        Field(f"population_density_{year}", "km-2", f"persons per square kilometre in {year}", dims=_STATIC)
        for year in range(2009, 2021)
    ),
]
"""Static, 1 km."""

FIRES = [
    Field(
        "burned_areas",
        "1",
        "burnt by a fire that started on the date",
        dtype="uint8",
        kind="categorical",
        attrs={"flag_values": [0, 1], "flag_meanings": "unburnt burnt"},
    ),
    Field("ignition_points", "ha", "final area of the fire that started here on the date, 0 for none"),
    Field("number_of_fires", "1", "fires that started here on the date", dtype="uint8", kind="count"),
]
"""Daily, 1 km."""

TRUE_WEATHER = [
    Field("humidity", "%", "relative humidity at noon"),
    Field("ffmc", "1", "fine fuel moisture code"),
    Field("dmc", "1", "duff moisture code"),
    Field("dc", "1", "drought code"),
    Field("isi", "1", "initial spread index"),
    Field("bui", "1", "build-up index"),
    Field("fuel_moisture", "%", "moisture of dead fine fuel, by dry weight"),
    Field("soil_wetness", "1", "soil water as a share of the capacity"),
]
"""Daily, 9 km: what the weather did to fuel and soil."""

TRUE_DANGER = [
    Field("ignition_probability", "1", "probability that a fire starts in the pixel on the date"),
    Field("live_dryness", "1", "dryness of live fuel, 0 to 2"),
]
"""Daily, 1 km: the danger that ignitions were drawn from."""

TRUE_STATIC = [
    Field("fuel", "1", "how readily the land cover burns", dims=_STATIC),
    Field("human_presence", "1", "human presence, 1 on average over land", dims=_STATIC),
    Field("sea", "1", "1 in the sea", dims=_STATIC, dtype="uint8", kind="categorical"),
]
"""Static, 1 km."""
