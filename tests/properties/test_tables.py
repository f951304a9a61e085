"""Tables, scales, lift tests and specifications: what goes in comes out."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmm_bayes as mb
from mmm_bayes.data import lift_tests
from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.data.scaling import fit_scaling
from mmm_bayes.model.priors import FAMILIES
from mmm_bayes.model.spec import MEDIA_PRIORS

QUICK = settings(max_examples=25, deadline=None, derandomize=True)

LABELS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=10)
NAMES = LABELS.filter(lambda text: bool(text.strip()))


@st.composite
def tables(draw: st.DrawFn) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A sound table with odd names, many scales and any kind of dates."""
    names = draw(st.lists(NAMES, min_size=7, max_size=7, unique_by=str.strip))
    date, target, geo, tv, search, cost, price = names
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    n, scale = draw(st.integers(14, 30)), 10.0 ** draw(st.integers(-9, 12))
    geos = draw(st.lists(NAMES.map(str.strip), min_size=1, max_size=3, unique=True))
    freq = draw(st.sampled_from(["D", "W-MON", "MS", "ME", "YS", "QS", "14D"]))
    days = pd.date_range("1990-01-01", periods=n, freq=freq)
    form = draw(st.sampled_from(["datetime", "iso", "int"]))
    written = {"datetime": days, "iso": days.strftime("%Y-%m-%d"),
               "int": days.strftime("%Y%m%d").astype(int)}[form]  # fmt: skip
    parts = []
    for name in geos:
        part = pd.DataFrame({date: written, geo: name})
        part[tv] = np.where(rng.random(n) < 0.3, 0.0, rng.gamma(1.0, scale, n))
        part[search] = rng.gamma(2.0, 7.0, n)
        part[cost] = part[tv] * 0.3 + scale * 0.01 * (part[tv] > 0)
        part[price] = rng.normal(0.0, scale, n)
        part[target] = rng.normal(50.0, 9.0, n) * scale
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    roles = {"date": date, "target": target, "geo": geo, "channels": {"tv": tv, search: search},
             "spend": {"tv": cost, search: None}, "controls": [price]}  # fmt: skip
    return frame, roles


def read(frame: pd.DataFrame, roles: dict[str, Any]) -> mb.MMMData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.errors.DataWarning)
        return mb.MMMData.from_dataframe(frame, **roles)


@QUICK
@given(tables(), st.randoms(use_true_random=False))
def test_order_of_rows_and_columns_is_free_and_tables_come_back(
    case: tuple[pd.DataFrame, dict[str, Any]], random: Any
) -> None:
    frame, roles = case
    data = read(frame, roles)
    rows, columns = list(range(len(frame))), list(frame.columns)
    random.shuffle(rows)
    random.shuffle(columns)
    assert read(frame.iloc[rows][columns], roles).equals(data)
    assert read(data.to_frame(), roles).equals(data)
    for name, values in data.ds.data_vars.items():
        assert np.isfinite(values.values).all(), name


@QUICK
@given(tables())
def test_scales_have_exact_inverses(case: tuple[pd.DataFrame, dict[str, Any]]) -> None:
    data = read(*case)
    ds, people = data.ds, data.ds["population"].values
    scaling = fit_scaling(data)
    for there, back, name in (
        (scaling.target, scaling.inverse_target, "target"),
        (scaling.media, scaling.inverse_media, "exposure"),
    ):
        values = ds[name].values
        size = np.abs(values).max()
        found = there(values, people)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(back(found, people), values, rtol=1e-12, atol=1e-13 * size)
    controls = ds["controls"].values
    found = scaling.controls(controls)
    assert np.abs(found).max() < 100
    np.testing.assert_allclose(
        scaling.inverse_controls(found), controls, rtol=1e-12, atol=1e-13 * np.abs(controls).max()
    )


NUMBERS = st.floats(1e-9, 1e9)


@st.composite
def experiments(draw: st.DrawFn) -> LiftTest:
    channels = draw(st.lists(LABELS, min_size=1, max_size=3, unique=True))
    start = pd.Timestamp("2020-01-01") + pd.Timedelta(days=draw(st.integers(0, 900)))
    end = start + pd.Timedelta(days=draw(st.integers(0, 60)))
    changes = draw(st.none() | st.lists(NUMBERS, min_size=len(channels), max_size=len(channels)))
    until = draw(st.none() | st.integers(0, 30))
    return LiftTest(
        channel=channels[0] if len(channels) == 1 else tuple(channels),
        start=start,
        end=end,
        lift=draw(NUMBERS),
        standard_error=draw(NUMBERS),
        geos=tuple(draw(st.lists(LABELS, max_size=3, unique=True))),
        spend_change=None if changes is None else tuple(changes),
        name=draw(LABELS),
        measured_until=None if until is None else end + pd.Timedelta(days=until),
        measure=draw(st.sampled_from(lift_tests.MEASURES)),
        recorded=changes is None or draw(st.booleans()),
    )


@QUICK
@given(st.lists(experiments(), max_size=3))
def test_lift_tests_come_back_from_text(tests: list[LiftTest]) -> None:
    text = lift_tests.to_json(tests)
    assert lift_tests.from_json(text) == tuple(tests)
    assert "NaN" not in json.dumps(json.loads(text))


POSITIVE = st.floats(1e-6, 1e6)
ANY = st.floats(-1e6, 1e6)


