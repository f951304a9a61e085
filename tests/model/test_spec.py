"""Model files: read, written, refused with every reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mmm_bayes import MMM, MMMData, ModelSpec, PriorSpec
from mmm_bayes.errors import ModelDataError, ModelSpecError
from mmm_bayes.model.priors import FAMILIES
from mmm_bayes.model.spec import MEDIA_PRIORS

EVERYTHING = """
name = "everything"
description = "Every section, nothing at its default."

[data]
file = "sales.csv"
date = "week"
target = "revenue"
channels = ["tv", "search"]
controls = ["price"]

[media]
adstock = "delayed"
saturation = "logistic"
max_lag = 12
normalise = false
order = "saturation_first"
effect = "roas"
[media.priors]
alpha = { dist = "uniform", low = 0.1, high = 0.9 }
roas = { dist = "log_normal", loc = 0.5, scale = 0.4 }

[channels.tv]
adstock = "weibull_pdf"
saturation = "hill"
effect = "contribution_share"
[channels.tv.priors]
slope = { dist = "constant", value = 1.0 }

[intercept]
dist = "student_t"
df = 4.0
loc = 0.5
scale = 2.0

[trend]
kind = "hsgp"
n_basis = 7
amplitude = { dist = "half_normal", scale = 0.3 }

[[seasonality]]
period = "year"
order = 3

[[seasonality]]
period = 30.5
order = 1
scale = 0.2

[[events]]
name = "sale"
dates = ["2023-11-24"]
days_before = 2
yearly = true
prior = { dist = "normal", loc = 0.5, scale = 0.5 }

[controls]
prior = { dist = "laplace", scale = 0.4 }
[controls.priors]
price = { dist = "normal", loc = -0.3, scale = 0.3 }

[likelihood]
family = "student_t"
sigma = { dist = "half_cauchy", scale = 0.5 }

[geo]
media = "log_normal"
controls = "pooled"

