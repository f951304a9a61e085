"""Lift tests: refusals, tables of tests, and tests in simulated worlds."""

from __future__ import annotations

import jax
import numpy as np
import pandas as pd
import pytest

import mmm_bayes as mb
from mmm_bayes.data.lift_exposure import as_weighted_sum, place_tests
from mmm_bayes.data.lift_tests import from_json, to_json
from mmm_bayes.runtime.findings import DataError
from mmm_bayes.runtime.streams import seed_in_words

SPAN = "2024-03-04", "2024-03-31"


def test_everything_wrong_with_a_test_is_reported():
    with pytest.raises(DataError) as caught:
        mb.LiftTest(
            ("tv", "tv"), *SPAN, np.inf, -1.0, spend_change=(1.0,), measured_until="2024-03-10",
            measure="uplift",
        )  # fmt: skip
    text = str(caught.value)
    for words in ("tv, tv", "2024-03-10", "inf", "-1.0", "'uplift'", "1 number"):
        assert words in text, words
    assert len(caught.value.findings) == 6
    with pytest.raises(DataError, match=r"cost per target.*-2\.0"):
        mb.LiftTest.of_cost_per_target("tv", *SPAN, -2.0, 1.0)
    with pytest.raises(DataError, match=r"spend_change.*ROAS"):
        mb.LiftTest.of_roas(("tv", "radio"), *SPAN, 1.0, 1.0, spend_change=(5.0, -5.0))
    with pytest.raises(DataError, match=r"recorded=False"):
        mb.LiftTest("tv", *SPAN, 1.0, 1.0, recorded=False)


def test_json_round_trip():
    tests = (
        mb.LiftTest(("tv", "radio"), *SPAN, 5.0, 1.0, geos=("a",), spend_change=(3.0, 4.0),
                    measured_until="2024-04-14", recorded=False, name="both"),
        mb.LiftTest.of_roas("tv", *SPAN, 1.5, 0.2),
    )  # fmt: skip
    assert from_json(to_json(tests)) == tests


def test_a_table_holds_every_kind_of_test():
    frame = pd.DataFrame(
        {
            "channel": ["tv|radio", "tv"], "start": SPAN[0], "end": SPAN[1],
            "lift": [5.0, 1.5], "standard_error": [1.0, 0.2], "spend_change": ["3|4", None],
            "measured_until": ["2024-04-14", None], "measure": [None, "roas"],
            "recorded": ["no", None],
        }
    )  # fmt: skip
    both, roas = mb.read_lift_tests(frame)
    assert (both.channels, both.changes, both.recorded) == (("tv", "radio"), (3.0, 4.0), False)
    assert both.until == pd.Timestamp("2024-04-14")
    assert (roas.measure, roas.recorded, roas.until) == ("roas", True, pd.Timestamp(SPAN[1]))
    with pytest.raises(DataError, match="'perhaps'"):
        mb.read_lift_tests(frame.assign(recorded="perhaps"))


@pytest.fixture(scope="module")
def world():
    return mb.simulate.mmm(
        jax.random.key(2), num_dates=60, num_geos=4, num_channels=3, correlation=0.9
    )


def test_a_test_in_a_world_changes_what_it_should(world):
    data, name = world.data, world.data.channels[1]
    own = tuple(data.geos[:2])
    run = mb.simulate.lift_test(
        jax.random.key(0), world, name, start=data.dates[30], end=data.dates[33], geos=own,
        factor=0.0, measured_until=data.dates[45], relative_error=1e-9,
    )  # fmt: skip
    spend = run.data.ds["spend"].sel(channel=name)
    assert (spend.values[:2, 30:34] == 0).all()
    np.testing.assert_array_equal(spend.values[2:], data.ds["spend"].sel(channel=name).values[2:])
    moved = (run.data.ds["target"] - data.ds["target"]).values
    scale = float(data.ds["target"].max())
    assert np.abs(moved[2:]).max() < 1e-12 * scale
    assert np.abs(moved[:, :30]).max() < 1e-12 * scale
    # The kernel has 13 weeks: the whole loss is measured by the 45th.
    assert run.true_lift == pytest.approx(moved.sum())
    assert run.test.lift == pytest.approx(run.true_lift, rel=1e-7)
    assert run.test.spend_change == pytest.approx(
        -float(data.ds["spend"].sel(channel=name).values[:2, 30:34].sum())
    )
    np.testing.assert_allclose(
        run.truth["contribution"].sel(channel=data.channels[0]),
        world.truth["contribution"].sel(channel=data.channels[0]), rtol=1e-12,
    )  # fmt: skip
    lost = world.truth["contribution"].sel(channel=name) - run.truth["contribution"].sel(
        channel=name
    )
    assert float(lost.sum()) == pytest.approx(-run.true_lift)


def test_wrong_tests_in_a_world(world):
    dates = world.data.dates
    with pytest.raises(DataError) as caught:
        mb.simulate.lift_test(
            jax.random.key(0), world, "telly", start=dates[0], end=dates[1], factor=1.0
        )
    assert len(caught.value.findings) == 2


def test_correlation_is_shared_over_time_and_geos(world):
    ds = world.data.ds
    per_head = ds["exposure"].values / ds["population"].values[:, None, None]
    found = np.corrcoef(np.log(per_head).reshape(-1, 3).T)
    assert found[np.triu_indices(3, 1)].min() > 0.8
    with pytest.raises(ValueError, match="correlation"):
        mb.simulate.mmm(jax.random.key(0), correlation=1.0)


def test_measures_are_sums_over_rows(world):
    data, name = world.data, world.data.channels[0]
    span = data.dates[10], data.dates[13]
    lift, roas, cost = place_tests(
        data,
        [
            mb.LiftTest(name, *span, 10.0, 2.0),
            mb.LiftTest.of_roas(name, *span, 1.5, 0.5),
            mb.LiftTest.of_cost_per_target(name, *span, 4.0, 0.8),
        ],
    )
    spent = float(data.ds["spend"].sel(channel=name).values[:, 10:14].sum())
    weight, value, error = as_weighted_sum(data, lift)
    assert (weight.sum(), value, error) == (16.0, 10.0, 2.0)
    weight, value, error = as_weighted_sum(data, roas)
    assert weight.sum() == pytest.approx(16.0 / spent)
    weight, value, error = as_weighted_sum(data, cost)
    assert (value, error) == pytest.approx((0.25, 0.05))


def test_seed_in_words():
    assert seed_in_words(jax.random.key(7)) == "jax.random.key(7)"
    assert seed_in_words(jax.random.split(jax.random.key(7))[0]).startswith("[")
