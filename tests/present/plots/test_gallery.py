"""Every figure of fits, national and geo."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.image import imread

from mmm_bayes import FitResult
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.present.plots import FitPlots, save_all

ALL = [
    "adstock_curves",
    "contribution_bars",
    "contributions",
    "fit",
    "prior_posterior",
    "prior_predictive",
    "ranks",
    "residuals",
    "response_curves",
    "roas",
    "trace",
]


@pytest.mark.parametrize("kind", ["national_fit", "geo_fit"])
def test_every_figure_is_written_under_its_name(kind, request, tmp_path):
    fit: FitResult = request.getfixturevalue(kind)
    paths = fit.plot.save_all(tmp_path / "figures")
    assert [path.name for path in paths] == [f"{name}.png" for name in ALL]
    for path in paths:
        pixels = imread(path)
        assert min(pixels.shape[:2]) > 150
        assert np.ptp(pixels[..., :3]) > 0.5, f"{path.name} is blank"


def test_figures_use_words_of_the_table(national_fit: FitResult):
    figure = national_fit.plot.fit()
    assert figure.axes[0].get_ylabel() == "sales per week"
    assert "fit, prior_predictive" in repr(national_fit.plot)


def test_roas_of_the_figure_is_that_of_the_fit(national_fit: FitResult):
    figure = national_fit.plot.roas()
    at = [float(line.get_xdata()[0]) for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    for median in national_fit.roas().median(("chain", "draw")).values:
        assert any(value == pytest.approx(float(median)) for value in at)


def test_a_channel_has_one_colour_in_all_figures(national_fit: FitResult):
    colours = {}
    for ax in national_fit.plot.response_curves().axes:
        colours[ax.get_title(loc="left")] = ax.lines[0].get_color()
    alone = national_fit.plot.response_curves([national_fit.data.channels[2]])
    assert alone.axes[0].lines[0].get_color() == colours[national_fit.data.channels[2]]


def test_without_a_prior_its_figures_are_left_out(national_fit: FitResult, tmp_path, monkeypatch):
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)
    fitted = national_fit._fitted
    groups = {
        name: node.to_dataset()
        for name, node in fitted.tree.children.items()
        if not name.startswith("prior")
    }
    bare = Fitted(fitted.spec, fitted.data, xr.DataTree.from_dict(groups))
    names = [path.stem for path in save_all(bare, tmp_path)]
    assert names == [name for name in ALL if not name.startswith("prior")]
    with pytest.raises(ValueError, match="num_prior_draws"):
        FitPlots(bare).prior_predictive()