[sampler]
num_samples = 300
num_chains = 2
"""


def test_every_section_comes_back_from_toml(tmp_path: Path) -> None:
    spec = ModelSpec.from_toml(EVERYTHING)
    written = {field for field in ModelSpec.model_fields if field not in spec.model_fields_set}
    assert written == set(), "the text above should name every section"
    assert ModelSpec.from_toml(spec.to_toml()) == spec
    path = tmp_path / "model.toml"
    spec.to_toml(path)
    assert ModelSpec.from_toml(path) == spec
    assert hash(ModelSpec.from_toml(path)) == hash(spec)
    assert spec.channel_transforms("tv") == ("weibull_pdf", "hill", "contribution_share")
    assert spec.channel_transforms("search") == ("delayed", "logistic", "roas")
    assert spec.media_prior("tv", "slope").median == 1.0
    assert spec.media_prior("search", "slope") == MEDIA_PRIORS["slope"]
    assert spec.media_prior("search", "alpha").dist == "uniform"
    assert spec.control_prior("price").loc == -0.3
    assert spec.control_prior("rain").dist == "laplace"


def test_defaults_are_an_empty_file() -> None:
    assert ModelSpec().to_toml() == ""
    assert ModelSpec.from_toml("") == ModelSpec()


def test_specs_are_frozen_and_evolve_checked() -> None:
    spec = ModelSpec()
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "other"  # type: ignore[misc]
    assert spec.evolve(name="other").name == "other"
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        spec.evolve(media={"max_lag": 0})


UNKNOWN = {
    "top level": ("traend = 1", "trend"),
    "media": ("[media]\nadstok = 'delayed'", "adstock"),
    "media.priors": ("[media.priors]\nalhpa = { dist = 'beta', a = 1, b = 1 }", "alpha"),
    "channels.tv": ("[channels.tv]\nsaturaton = 'hill'", "saturation"),
    "channels.tv.priors": ("[channels.tv.priors]\nslop = { dist='constant', value=1 }", "slope"),
    "prior": ("[media.priors]\nalpha = { dist = 'beta', a = 1, b = 1, lo = 0 }", "low"),
    "intercept": ("[intercept]\ndist = 'normal'\nscal = 1", "scale"),
    "trend": ("[trend]\nknots = 3", "n_knots"),
    "seasonality": ("[[seasonality]]\nordr = 3", "order"),
    "events": ("[[events]]\nname='x'\ndates=['2023-01-01']\nday_before=1", "days_before"),
    "controls": ("[controls]\npriorss = {}", "priors"),
    "likelihood": ("[likelihood]\nfamly = 'normal'", "family"),
    "geo": ("[geo]\nmedias = 'pooled'", "media"),
    "sampler": ("[sampler]\nnum_sample = 3", "num_samples"),
    "data": ("[data]\ndatset = 'x'", "dataset"),
}


@pytest.mark.parametrize("place", UNKNOWN)
def test_unknown_keys_are_refused_with_the_nearest_name(place: str) -> None:
    text, wanted = UNKNOWN[place]
    with pytest.raises(ModelSpecError) as caught:
        ModelSpec.from_toml(text + "\n")
    assert f"'{wanted}'" in str(caught.value)


def test_all_problems_are_reported_at_once() -> None:
    text = """
        [media]
        adstock = "geometrical"
        max_lag = 0
        [trend]
        kind = "line"
        [intercept]
        dist = "normal"
        loc = 0.0
        [[seasonality]]
        order = 0
    """
    with pytest.raises(ModelSpecError) as caught:
        ModelSpec.from_toml(text)
    message = str(caught.value)
    assert len(caught.value.findings) == 5
    for part in (
        "media.adstock",
        "media.max_lag",
        "trend.kind",
        "intercept",
        "seasonality.0.order",
    ):
        assert f"[{part}]" in message
    assert "'geometrical'" in message
    assert "missing: scale" in message


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ({"dist": "beta", "a": 1.0}, "missing: b"),
        ({"dist": "half_normal", "scale": 1.0, "loc": 2.0}, "not accepted: loc"),
        ({"dist": "half_normal", "scale": -1.0}, r"scale of a half_normal.*-1\.0"),
        ({"dist": "normal", "scale": float("inf")}, "scale of a normal.*inf"),
        ({"dist": "uniform", "low": 1.0, "high": 0.0}, r"low.*high.*1\.0.*0\.0"),
        ({"dist": "gausian", "scale": 1.0}, "normal"),
    ],
)
def test_priors_are_checked_when_made(prior: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PriorSpec(**prior)


PRIORS: dict[str, tuple[dict[str, float], Any]] = {
    "normal": ({"loc": 1.0, "scale": 2.0}, stats.norm(1.0, 2.0)),
    "half_normal": ({"scale": 2.0}, stats.halfnorm(scale=2.0)),
    "log_normal": ({"loc": 0.5, "scale": 0.7}, stats.lognorm(0.7, scale=np.exp(0.5))),
    "beta": ({"a": 2.0, "b": 3.0}, stats.beta(2.0, 3.0)),
    "gamma": ({"concentration": 2.0, "rate": 3.0}, stats.gamma(2.0, scale=1 / 3.0)),
    "inverse_gamma": ({"concentration": 5.0, "rate": 2.0}, stats.invgamma(5.0, scale=2.0)),
    "exponential": ({"rate": 2.0}, stats.expon(scale=0.5)),
    "uniform": ({"low": -1.0, "high": 3.0}, stats.uniform(-1.0, 4.0)),
    "truncated_normal": (
        {"loc": 0.5, "scale": 2.0, "low": 0.0, "high": 1.5},
        stats.truncnorm(-0.25, 0.5, 0.5, 2.0),
    ),
    "student_t": ({"df": 4.0, "loc": 1.0, "scale": 2.0}, stats.t(4.0, 1.0, 2.0)),
    "half_cauchy": ({"scale": 2.0}, stats.halfcauchy(scale=2.0)),
    "laplace": ({"loc": 1.0, "scale": 2.0}, stats.laplace(1.0, 2.0)),
}


def test_every_family_of_priors_is_checked_below() -> None:
    assert set(PRIORS) | {"constant"} == set(FAMILIES)


@pytest.mark.parametrize("family", PRIORS)
def test_priors_are_those_of_scipy(family: str) -> None:
    from mmm_bayes.model.priors import distribution

    parameters, wanted = PRIORS[family]
    prior = PriorSpec(dist=family, **parameters)
    u = np.linspace(0.01, 0.99, 9)
    np.testing.assert_allclose(prior.quantile(u), wanted.ppf(u), rtol=1e-9)
    assert prior.is_positive == (wanted.support()[0] >= 0)
    # NumPyro's density is that of SciPy, in single precision.
    x = wanted.ppf(u)
    found = np.asarray(distribution([prior]).log_prob(x), float)
    np.testing.assert_allclose(found, wanted.logpdf(x), rtol=2e-5, atol=2e-5)


@given(st.floats(-50, 50), st.floats(0.01, 50), st.floats(0.1, 10))
@settings(max_examples=30, deadline=None)
def test_scaled_priors_are_those_of_the_scaled_quantity(
    loc: float, scale: float, factor: float
) -> None:
    prior = PriorSpec(dist="normal", loc=loc, scale=scale)
    u = np.array([0.1, 0.5, 0.8])
    np.testing.assert_allclose(
        prior.scaled(factor).quantile(u), factor * prior.quantile(u), rtol=1e-9, atol=1e-9
    )


def test_a_missing_file_names_others_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "weekly.toml").write_text("")
    with pytest.raises(FileNotFoundError, match=r"weakly\.toml.*weekly\.toml"):
        ModelSpec.from_toml(tmp_path / "weakly.toml")


def test_broken_toml_says_where(tmp_path: Path) -> None:
    path = tmp_path / "model.toml"
    path.write_text("[media\nmax_lag = 3")
    with pytest.raises(ModelSpecError, match=r"model\.toml:\n.*line 1"):
        ModelSpec.from_toml(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[seasonality]]\nperiod='year'\n[[seasonality]]\nperiod=365.25", r"\[365\.25\]"),
        (
            "[[events]]\nname='a'\ndates=['2023-01-01']\n[[events]]\nname='a'\ndates=['2023-02-01']",
            r"event name.*\['a'\]",
        ),
    ],
)
def test_names_and_periods_are_distinct(text: str, message: str) -> None:
    with pytest.raises(ModelSpecError, match=message):
        ModelSpec.from_toml(text + "\n")


Change = Callable[[MMMData], MMMData]


def _with_target(change: Callable[[np.ndarray], np.ndarray]) -> Change:
    def run(data: MMMData) -> MMMData:
        target = data.ds["target"]
        return MMMData(data.ds.assign(target=target.copy(data=change(target.values.copy()))))

    return run


def _same(data: MMMData) -> MMMData:
    return data


def _silent(data: MMMData) -> MMMData:
    return data.with_spend("tv", scale=0.0)


MISFITS: dict[str, tuple[dict[str, Any], Change, list[tuple[str, str]]]] = {
    "names": (
        {"channels": {"tvv": {}},
         "controls": {"priors": {"prize": {"dist": "normal", "scale": 1}}}},
        _same,
        [("unknown_channel", "'tv'"), ("unknown_control", "'price'")],
    ),
    "no spend for a ROAS": (
        {"media": {"effect": "roas"}},
        _silent,
        [("roas_without_spend", "channels.tv.effect"), ("never_on", "tv")],
    ),
    "negative scales": (
        {"likelihood": {"sigma": {"dist": "normal", "scale": 1.0}},
         "media": {"priors": {"ec": {"dist": "normal", "scale": 1.0}}}},
        _same,
        [("prior_not_positive", "likelihood.sigma"), ("prior_not_positive", "media.priors.ec")],
    ),
    "retention above one": (
        {"media": {"priors": {"alpha": {"dist": "half_normal", "scale": 1.0}}}},
        _same,
        [("prior_outside_unit_interval", "media.priors.alpha")],
    ),
    "logarithm of a negative target": (
        {"likelihood": {"family": "log_normal"}},
        _with_target(lambda y: y - y.max()),
        [("target_not_positive", "104 value")],
    ),
    "counts that are not": (
        {"likelihood": {"family": "poisson"}},
        _with_target(lambda y: y + 0.5),
        [("target_not_a_count", "poisson")],
    ),
    "empty target": (
        {},
        _with_target(lambda y: np.where(np.arange(y.shape[-1]) == 3, np.nan, y)),
        [("empty_target", "target")],
    ),
    "season too fine": (
        {"seasonality": [{"period": "month", "order": 3}, {"period": "week", "order": 1}]},
        _same,
        [("seasonality_too_fine", "Lower the order to 2."), ("seasonality_too_fine", "week")],
    ),
    "lags beyond the data": (
        {"media": {"max_lag": 300}},
        _same,
        [("max_lag", "104")],
    ),
    "event outside": (
        {"events": [{"name": "fair", "dates": ["2030-05-01"]},
                    {"name": "odd", "dates": ["first of May"]}]},
        _same,
        [("event_outside", "'fair'"), ("event_date", "'odd'")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISFITS)
def test_models_that_do_not_fit_the_data_are_refused_with_every_reason(
    national_data: MMMData, case: str
) -> None:
    spec, change, expected = MISFITS[case]
    with pytest.raises(ModelDataError) as caught:
        MMM(change(national_data), ModelSpec(**spec))
    found = caught.value.findings
    assert [finding.check for finding in found] == [check for check, _ in expected]
    for finding, (_, words) in zip(found, expected, strict=True):
        assert words in str(finding)


def test_yearly_events_come_back_every_year(national_data: MMMData) -> None:
    from mmm_bayes.model.baseline import event_indicator

    spec = ModelSpec(
        events=[{"name": "sale", "dates": ["2000-11-24"], "yearly": True, "days_before": 7}]
    )
    found = event_indicator(spec.events[0], national_data.periods)
    hit = national_data.dates[found > 0]
    # Weeks begin on Mondays: 17-24 November lies in two weeks of each year.
    assert [f"{date:%Y-%m-%d}" for date in hit] == [
        "2022-11-14", "2022-11-21", "2023-11-13", "2023-11-20",
    ]  # fmt: skip
