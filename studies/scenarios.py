"""Scenarios of the published experiment: what varies, over which values, from which defaults.

Settings and values are those of Poinsot & Leite (2023), *A Guide for Practical Use of ADMG Causal
Data Augmentation*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, final

if TYPE_CHECKING:
    from studies.augmentation.run_settings import RunSettings

Value = str | float


class ScenarioError(ValueError):
    """A scenario that there is not, or numbers that it cannot be run with."""


@final
@dataclass(frozen=True)
class PublishedScenario:
    """One series of cells, alike but for one setting.

    Attributes
    ----------
    name : str
        Name, also of its files.
    label : str
        What varies, as an axis says it.
    setting : str
        Setting of a run that varies.
    values : tuple
        Its values, one per cell.
    shared : bool
        Whether one run serves all cells: the same causal models, with all values of the setting.
    fixed : mapping
        Settings that differ from the defaults of all scenarios.
    published_file, published_column : str
        Where the published results are, and their column of values.
    """

    name: str
    label: str
    setting: str
    values: tuple[Value, ...]
    published_file: str
    published_column: str
    shared: bool = False
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, **common: Any) -> tuple[RunSettings, ...]:
        """Return the settings of its runs: one per cell, or one for cells that share theirs."""
        from studies.augmentation.run_settings import RunSettings

        shared: dict[str, Any] = {**common, **self.fixed}
        own: list[dict[str, Any]] = [{self.setting: value} for value in self.values]
        if self.shared:
            own = [{self.setting: self.values}]
        return tuple(RunSettings(**(shared | each)) for each in own)

    def cells(
        self, rows: list[dict[str, Any]], settings: RunSettings
    ) -> list[tuple[Value, dict[str, Any]]]:
        """Return rows of one run, each with the value of its cell.

        Where cells share a run, a row that depends on no value (a clean training table, a method
        without threshold) is a row of every cell.
        """
        if not self.shared:
            return [(getattr(settings, self.setting), row) for row in rows]
        column, every = _SHARED[self.setting]
        return [
            (value, row) for value in self.values for row in rows if row[column] in (value, every)
        ]


# Column of a row that tells the cell, and what it says where the row belongs to all cells.
_SHARED: dict[str, tuple[str, float | None]] = {
    "thresholds": ("threshold", None),
    "outliers": ("outliers", 0.0),
}

ScenarioName = Literal[
    "mechanisms", "observations", "dimension", "degree", "noise", "outliers", "threshold"
]

_ALL = (
    PublishedScenario(
        "mechanisms",
        "Mechanism",
        "mechanism",
        ("linear", "polynomial", "sigmoid_mix", "gp_add", "gp_mix", "nn"),
        "mechanisms.csv",
        "mechanism",
    ),
    PublishedScenario(
        "observations",
        "Observations",
        "n_rows",
        (30, 40, 60, 80, 100, 300, 500, 700),
        "nb_observations.csv",
        "nb_observations",
    ),
    PublishedScenario(
        "dimension",
        "Variables",
        "n_nodes",
        (7, 8, 9, 10, 15, 20, 25),
        "dimensions.csv",
        "nb_nodes",
    ),
    PublishedScenario(
        "degree",
        "Expected degree of the graph",
        "expected_degree",
        (0, 1, 2, 3, 4, 5, 6, 7),
        "graph_density.csv",
        "expected_degree",
        fixed={"n_nodes": 15},
    ),
    PublishedScenario(
        "noise",
        "Amplitude of the noise",
        "noise_coeff",
        (0.1, 0.2, 0.4, 0.6, 0.8, 1.0),
        "noise_coeff.csv",
        "noise_coeff",
    ),
    PublishedScenario(
        "outliers",
        "Share of outliers",
        "outliers",
        (0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.15),
        "outliers.csv",
        "frac_outliers",
        shared=True,
    ),
    PublishedScenario(
        "threshold",
        "Probability threshold",
        "thresholds",
        (1e-1, 1e-2, 1e-3, 1e-4, 1e-5),
        "threshold.csv",
        "weight_threshold",
        shared=True,
    ),
)
SCENARIOS: dict[str, PublishedScenario] = {scenario.name: scenario for scenario in _ALL}
"""By name."""
