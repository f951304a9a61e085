"""Limits of the diagnostics."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class DiagnosticsThresholds:
    """Limits of the checks: beyond ``_review`` a finding is a warning, beyond ``_fail`` an error.

    Parameters
    ----------
    rhat_review, rhat_fail
        Rank-normalised R-hat. Values between the two pass if chance explains them, given the number
        of quantities and effective draws.
    ess_per_chain_review, ess_per_chain_fail
        Bulk and tail effective draws, per chain.
    divergence_share_fail
        Share of divergent draws; a single one is a warning.
    bfmi_review, bfmi_fail
        Energy Bayesian fraction of missing information, per chain.
    tree_depth_share_review
        Share of draws whose trajectory stopped at the depth limit.
    max_tree_depth
        Depth limit of runs that recorded depths but not whether they reached the limit.
    acceptance_fail
        Mean acceptance of a chain below which it is stuck.
    conflict_sd
        Distance of posterior from prior median in (normal) prior standard deviations; raised with
        the number of elements of a variable, so that the chance of a false alarm is per variable.
    conflict_tail
        Share of prior draws beyond the posterior median above which there is no conflict.
    overlap_review
        Overlap of prior and posterior (1: equal) above which the data are uninformative.

    Raises
    ------
    ValueError
        If a limit is not positive, or a pair is in the wrong order.
    """

    rhat_review: float = 1.01
    rhat_fail: float = 1.05
    ess_per_chain_review: float = 100.0
    ess_per_chain_fail: float = 25.0
    divergence_share_fail: float = 0.02
    bfmi_review: float = 0.3
    bfmi_fail: float = 0.1
    tree_depth_share_review: float = 0.05
    max_tree_depth: int = 10
    acceptance_fail: float = 0.05
    conflict_sd: float = 3.0
    conflict_tail: float = 0.005
    overlap_review: float = 0.9

    def __post_init__(self) -> None:
        for limit in fields(self):
            if not getattr(self, limit.name) > 0:
                raise ValueError(f"{limit.name} must be positive, got {getattr(self, limit.name)}")
        for small, large in (
            ("rhat_review", "rhat_fail"),
            ("ess_per_chain_fail", "ess_per_chain_review"),
            ("bfmi_fail", "bfmi_review"),
        ):
            if getattr(self, small) > getattr(self, large):
                raise ValueError(
                    f"{small} ({getattr(self, small)}) must not exceed "
                    f"{large} ({getattr(self, large)})"
                )
