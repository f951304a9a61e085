"""Figures of arrays made by hand: what is drawn is what was given."""

import io

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure

from mmm_bayes.present import plots
from mmm_bayes.present.plots import style

CHANNELS = ["tv", "us$_search"]
DATES = pd.date_range("2023-01-02", periods=40, freq="W-MON")
RNG = np.random.default_rng(0)


def render(figure: Figure) -> Figure:
    """Draw a figure in full: layout warnings are errors here."""
    assert isinstance(figure, Figure)
    figure.savefig(io.BytesIO(), format="png")
    return figure


def words(figure: Figure) -> str:
    """All text of a figure."""
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))


def per_channel(*shape: int, dims: tuple[str, ...] = ()) -> xr.DataArray:
    values = RNG.gamma(4.0, 0.5, (2, 50, 2, *shape))
    return xr.DataArray(
        values, dims=("chain", "draw", "channel", *dims), coords={"channel": CHANNELS}
    )


def outcomes(geos: int) -> tuple[xr.DataArray, xr.DataArray]:
    coords = {"geo": [f"g{i}" for i in range(geos)], "date": DATES}
    observed = xr.DataArray(RNG.normal(1e6, 1e5, (geos, 40)), coords, ("geo", "date"))
    observed = observed * xr.DataArray(np.arange(1, geos + 1), dims="geo")
    noise = RNG.normal(1.0, 0.1, (2, 50, geos, 40))
    replicated = observed * xr.DataArray(noise, dims=("chain", "draw", "geo", "date"))
    return observed, replicated.transpose("chain", "draw", "geo", "date")


def components() -> xr.DataArray:
    names = ["intercept", "price", *CHANNELS]
    values = RNG.gamma(4.0, 1e4, (2, 50, 4, 40))
    return xr.DataArray(
        values,
        dims=("chain", "draw", "component", "date"),
        coords={
            "component": names,
            "kind": ("component", ["baseline", "control", "media", "media"]),
            "date": DATES,
        },
    )


@pytest.mark.parametrize("draw", [plots.plot_fit, plots.plot_prior_predictive])
def test_a_national_fit_shows_mean_band_and_points(draw):
    observed, replicated = outcomes(1)
    figure = render(draw(observed, replicated, target="sales", period="week", ci_prob=0.8))
    (ax,) = figure.axes
    mean, points = ax.lines
    np.testing.assert_allclose(mean.get_ydata(), replicated.mean(("chain", "draw"))[0])
    np.testing.assert_allclose(points.get_ydata(), observed[0])
    assert "80% predictive interval" in words(figure)
    assert ax.get_ylabel() == "sales per week"
    assert "1M" in [tick.get_text() for tick in ax.get_yticklabels()]


def test_a_geo_fit_shows_the_total_and_the_largest_geos():
    observed, replicated = outcomes(15)
    figure = render(plots.plot_fit(observed, replicated, max_geos=4))
    total, *small = figure.axes
    assert [ax.get_title(loc="left") for ax in small] == ["g11", "g12", "g13", "g14"]
    np.testing.assert_allclose(total.lines[1].get_ydata(), observed.sum("geo"))
    assert "the 4 largest of 15 geos" in words(figure)


def test_residuals_show_their_autocorrelation():
    observed, _ = outcomes(1)
    residual = np.cos(np.arange(40) * np.pi)  # alternates: autocorrelation of lag 1 is -39/40
    figure = render(plots.plot_residuals(observed, observed - residual))
    over, lagged, _ = figure.axes
    np.testing.assert_allclose(over.lines[-1].get_ydata(), residual)
    heights = [segment[1, 1] for segment in lagged.collections[-1].get_segments()]
    np.testing.assert_allclose(heights[:2], [-39 / 40, 38 / 40])


def test_perfect_fit_has_residuals_that_can_be_drawn():
    observed, _ = outcomes(1)
    figure = render(plots.plot_residuals(observed, observed))
    assert figure.axes[0].get_title(loc="left") or figure.axes[0].get_ylabel()


def test_contributions_stack_up_to_the_mean():
    given = components()
    figure = render(
        plots.plot_contributions(given, observed=given.mean(("chain", "draw")).sum("component"))
    )
    whole, alone = figure.axes
    means = given.mean(("chain", "draw"))
    for ax, top in ((whole, means.sum("component")), (alone, means[2:].sum("component"))):
        highest = max(path.vertices[:, 1].max() for c in ax.collections for path in c.get_paths())
        assert highest == pytest.approx(float(top.max()))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["us$_search", "tv", "baseline and controls", "observed"]


def test_contributions_without_dates_or_kinds_are_refused():
    with pytest.raises(ValueError, match="needs contributions by date"):
        plots.plot_contributions(components().sum("date"))
    with pytest.raises(ValueError, match="coordinate 'kind'"):
        plots.plot_contributions(components().drop_vars("kind"))


