"""Scales on which a model is fitted, with their exact inverses."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np

from mmm_bayes.data.media_scale import media_scale
from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.findings import listing

Link = Literal["identity", "log", "count"]


class Scaling(NamedTuple):
    """Scales fitted on training data and applied to any data with the same columns.

    Attributes
    ----------
    link : {"identity", "log", "count"}
        How the target relates to the linear predictor.
    media_scale : array of shape (channel,)
        Mean of positive exposures per head, in media units (see `media_scale` for channels that are
        not on yet).
    target_center, target_scale : float
        Mean and standard deviation over all geos and dates of the target per head
        (``"identity"``) or of its logarithm (``"log"``); 0 and 1 for ``"count"``.
    control_center, control_scale : array of shape (control,)
        Mean and standard deviation; 0 and 1 for controls whose values are all 0 or 1.
    """

    link: Link
    media_scale: np.ndarray
    target_center: float
    target_scale: float
    control_center: np.ndarray
    control_scale: np.ndarray

    def media(self, exposure: np.ndarray, population: np.ndarray) -> np.ndarray:
        r"""Return :math:`x_{gtc} / (n_g s_c)`.

        Parameters
        ----------
        exposure : array of shape (..., geo, date, channel)
            Media units.
        population : array of shape (geo,)
            Heads :math:`n_g`.
        """
        return exposure / (population[:, None, None] * self.media_scale)

    def inverse_media(self, scaled: np.ndarray, population: np.ndarray) -> np.ndarray:
        """Invert `media`."""
        return scaled * (population[:, None, None] * self.media_scale)

    def controls(self, controls: np.ndarray) -> np.ndarray:
        """Return standardised controls of shape (..., control)."""
        return (controls - self.control_center) / self.control_scale

    def inverse_controls(self, scaled: np.ndarray) -> np.ndarray:
        """Invert `controls`."""
        return scaled * self.control_scale + self.control_center

    def target(self, target: np.ndarray, population: np.ndarray) -> np.ndarray:
        """Return the target of shape (..., geo, date) on the scale of the linear predictor.

        Raises
        ------
        ValueError
            For the log link, if a target is not positive.
        """
        if self.link == "count":
            return np.asarray(target, dtype="float64")
        values = target / population[:, None]
        if self.link == "log":
            _require_positive(target)
            values = np.log(values)
        return (values - self.target_center) / self.target_scale

    def inverse_target(self, scaled: np.ndarray, population: np.ndarray) -> np.ndarray:
        """Invert `target`; leading dimensions (chain, draw) pass through."""
        if self.link == "count":
            return np.asarray(scaled, dtype="float64")
        values = scaled * self.target_scale + self.target_center
        if self.link == "log":
            values = np.exp(values)
        return values * population[:, None]

    def inverse_effect(self, scaled: np.ndarray, population: np.ndarray) -> np.ndarray:
        """Convert a difference of scaled targets (geo, date) to the units of the table.

        Defined for the identity link, where effects are additive; for other links compare two calls
        of `inverse_target`.
        """
        if self.link != "identity":
            raise ValueError(
                f"Effects are additive only with the identity link, but the link is {self.link!r}. "
                "Subtract two results of inverse_target instead."
            )
        return scaled * self.target_scale * population[:, None]


def fit_scaling(data: MMMData, link: Link = "identity") -> Scaling:
    """Fit scales on training data.

    Parameters
    ----------
    data : MMMData
        Data whose target is known.
    link : {"identity", "log", "count"}
        ``"log"`` for multiplicative models of a positive target, ``"count"`` for Poisson and
        negative binomial ones, whose target stays as it is.

    Raises
    ------
    ValueError
        If the target is unknown, not positive (log link), or not a whole number of 0 or more (count
        link).
    """
    if link not in get_args(Link):
        raise ValueError(f"link should be one of {get_args(Link)}, but is {link!r}.")
    if not data.has_target:
        raise ValueError(
            "Scales need a known target, but some targets are empty. Fit the scales on training "
            "data."
        )
    ds = data.ds
    population, target = ds["population"].values, ds["target"].values
    center, scale = 0.0, 1.0
    if link == "count":
        _require_counts(target)
    else:
        values = target / population[:, None]
        if link == "log":
            _require_positive(target)
            values = np.log(values)
        center, scale = float(values.mean()), _sd(values)
    controls = ds["controls"].values
    binary = np.isin(controls, (0.0, 1.0)).all((0, 1))
    control_center = np.where(binary, 0.0, controls.mean((0, 1)))
    sds = np.array([_sd(controls[..., k]) for k in range(controls.shape[-1])])
    return Scaling(link, media_scale(ds), center, scale, control_center, np.where(binary, 1.0, sds))


def _sd(values: np.ndarray) -> float:
    sd = float(values.std())
    return sd if sd > 0 else 1.0


def _require_positive(target: np.ndarray) -> None:
    if not (target > 0).all():
        raise ValueError(
            f"A log link needs a target above 0, but {int((~(target > 0)).sum())} value(s) are not "
            f"(the smallest is {np.min(target):g}). Use a normal, Student-t or count likelihood."
        )


def _require_counts(target: np.ndarray) -> None:
    odd = target[(target < 0) | (target % 1 != 0)]
    if odd.size:
        raise ValueError(
            "A count likelihood needs whole numbers of 0 or more, but "
            f"{odd.size} value(s) are not ({listing(f'{v:g}' for v in odd)}). Use a normal or "
            "log-normal likelihood."
        )
