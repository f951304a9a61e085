"""Training tables in which a channel is not on yet."""

from __future__ import annotations

from collections.abc import Sequence

from mmm_bayes.data.media_scale import check_never_on
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model.checks import ModelDataError, check_effects
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.runtime.findings import DataWarning, Finding, listing, numbered
from mmm_bayes.runtime.warn import warn_user


def check_not_yet_on(spec: ModelSpec, data: MMMData, origins: Sequence[tuple[int, int]]) -> None:
    """Warn of channels that are 0 in every row of a training table.

    Parameters
    ----------
    spec, data
        The model and the whole table.
    origins
        First date, and the date after the last one, of each training table, by position.

    Raises
    ------
    ModelDataError
        If the prior of such a channel is on its ROAS or its share, which its rows do not have.
    """
    errors: dict[str, Finding] = {}
    warnings: dict[str, list[tuple[int, Finding]]] = {}
    for number, (start, stop) in enumerate(origins, start=1):
        train = data.subset(slice(data.dates[start], data.dates[stop - 1]))
        found = check_never_on(train.ds)
        for finding in found:
            warnings.setdefault(str(finding.where), []).append((number, finding))
        if found:
            errors |= {str(finding.where): finding for finding in check_effects(spec, train)}
    if errors:
        raise ModelDataError(errors.values(), "the training tables")
    if warnings:
        findings = [
            Finding(
                "never_on",
                "warning",
                f"In training table(s) {listing(number for number, _ in found)} of {len(origins)}: "
                f"{found[0][1].message}",
                "Leave the channel out, or begin with later origins (min_train).",
                where=name,
            )
            for name, found in warnings.items()
        ]
        warn_user(
            f"{len(findings)} warning(s) about the training tables:\n{numbered(findings)}",
            DataWarning,
        )
