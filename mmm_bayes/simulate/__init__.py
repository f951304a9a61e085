"""Worlds with a known truth: tables, panels of shops and experiments drawn from stated models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmm_bayes.runtime.lazy_import import lazy_names

if TYPE_CHECKING:
    from mmm_bayes.simulate.air_panel import air_contributions, air_shops
    from mmm_bayes.simulate.lift_tests import SimulatedLift, lift_test
    from mmm_bayes.simulate.media_mix import SimulatedMMM, mmm
    from mmm_bayes.simulate.mediation_table import SimulatedMediation, mediation
    from mmm_bayes.simulate.scm_table import SimulatedSCM, scm
    from mmm_bayes.simulate.shop_panel import shops

__all__ = [
    "SimulatedLift",
    "SimulatedMMM",
    "SimulatedMediation",
    "SimulatedSCM",
    "air_contributions",
    "air_shops",
    "lift_test",
    "mediation",
    "mmm",
    "scm",
    "shops",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "mmm": "simulate.media_mix",
        "SimulatedMMM": "simulate.media_mix",
        "scm": "simulate.scm_table",
        "SimulatedSCM": "simulate.scm_table",
        "mediation": "simulate.mediation_table",
        "SimulatedMediation": "simulate.mediation_table",
        "shops": "simulate.shop_panel",
        "air_shops": "simulate.air_panel",
        "air_contributions": "simulate.air_panel",
        "lift_test": "simulate.lift_tests",
        "SimulatedLift": "simulate.lift_tests",
    },
)
