"""The table of a model for augmentation: features for kernel similarity, and checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd

from mmm_bayes.augmentation.causal_da import CausalDA
from mmm_bayes.augmentation.estimators import DONATING
from mmm_bayes.augmentation.model_outcomes import MODEL
from mmm_bayes.augmentation.table_checks import Bandwidth
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model import media
from mmm_bayes.model.structure import ModelArrays, Structure
from mmm_bayes.runtime.findings import Finding, listing, nearest

NDArray = np.ndarray[Any, Any]


def feature_frames(
    structure: Structure, arrays: ModelArrays, season: str, target: str
) -> list[pd.DataFrame]:
    """Build the features used for kernel similarity, one table per geo, in scaled units.

    Channels are adstocked at the prior medians of their parameters. The calendar consists of time
    from 0 to 1, the Fourier columns and the events, with names ``season[...]``. Binary columns are
    integers, which have to match exactly.
    """
    medians = {
        p.site: np.array([prior.median for prior in p.priors]) for p in structure.media.parameters
    }
    kernels = jax.jit(lambda values: media.kernel_weights(structure.media, values))(medians)
    adstocked = np.einsum("cgkt,ck->cgt", np.asarray(arrays.media, float), np.asarray(kernels))
    labels = [(term, label) for term in structure.terms for label in term.labels]
    design = np.asarray(arrays.design, float)
    num_geos, n = arrays.target.shape
    frames = []
    for g in range(num_geos):
        columns = {f"{season}[time]": np.linspace(0.0, 1.0, n)}
        for k, (term, label) in enumerate(labels):
            if term.component in ("seasonality", "events"):
                columns[f"{season}[{label}]"] = _exact(design[g, :, k])
            elif term.component == "controls":
                columns[label] = _exact(design[g, :, k])
        columns |= dict(zip(structure.channels, adstocked[:, g], strict=True))
        columns[target] = np.asarray(arrays.target[g], float)
        frames.append(pd.DataFrame(columns))
    return frames


def _exact(x: NDArray) -> NDArray:
    return x.astype(int) if _is_binary(x) else x


def _is_binary(x: NDArray) -> bool:
    return bool(np.isin(x, (0.0, 1.0)).all())


def by_column(bandwidth: Bandwidth, season: str, block: Sequence[str]) -> Bandwidth:
    """Expand a bandwidth given for the calendar to the columns of its block."""
    if not isinstance(bandwidth, Mapping) or season not in bandwidth:
        return bandwidth
    rest = {name: value for name, value in bandwidth.items() if name != season}
    return rest | dict.fromkeys(block, bandwidth[season])


def check_augmentation(
    settings: CausalDA, structure: Structure, data: MMMData, target: str
) -> list[Finding]:
    """List every conflict between settings, model and table."""
    found: list[Finding] = []

    def report(check: str, message: str, remedy: str, column: str | None = None) -> None:
        found.append(Finding(check, "error", message, remedy, column))

    parts = {"channel": structure.channels, "control": structure.controls, "target": (target,)}
    every = [name for names in parts.values() for name in names]
    known, nodes = [*every, settings.season], settings.graph.nodes
    for name in dict.fromkeys(name for name in known if known.count(name) > 1):
        report(
            "shared_name",
            f"{name!r} is the name of two of channels, controls, target and season.",
            "Rename one of them; season= sets the name of the calendar's node.",
            name,
        )
    for part, names in parts.items():
        for name in names:
            if name not in nodes:
                report(
                    "not_in_graph",
                    f"The {part} {name!r} is not in the graph.",
                    "Add it as a node (without edges if it has none)."
                    + nearest(name, [node for node in nodes if node not in known]),
                    name,
                )
    for name in nodes:
        if name not in known:
            report(
                "unknown_node",
                f"The node {name!r} of the graph is not a channel, control or target of the model.",
                f"Known: {listing(known, 12)}.{nearest(name, known)}",
                name,
            )
    if not structure.media.adstock_first:
        report(
            "saturation_first",
            "Augmentation requires adstock before saturation: otherwise a row's effect depends "
            "on the whole series of exposure before it.",
            'Set media.order = "adstock_first".',
        )
    for name in settings.estimator if isinstance(settings.estimator, Mapping) else ():
        if name not in known:
            hint = f"Known: {listing(known, 12)}.{nearest(name, known)}"
            message = f"estimator= names {name!r}, which is not a variable."
            report("unknown_variable", message, hint, name)
    for name, why in needs_donors(settings, structure, data, target).items():
        own = settings.estimator_of(name, target)
        if own not in DONATING:
            report(
                "needs_donors",
                f"{name!r} must copy values of observed rows ({why}), but estimator {own!r} draws "
                "new values.",
                f"Use {' or '.join(map(repr, DONATING))} for it, e.g. "
                f"estimator={{{target!r}: {own!r}}} for the target alone.",
                name,
            )
    return found


def needs_donors(
    settings: CausalDA, structure: Structure, data: MMMData, target: str
) -> dict[str, str]:
    """List the variables whose values must be copied from an observed row, with the reason."""
    result = dict.fromkeys(structure.channels, "a channel copies its weeks of carry-over")
    result[settings.season] = "the calendar is copied as a whole"
    for position, name in enumerate(structure.controls):
        if _is_binary(data.ds["controls"].values[..., position]):
            result[name] = "it is binary"
    whole = structure.spec.likelihood.link == "count"
    if whole and settings.estimator_of(target, target) != MODEL:
        result[target] = "counts are whole numbers"
    return result