def test_bars_are_medians_in_order_and_say_their_share():
    given = components().sum("date")
    figure = render(plots.plot_contribution_bars(given, target="sales"))
    (ax,) = figure.axes
    medians = given.median(("chain", "draw")).values[2:]
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], np.sort(medians))
    media = given[..., 2:].sum("component") / given.sum("component")
    assert f"{100 * float(media.median()):.0f}% of sales" in ax.get_title(loc="left")


def test_roas_marks_medians_and_truth_and_leaves_out_unpaid_channels():
    roas, marginal = per_channel(), per_channel()
    truth = xr.Dataset({"roas": ("channel", [1.5, 2.5])}, {"channel": CHANNELS})
    figure = render(plots.plot_roas(roas, marginal, truth=truth))
    (ax,) = figure.axes
    at = [float(line.get_xdata()[0]) for line in ax.lines if len(line.get_xdata()) == 1]
    for expected in (*roas.median(("chain", "draw")).values, 1.5, 2.5):
        assert any(value == pytest.approx(expected) for value in at)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == CHANNELS[::-1]
    assert ax.get_xlim()[0] == 0
    unpaid = roas.where(roas["channel"] != "tv")
    names = [tick.get_text() for tick in render(plots.plot_roas(unpaid)).axes[0].get_yticklabels()]
    assert names == ["us$_search"]
    with pytest.raises(ValueError, match="No channel has spend"):
        plots.plot_roas(roas * np.nan)


def test_response_curves_mark_the_spend_of_the_window():
    multiplier = np.linspace(0, 2, 5)
    curves = per_channel(5, dims=("multiplier",)).assign_coords(multiplier=multiplier)
    spend = xr.DataArray(np.outer([100.0, 0.0], multiplier), dims=("channel", "multiplier"))
    figure = render(plots.plot_response_curves(curves.assign_coords(spend=spend)))
    paid, unpaid = figure.axes
    middle = curves.median(("chain", "draw"))
    assert paid.lines[-1].get_xdata()[0] == 100.0
    assert paid.lines[-1].get_ydata()[0] == pytest.approx(float(middle[0, 2]))
    assert unpaid.lines[-1].get_xdata()[0] == 1.0
    assert "exposure" in unpaid.get_xlabel()
    with pytest.raises(ValueError, match="needs the coordinate 'spend'"):
        plots.plot_response_curves(curves)


def test_adstock_curves_show_prior_and_posterior():
    weights = per_channel(4, dims=("lag",)).assign_coords(lag=np.arange(4))
    figure = render(plots.plot_adstock_curves(weights, weights, period="week"))
    assert len(figure.axes) == 2
    assert figure.axes[0].get_xlabel() == "weeks after the spend"
    np.testing.assert_allclose(
        figure.axes[1].lines[0].get_ydata(), weights.mean(("chain", "draw"))[1]
    )
    assert "prior" in words(figure)
    assert "prior" not in words(render(plots.plot_adstock_curves(weights)))


@pytest.fixture(scope="module")
def posterior() -> xr.Dataset:
    return xr.Dataset({"alpha": per_channel(), "sigma": per_channel().isel(channel=0, drop=True)})


def test_every_quantity_has_a_panel(posterior):
    labels = ["Carry-over of tv", "Carry-over of us$_search", "Noise"]
    truth = {"sigma": xr.DataArray(1.0)}
    for figure in (
        plots.plot_prior_posterior(posterior, posterior.isel(chain=[0]), truth=truth),
        plots.plot_prior_posterior(posterior, posterior[["alpha"]]),
        plots.plot_trace(posterior),
        plots.plot_ranks(posterior),
    ):
        assert [ax.get_title(loc="left") for ax in render(figure).axes] == labels


def test_most_panels_and_names_hold(posterior):
    few = plots.plot_trace(posterior, max_panels=2)
    assert len(few.axes) == 2
    assert "the first 2 of 3 quantities" in few.get_suptitle()
    assert "quantities" not in plots.plot_ranks(posterior).get_suptitle()
    assert len(plots.plot_trace(posterior, ["sigma"]).axes) == 1
    with pytest.raises(ValueError, match=r"no parameter 'beta'.*alpha, sigma"):
        plots.plot_trace(posterior, ["beta"])
    with pytest.raises(ValueError, match="var_names is empty"):
        plots.plot_ranks(posterior, [])


def test_ranks_of_a_lagging_chain_are_not_flat():
    values = np.stack([RNG.normal(0, 1, 200), RNG.normal(50, 1, 200)])
    figure = render(plots.plot_ranks(xr.Dataset({"x": (("chain", "draw"), values)})))
    low, high = (patch.get_data().values for patch in figure.axes[0].patches)
    # All ranks of the first chain lie in the lower half: twice the expected height, then none.
    np.testing.assert_allclose(low, [2.0] * 10 + [0.0] * 10)
    np.testing.assert_allclose(high, low[::-1])


def test_long_titles_break_in_narrow_figures():
    with style.canvas(4, 2) as figure:
        style.headline(figure, "word " * 30)
    assert "\n" in figure.get_suptitle()
