"""The fixed part of a model, and the arrays that its compiled programs take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mmm_bayes.model import baseline, media
from mmm_bayes.model.media import EffectReference, MediaStructure
from mmm_bayes.model.spec import ModelSpec


@dataclass(frozen=True)
class Structure:
    """The fixed part of a model once the columns of its data are known; hashable."""

    spec: ModelSpec
    channels: tuple[str, ...]
    controls: tuple[str, ...]
    num_geos: int
    terms: tuple[baseline.Term, ...]
    media: MediaStructure
    has_tests: bool = False

    @property
    def is_geo(self) -> bool:
        """Whether there is a hierarchy over geos."""
        return self.num_geos > 1

    @property
    def geo_columns(self) -> tuple[int, ...]:
        """Design columns whose coefficients differ by geo: the intercept, and controls if asked."""
        if not self.is_geo:
            return ()
        width = sum(term.width for term in self.terms)
        pooled = self.spec.geo.controls == "pooled"
        return (0,) if pooled else (0, *range(width - len(self.controls), width))

    @property
    def geo_media(self) -> str:
        """How media coefficients differ by geo."""
        return self.spec.geo.media if self.is_geo else "pooled"

    @property
    def is_marginal(self) -> bool:
        """Whether the model has a linear block that can be integrated out."""
        return self.spec.likelihood.is_gaussian and any(term.is_normal for term in self.terms)

    @property
    def is_rotated(self) -> bool:
        """Whether the linear block has fixed prior scales and no geo columns."""
        return not self.is_geo and not any(term.scaled_by_process for term in self.terms)

    def integrates_media(self, marginal: bool) -> bool:
        """Whether normal geo differences of the media coefficients are integrated out too.

        With lift tests this needs the identity link: their outcome must be linear in them.
        """
        linear = not self.has_tests or self.spec.likelihood.link == "identity"
        return marginal and self.is_marginal and self.geo_media == "normal" and linear

    def transports_media(self, marginal: bool) -> bool:
        """Whether log-normal geo differences are sampled around their linearised conditional."""
        return marginal and self.is_marginal and self.geo_media == "log_normal"

    def columns(self, normal: bool) -> np.ndarray[Any, Any]:
        """Return positions of the design columns of terms with (or without) normal priors."""
        flags = [term.is_normal for term in self.terms for _ in range(term.width)]
        return np.flatnonzero(np.array(flags) == normal)


class ModelArrays(NamedTuple):
    """The data of a model as arrays, time innermost: arguments of the compiled programs.

    Attributes
    ----------
    media
        Lag tensor (channel, geo, lag, time), or exposure with history where saturation is first.
    design
        Baseline columns (geo, time, column).
    target
        Scaled target (geo, time).
    log_offset
        Logarithm of the expected count at ``eta = 0`` (geo, time); zeros for other likelihoods.
    reference
        Totals that priors on ROAS and contribution shares refer to.
    block
        Prepared linear-Gaussian block, or ``None``. Likelihood weights are built in.
    experiments
        Lift tests (:class:`~mmm_bayes.model.calibration.Experiments`), or ``None``.
    likelihood_weight
        Factor (geo, time) of each row's log likelihood, 0 or more, or ``None`` if all are 1.
        NumPyro accepts zeros only if arrays are traced, as in every compiled program here.
    """

    media: Any
    design: Any
    target: Any
    log_offset: Any
    reference: EffectReference
    block: Any
    likelihood_weight: Any = None
    experiments: Any = None


def structure_of(
    spec: ModelSpec,
    channels: Sequence[str],
    controls: Sequence[str],
    num_geos: int,
    has_tests: bool = False,
) -> Structure:
    """Combine a specification with the columns of a table, and whether there are lift tests."""
    return Structure(
        spec=spec,
        channels=tuple(channels),
        controls=tuple(controls),
        num_geos=num_geos,
        terms=baseline.terms_of(spec, tuple(controls)),
        media=media.media_structure(spec, tuple(channels)),
        has_tests=has_tests,
    )
