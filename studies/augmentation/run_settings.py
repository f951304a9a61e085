"""Settings of one run of the experiment: a causal model, and what is done to its table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final, get_args

from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest
from mmm_bayes.simulate.scm_mechanisms import MECHANISMS, Mechanism
from studies.augmentation.boosting import DEFAULT_LAMBDA, DEFAULT_TREES

METHODS = ("enumerate", "enumerate_stated", "default", "sample", "resample", "residual")
"""``"enumerate"`` is the published protocol as it was run, ``"enumerate_stated"`` with the
bandwidths that its text states; all others join observed and augmented rows."""
ENUMERATES = ("enumerate", "enumerate_stated")

Tuning = Literal["observed", "augmented"]
TUNINGS: tuple[Tuning, ...] = get_args(Tuning)


@final
@dataclass(frozen=True)
class RunSettings:
    """One random causal model, and what is done to its table.

    Attributes
    ----------
    mechanism, n_rows, n_nodes, expected_degree, noise_coeff, guide_compat
        As in :func:`~mmm_bayes.simulate.scm`.
    thresholds : tuple of float
        Probability thresholds of ``"enumerate"``, each of which is one augmentation.
    outliers : tuple of float
        Shares of outliers added to the training rows, each of which is one more training table.
    methods : tuple of str
        Some of ``METHODS``.
    max_targets : int or None
        Most variables to predict, drawn at random; None is all of them.
    n_estimators, reg_lambda, mixtures : tuple
        What cross-validation chooses among.
    tuning : {"observed", "augmented"}
        How trees of observed and augmented rows are tuned: with what cross-validation on the
        observed rows has chosen for the baseline (the first mixture), or by a cross-validation of
        their own (:func:`~studies.augmentation.boosting.fit_augmented`), ten times as dear.
    """

    DATA: ClassVar[tuple[str, ...]] = (
        "mechanism", "n_rows", "n_nodes", "expected_degree", "noise_coeff", "guide_compat",
    )  # fmt: skip
    """Settings that the causal model and its table depend on."""

    mechanism: Mechanism = "nn"
    n_rows: int = 500
    n_nodes: int = 10
    expected_degree: float = 3.0
    noise_coeff: float = 0.4
    guide_compat: bool = True
    thresholds: tuple[float, ...] = (1e-2,)
    outliers: tuple[float, ...] = ()
    methods: tuple[str, ...] = ("enumerate", "default")
    max_targets: int | None = None
    n_estimators: tuple[int, ...] = DEFAULT_TREES
    reg_lambda: tuple[float, ...] = DEFAULT_LAMBDA
    mixtures: tuple[float, ...] = (0.5,)
    tuning: Tuning = "observed"

    def __post_init__(self) -> None:
        findings = [*self._numbers(), *self._methods()]
        if findings:
            raise DataError(findings, "the settings of a run")

    def _numbers(self) -> list[Finding]:
        some = self.max_targets is None or self.max_targets >= 1
        shares = bool(self.mixtures) and all(0 <= share <= 1 for share in self.mixtures)
        limits = (
            ("mechanism", self.mechanism in MECHANISMS, listing(MECHANISMS, 9), self.mechanism),
            # Three folds of two training rows need ten rows.
            ("n_rows", self.n_rows >= 10, "10 or more", self.n_rows),
            ("n_nodes", self.n_nodes >= 2, "2 or more", self.n_nodes),
            ("thresholds", all(0 <= t < 1 for t in self.thresholds), "in [0, 1)", self.thresholds),
            ("outliers", all(0 < share < 1 for share in self.outliers), "in (0, 1)", self.outliers),
            ("max_targets", some, "1 or more, or None", self.max_targets),
            ("mixtures", shares, "shares in [0, 1], at least one", self.mixtures),
            ("tuning", self.tuning in TUNINGS, f"one of {listing(TUNINGS)}", self.tuning),
        )
        return [
            Finding(
                name,
                "error",
                f"{name} should be {expected}; got {given}.",
                "Change it.",
                where=name,
            )
            for name, good, expected, given in limits
            if not good
        ]

    def _methods(self) -> list[Finding]:
        found = [
            Finding(
                "methods",
                "error",
                f"There is no method {name!r}.{nearest(name, METHODS)}",
                f"Known are {listing(METHODS)}.",
                where="methods",
            )
            for name in self.methods
            if name not in METHODS
        ]
        if set(ENUMERATES) & set(self.methods) and not self.thresholds:
            found.append(
                Finding(
                    "thresholds",
                    "error",
                    "Method 'enumerate' needs a threshold, and there is none.",
                    "Give (0.01,), for instance.",
                    where="thresholds",
                )
            )
        return found
