"""Modules under the paths they had before, for one version, with a warning that says the new path.

``import mmm_bayes.data.simulate`` gives a module that looks every name up in its new home.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# Whole packages: every module below them kept its name.
_PACKAGES = {
    "plots": "present.plots",
    "report": "present.report",
    "distributed": "runtime.jobs",
    "graph_learning": "causal_mmm.networks",
    "forecasting": "validation.panel",
}
# Single modules: {old package: {new package: modules}}; ``old>new`` where the name changed as well.
_MODULES = {
    "analysis": {"analysis": "validation>diagnosis"},
    "augmentation": {"augmentation": "powers>likelihood_weights"},
    "causal": {
        "causal.graph": "graph_checks>checks implied projection equivalence separation roles",
        "causal.identify": "adjustment adjustment_report criteria front_door id_algorithm "
        "identification instruments",
        "causal.check": "contingency falsification falsification_report generalised_covariance "
        "graph_table independence independence_result kernel_independence multiplicity overlap "
        "overlap_report permutation_baseline series variables",
        "causal.discovery": "discovery_knowledge>knowledge discovery_result>result "
        "discovery_session>session",
        "causal.effects": "effect_estimate>estimate graph_sensitivity kpis lift_comparison media "
        "refutation refutation_report sensitivity",
    },
    "data": {
        "data": "cells>cell_values shops_load>panel_load shops_cells>panel_cells "
        "shops_roles>panel_roles describe>summary",
        "runtime": "findings netcdf_file run_folder text_file whole_file>atomic_write "
        "zip_file streams",
        "simulate": "simulate>media_mix simulate_lift>lift_tests scm>scm_table "
        "mediation>mediation_table shops>shop_panel shops_air>air_panel",
    },
    "distributed": {"many_fits": "map_fits fit_map fit_cells", "runtime.jobs": "cells>tasks"},
    "inference": {"runtime": "progress"},
}
# Names that changed with their module.
_NAMES = {
    "tempered_powers": "likelihood_weights",
    "greatest_mixture": "largest_mixture",
    "simulate_mmm": "mmm",
    "simulate_scm": "scm",
    "simulate_mediation": "mediation",
    "simulate_shops": "shops",
    "simulate_air_shops": "air_shops",
    "simulate_lift_test": "lift_test",
}


def moved() -> dict[str, str]:
    """Old path to new path of every single module that moved."""
    table = {}
    for old_package, homes in _MODULES.items():
        for new_package, modules in homes.items():
            for entry in modules.split():
                old, _, new = entry.partition(">")
                table[f"mmm_bayes.{old_package}.{old}"] = f"mmm_bayes.{new_package}.{new or old}"
    return table


def new_path(name: str) -> str | None:
    """Return where a module of an old path is now, or nothing if the path is no old one."""
    if not name.startswith("mmm_bayes."):
        return None
    if name in (single := moved()):
        return single[name]
    first, _, rest = name.removeprefix("mmm_bayes.").partition(".")
    if first not in _PACKAGES:
        return None
    return f"mmm_bayes.{_PACKAGES[first]}" + (f".{rest}" if rest else "")


class _OldPaths(MetaPathFinder, Loader):
    """Finds old paths after every other finder has failed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if new_path(name) is None:
            return None
        return ModuleSpec(name, self, is_package=name.count(".") == 1)

    def exec_module(self, module: ModuleType) -> None:
        from mmm_bayes.runtime.deprecation import warn_deprecated

        new = new_path(module.__name__)
        assert new is not None
        home = importlib.import_module(new)
        warn_deprecated(module.__name__, new)

        def get(name: str) -> Any:
            renamed = _NAMES.get(name, name)
            if not hasattr(home, name) and hasattr(home, renamed):
                return getattr(home, renamed)
            return getattr(home, name)

        module.__doc__ = home.__doc__
        vars(module).update(__getattr__=get, __dir__=lambda: dir(home))
        if hasattr(home, "__all__"):
            vars(module)["__all__"] = list(home.__all__)


def find_old_paths() -> None:
    """Let the old paths be imported."""
    if not any(isinstance(finder, _OldPaths) for finder in sys.meta_path):
        sys.meta_path.append(_OldPaths())