@st.composite
def priors(draw: st.DrawFn) -> dict[str, Any]:
    dist = draw(st.sampled_from(FAMILIES))
    low = draw(ANY)
    own: dict[str, dict[str, Any]] = {
        "beta": {"a": draw(POSITIVE), "b": draw(POSITIVE)},
        "gamma": {"concentration": draw(POSITIVE), "rate": draw(POSITIVE)},
        "inverse_gamma": {"concentration": draw(POSITIVE), "rate": draw(POSITIVE)},
        "exponential": {"rate": draw(POSITIVE)},
        "uniform": {"low": low, "high": low + draw(POSITIVE) + 1.0},
        "constant": {"value": draw(ANY)},
        "half_normal": {"scale": draw(POSITIVE)},
        "half_cauchy": {"scale": draw(POSITIVE)},
    }
    loc = {"loc": draw(ANY), "scale": draw(POSITIVE)}
    if dist == "student_t":
        loc["df"] = draw(POSITIVE)
    if dist == "truncated_normal":
        loc |= own["uniform"]
    return {"dist": dist, **own.get(dist, loc)}


@st.composite
def specs(draw: st.DrawFn) -> mb.ModelSpec:
    media_names = st.sampled_from(sorted(MEDIA_PRIORS))
    given_ = {
        "name": draw(LABELS),
        "description": draw(st.text(max_size=20)),
        "media": {
            "adstock": draw(st.sampled_from(["geometric", "delayed", "weibull_cdf", "none"])),
            "saturation": draw(st.sampled_from(["hill", "root", "tanh", "none"])),
            "max_lag": draw(st.integers(1, 400)),
            "normalise": draw(st.booleans()),
            "priors": draw(st.dictionaries(media_names, priors(), max_size=2)),
        },
        "channels": draw(
            st.dictionaries(
                LABELS,
                st.fixed_dictionaries(
                    {"priors": st.dictionaries(media_names, priors(), max_size=1)}
                ),
                max_size=2,
            )
        ),
        "intercept": draw(priors()),
        "trend": {"kind": draw(st.sampled_from(["none", "linear", "knots", "hsgp"]))},
        "seasonality": [
            {"period": period, "order": draw(st.integers(1, 50))}
            for period in draw(st.lists(st.floats(1.0, 1e4), max_size=2, unique=True))
        ],
        "events": [
            {"name": name, "dates": ["2024-01-01"], "yearly": draw(st.booleans())}
            for name in draw(st.lists(LABELS, max_size=2, unique=True))
        ],
        "controls": {"priors": draw(st.dictionaries(LABELS, priors(), max_size=2))},
        "sampler": {"num_samples": draw(st.integers(4, 10**6))},
    }
    return mb.ModelSpec.model_validate(given_)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(specs())
def test_any_specification_comes_back_from_toml(spec: mb.ModelSpec) -> None:
    back = mb.ModelSpec.from_toml(spec.to_toml() + "\n")
    assert back == spec
    assert hash(back) == hash(spec)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(priors())
def test_quantiles_of_priors_rise_and_stay_within(prior: dict[str, Any]) -> None:
    own = mb.PriorSpec.model_validate(prior)
    with np.errstate(over="ignore"):
        found = own.quantile(np.array([0.01, 0.25, 0.5, 0.75, 0.99]))
    assert not np.isnan(found).any()
    assert (found[1:] >= found[:-1]).all()
    if own.is_positive:
        assert (found >= 0).all()


# --- Tables that are barely tables ---------------------------------------------------------------


def degenerate(kind: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    rng = np.random.default_rng(0)
    n = 30
    frame = pd.DataFrame({"week": pd.date_range("2023-01-02", periods=n, freq="7D")})
    frame["tv"], frame["search"] = rng.gamma(2.0, 9.0, (2, n))
    frame["sales"] = 50 + frame["tv"] + rng.normal(0, 3, n)
    roles: dict[str, Any] = {"date": "week", "target": "sales", "channels": ["tv", "search"]}
    if kind == "one row a geo":
        frame["geo"], frame["week"] = [f"g{i}" for i in range(n)], frame["week"].iloc[0]
        roles["geo"] = "geo"
    elif kind == "constant target":
        frame["sales"] = 7.0
    elif kind == "channel of zeros":
        frame["tv"] = 0.0
    elif kind == "constant channel":
        frame["tv"] = 3.0
    elif kind == "identical channels":
        frame["search"] = 2.0 * frame["tv"]
    elif kind == "more columns than rows":
        frame = frame.iloc[:8]
        for k in range(9):
            frame = frame.assign(**{f"x{k}": rng.normal(size=8)})
        roles["controls"] = [f"x{k}" for k in range(9)]
    elif kind == "too large":
        frame["tv"] *= 1e40
    elif kind == "too small":
        frame["tv"] *= 1e-40
    elif kind == "one row":
        frame = frame.iloc[:1]
    return frame, roles


@pytest.mark.parametrize(
    ("kind", "check"),
    [("constant target", "constant_target"), ("channel of zeros", "zero_channel"),
     ("constant channel", "constant_channel"), ("identical channels", "same_series"),
     ("more columns than rows", "too_few_rows"), ("too large", "huge_value"),
     ("too small", "tiny_values"), ("one row", "too_few_rows")],
)  # fmt: skip
def test_what_no_model_can_learn_from_is_refused_with_the_remedy(kind: str, check: str) -> None:
    frame, roles = degenerate(kind)
    with pytest.raises(mb.errors.DataError) as caught:
        read(frame, roles)
    found = {finding.check: finding for finding in caught.value.findings}
    assert check in found
    assert found[check].remedy


def test_one_row_a_geo_is_refused_by_the_model() -> None:
    frame, roles = degenerate("one row a geo")
    data = read(frame, roles)
    with pytest.raises(mb.errors.ModelDataError, match="1 date"):
        mb.MMM(data, mb.ModelSpec(media={"max_lag": 1}))
