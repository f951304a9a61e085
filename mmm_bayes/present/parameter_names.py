"""Parameters in words, for figures that people read: ``alpha[tv]`` is "Carry-over of tv"."""

from __future__ import annotations

_WORDS = {
    "alpha": "Carry-over",
    "theta": "Peak of the effect (lag)",
    "shape": "Shape of the carry-over",
    "scale": "Scale of the carry-over",
    "beta": "Effect",
    "beta_geo": "Effect",
    "roas": "ROAS",
    "marginal_roas": "Marginal ROAS",
    "contribution_share": "Contribution share",
    "ec": "Half-saturation",
    "slope": "Steepness of saturation",
    "lam": "Saturation rate",
    "saturation_scale": "Scale of saturation",
    "exponent": "Exponent of saturation",
    "media_geo_scale": "Variation over geos",
    "control_coef": "Effect",
    "control_geo": "Effect",
    "control_geo_scale": "Variation over geos",
    "intercept": "Intercept",
    "intercept_geo": "Intercept",
    "intercept_geo_scale": "Variation of the intercept over geos",
    "trend_coef": "Trend",
    "seasonality_coef": "Season",
    "event_coef": "Effect",
    "sigma": "Noise",
    "rho": "Autocorrelation of the noise",
    "nu": "Tails of the noise (degrees of freedom)",
    "dispersion": "Dispersion of the noise",
}
_COUNTED = ("trend_coef", "seasonality_coef")


def parameter_label(name: str, place: str = "") -> str:
    """Write a parameter in words.

    Parameters
    ----------
    name
        Of the variable, as in the posterior; unknown ones keep their name.
    place
        Labels of its element, such as a channel.

    Examples
    --------
    >>> parameter_label("alpha", "tv"), parameter_label("sigma"), parameter_label("own", "x")
    ('Carry-over of tv', 'Noise', 'own[x]')
    """
    if name not in _WORDS:
        return f"{name}[{place}]" if place else name
    if not place:
        return _WORDS[name]
    return f"{_WORDS[name]}{': ' if name in _COUNTED else ' of '}{place}"
