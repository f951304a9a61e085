import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb

from mmm_bayes.data.time_step import TimeStep
from mmm_bayes.present.plots import style


def draws_of(values: np.ndarray) -> xr.DataArray:
    return xr.DataArray(
        values, dims=("chain", "draw", "channel"), coords={"channel": ["tv", "tv2"]}
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.05, "0.05"),
        (999, "999"),
        (999.6, "1k"),
        (1000, "1k"),
        (1234, "1.23k"),
        (-45_678, "-45.7k"),
        (999_999, "1M"),
        (123_456_789, "123M"),
        (2.5e9, "2.5bn"),
        (float("nan"), "n/a"),
    ],
)
def test_numbers_are_written_with_k_m_and_bn(value, text):
    assert style.compact(value) == text


def test_ticks_have_minus_signs():
    with style.canvas(3, 2) as figure:
        ax = figure.subplots()
        ax.set_ylim(-2e6, 2e6)
        style.compact_ticks(ax.yaxis)
        figure.canvas.draw()
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert "\N{MINUS SIGN}1M" in labels
    assert "1M" in labels


def test_central_interval_is_that_of_the_quantiles():
    values = np.random.default_rng(0).normal(size=(4, 250, 2))
    low, high = style.interval(draws_of(values), 0.8)
    flat = values.reshape(1000, 2)
    np.testing.assert_allclose(low, np.quantile(flat, 0.1, axis=0))
    np.testing.assert_allclose(high, np.quantile(flat, 0.9, axis=0))
    assert low.dims == ("channel",)


def test_shortest_interval_is_the_best_of_all_windows():
    values = np.random.default_rng(1).exponential(size=(2, 100, 2))
    low, high = style.interval(draws_of(values), 0.9, "hdi")
    for c in range(2):
        ordered = np.sort(values[..., c].ravel())
        widths = [(ordered[i + 180] - ordered[i], ordered[i]) for i in range(20)]
        width, start = min(widths)
        assert float(low[c]) == start
        np.testing.assert_allclose(float(high[c] - low[c]), width)
    # An exponential density falls from its start: its shortest interval begins there.
    assert float(low.max()) < 0.1


@pytest.mark.parametrize("ci_prob", [0.0, 1.0, 90])
def test_a_probability_outside_of_zero_and_one_is_refused(ci_prob):
    with pytest.raises(ValueError, match="between 0 and 1"):
        style.interval(draws_of(np.zeros((1, 4, 2))), ci_prob)


def test_an_unknown_kind_of_interval_is_refused():
    with pytest.raises(ValueError, match="'eti' or 'hdi'"):
        style.interval(draws_of(np.zeros((1, 4, 2))), 0.9, "credible")


def test_channels_keep_their_colours_and_all_differ():
    names = [f"channel_{i}" for i in range(25)]
    colours = style.channel_colours(names)
    assert len(set(colours.values())) == 25
    assert style.channel_colours(names[:3]) == {name: colours[name] for name in names[:3]}
    assert style.colours_for(["a"], {"a": "#123456"}) == {"a": "#123456"}


def test_neighbouring_colours_differ_in_luminance_or_hue_for_a_red_green_blind_eye():
    # Viénot, Brettel and Mollon (1999): deuteranopia as a projection of linear RGB.
    project = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    colours = list(style.channel_colours([str(i) for i in range(6)]).values())
    seen = [project @ np.power(to_rgb(c), 2.2) for c in colours]
    for i in range(6):
        for j in range(i):
            assert np.abs(seen[i] - seen[j]).max() > 0.08, (colours[i], colours[j])


def test_density_integrates_to_one_and_does_not_leak_over_a_bound():
    values = np.abs(np.random.default_rng(2).normal(size=4000))
    x, y = style.density(values)
    assert x[0] >= 0
    assert np.trapezoid(y, x) == pytest.approx(1.0, abs=0.02)
    # The half-normal density at zero, which an unreflected estimate halves.
    assert y[0] == pytest.approx(np.sqrt(2 / np.pi), rel=0.12)


def test_density_of_a_part_of_the_range_keeps_its_height():
    values = np.random.default_rng(3).normal(size=20_000)
    x, y = style.density(values, np.array([-1.0, 1.0]))
    assert np.trapezoid(y, x) == pytest.approx(0.6827, abs=0.02)


def test_density_of_a_constant_is_a_spike():
    x, y = style.density(np.full(10, 3.0))
    assert list(x) == [3.0, 3.0]
    assert list(y) == [0.0, 1.0]


def test_thinning_keeps_ends_and_chains():
    array = xr.DataArray(np.arange(4000).reshape(4, 1000), dims=("chain", "draw"))
    thinned = style.thin(array, 100)
    assert thinned.shape == (4, 25)
    assert thinned[0, 0] == 0
    assert thinned[-1, -1] == 3999
    assert style.thin(array, 10_000) is array


def test_a_figure_leaves_the_settings_alone_and_is_not_kept_open():
    before, open_before = dict(mpl.rcParams), plt.get_fignums()
    with style.canvas(3, 2) as figure:
        figure.subplots().plot([1, 2])
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == open_before


def test_a_figure_that_fails_is_not_kept_open():
    before = plt.get_fignums()
    with pytest.raises(KeyError), style.canvas(3, 2):
        raise KeyError
    assert plt.get_fignums() == before


@pytest.mark.parametrize(
    ("step", "word"),
    [
        (TimeStep("day", 7, "W-MON"), "week"),
        (TimeStep("month", 12, "YS"), "year"),
        (TimeStep("month_end", 1, "ME"), "month"),
        (TimeStep("day", 14, "14D"), "period"),
        (None, "period"),
    ],
)
def test_periods_have_names(step, word):
    assert style.period_name(step) == word
