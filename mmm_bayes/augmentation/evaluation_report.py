"""The result of an evaluation of augmented rows: a table, and its conclusion in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from textwrap import fill
from typing import Any, final

import numpy as np
import pandas as pd

from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.report import Report

# Measure of a split, its name in the table, and the direction that is better.
_WITH_CONTROL = (
    ("r2", "R2", "higher"),
    ("mape", "MAPE", "lower"),
    ("kl", "KL divergence", "lower"),
    ("energy", "energy distance", "lower"),
    ("sliced_wasserstein", "sliced Wasserstein distance", "lower"),
)
_ALONE = (
    ("variance_difference", "variance difference"),
    ("variance_difference_signed", "variance difference, signed"),
    ("repeated", "weight on repeated rows"),
)
_MOSTLY = 0.9


@final
@dataclass(frozen=True, eq=False, repr=False)
class AugmentationEvaluation(Report):
    """What augmented rows do for predictions of a target, over random splits of a table.

    Attributes
    ----------
    splits : pandas.DataFrame
        One row per split: each measure, and with ``_control`` that of the training rows alone;
        ``repeated``, ``num_augmented``, ``mass``, and the settings of the learner.
    target : str
        Column that was predicted.
    method : str
        Method of augmentation.
    num_train, num_test : int
        Observed rows to train and to test in each split.
    mixture : float
        Share of the weight on augmented rows.
    ci_prob : float
        Mass of the intervals.
    """

    splits: pd.DataFrame
    target: str
    method: str
    num_train: int
    num_test: int
    mixture: float
    ci_prob: float = 0.9

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """Reasons to doubt the augmentation, the most serious first."""
        found = []
        splits, count = self.splits, len(self.splits)
        if empty := int((splits["num_augmented"] == 0).sum()):
            found.append(
                Finding(
                    "empty",
                    "error" if empty == count else "warning",
                    f"The augmentation is empty in {empty} of {count} splits, which are then "
                    "compared with themselves.",
                    "Use method='sample', or lower the threshold.",
                    value=empty / count,
                )
            )
        mass = float(splits["mass"].mean())
        if mass < 0.5:
            found.append(
                Finding(
                    "lost_mass",
                    "warning",
                    f"The augmented rows hold {mass:.1%} of the probability on average.",
                    "Use method='sample' or 'resample', or lower the threshold.",
                    value=mass,
                    threshold=0.5,
                )
            )
        repeated = float(splits["repeated"].mean())
        if repeated > _MOSTLY:
            found.append(
                Finding(
                    "repeated",
                    "warning",
                    f"{repeated:.0%} of the weight of augmented rows repeats rows of the table, so "
                    "they add little.",
                    "Increase bandwidth_scale or smoothing, or use estimator='cross_validated'.",
                    value=repeated,
                    threshold=_MOSTLY,
                )
            )
        return tuple(found)

    @cached_property
    def _table(self) -> pd.DataFrame:
        rows = {}
        for name, label, better in _WITH_CONTROL:
            own, control = self.splits[name], self.splits[f"{name}_control"]
            difference, lower, upper = self._interval((own - control).to_numpy(float))
            rows[label] = (own.mean(), control.mean(), difference, lower, upper, better)
        for name, label in _ALONE:
            mean, lower, upper = self._interval(self.splits[name].to_numpy(float))
            lower = lower if name.endswith("signed") else max(lower, 0.0)
            rows[label] = (mean, np.nan, np.nan, lower, upper, "")
        columns = ["augmented", "control", "difference", "lower", "upper", "better"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("measure")

    def to_frame(self) -> pd.DataFrame:
        """Return one row per measure.

        Returns
        -------
        pandas.DataFrame
            Means over splits with augmented rows and of the ``control``, their ``difference`` with
            an interval ``lower`` to ``upper``, and which direction is ``better``. R2 and MAPE are
            those of predictions of held-out rows, distances are to held-out rows. Measures of
            diversity have no control: the interval is that of their mean.
        """
        return self._table.copy()

    def _interval(self, values: np.ndarray[Any, Any]) -> tuple[float, float, float]:
        """Return the mean over splits with its corrected resampled t interval."""
        from scipy.stats import t

        known = values[np.isfinite(values)]
        if len(known) < 2:
            return (float(known.mean()) if len(known) else np.nan), np.nan, np.nan
        mean = float(known.mean())
        variance = known.var(ddof=1) * (1.0 / len(known) + self.num_test / self.num_train)
        half = float(t.ppf(0.5 + self.ci_prob / 2.0, len(known) - 1) * np.sqrt(variance))
        return mean, mean - half, mean + half

    @property
    def helps(self) -> bool | None:
        """Whether R2 on held-out rows is higher with augmented rows; None if this is uncertain."""
        row = self._table.iloc[0]
        if row["lower"] > 0:
            return True
        return False if row["upper"] < 0 else None

    @property
    def conclusion(self) -> str:
        """The result in words, one line each for efficiency, similarity and diversity."""
        return "\n".join(filter(None, (self._efficiency(), self._similarity(), self._diversity())))

    def _efficiency(self) -> str:
        row = self._table.iloc[0]
        change = (
            f"from {row['control']:.3f} to {row['augmented']:.3f} on average (difference "
            f"{row['difference']:+.3f}, {self.ci_prob:.0%} interval {row['lower']:+.3f} to "
            f"{row['upper']:+.3f})"
        )
        words = {
            True: f"Augmented rows improve predictions of {self.target!r}",
            False: f"Augmented rows make predictions of {self.target!r} worse",
            None: "These splits do not show whether augmented rows help to predict "
            f"{self.target!r}",
        }
        return f"{words[self.helps]}: R2 on held-out rows goes {change}."

    def _similarity(self) -> str:
        rows = self._table.loc[["KL divergence", "energy distance", "sliced Wasserstein distance"]]
        if not rows["lower"].notna().any():
            return "Their similarity to the held-out rows could not be measured."
        parts = [
            f"{words} the held-out rows than the training rows are ({', '.join(names)})"
            for words, names in (
                ("closer to", rows.index[rows["upper"] < 0]),
                ("farther from", rows.index[rows["lower"] > 0]),
            )
            if len(names)
        ]
        same = "about as close to the held-out rows as the training rows are"
        return f"They are {' and '.join(parts) or same}."

    def _diversity(self) -> str:
        signed: Any = self._table.loc["variance difference, signed"]
        repeated = float(self.splits["repeated"].mean())
        if not np.isfinite(signed["augmented"]):
            return ""
        more = "larger" if signed["augmented"] > 0 else "smaller"
        return (
            f"Their variance is {abs(signed['augmented']):.0%} {more} than that of the training "
            f"rows, and {repeated:.0%} of their weight repeats rows of the table."
        )

    def __str__(self) -> str:
        lines = [
            f"Augmentation evaluated on held-out rows: {self.target}, method {self.method!r}",
            f"{len(self.splits)} random splits of {self.num_train} training and {self.num_test} "
            f"test rows; augmented rows carry {self.mixture:.0%} of the weight.",
            "",
            *(fill(line, 100) for line in self.conclusion.split("\n")),
            *(fill(f"{finding.severity}: {finding}", 100) for finding in self.findings),
            "",
            str(self.summary()),
        ]
        return "\n".join(lines)
