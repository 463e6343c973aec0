"""Maps the top-level rooms onto one import package; all other metadata is in pyproject.toml."""

from setuptools import setup

ROOMS = ("models", "problems", "experiments")

setup(
    packages=[
        "kerasjoint",
        "kerasjoint.methods",
        "kerasjoint.plot",
        "kerasjoint.wrappers",
        *(f"kerasjoint.{room}" for room in ROOMS),
        "kerasjoint.experiments.paper",
        "kerasjoint.problems.carbon_dioxide",
        "kerasjoint.problems.kuramoto_sivashinsky",
        "kerasjoint.problems.navier_stokes",
    ],
    package_dir={"kerasjoint": "kerasjoint"} | {f"kerasjoint.{room}": room for room in ROOMS},
    package_data={
        "kerasjoint": ["py.typed"],
        "kerasjoint.experiments": ["presets/*.yaml"],
        "kerasjoint.experiments.paper": ["presets/*.yaml"],
        "kerasjoint.problems.carbon_dioxide": ["weekly.csv"],
    },
)
