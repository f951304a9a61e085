"""Graphs of shops: arrows meet no label, and what is drawn is what was given."""

import io
import itertools

import jax
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.text import Text

from mmm_bayes import simulate
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.present import plots
from mmm_bayes.present.graph_arrows import arrange
from mmm_bayes.present.graph_layout import lay_out
from mmm_bayes.runtime.findings import DataError
from mmm_bayes.simulate.air_panel import AIR_GROUPS, AIR_NODES


def matrix(values: np.ndarray, nodes=AIR_NODES, **coords) -> xr.DataArray:
    values = np.array(values, float)
    np.fill_diagonal(values, 0.0)
    labels = {"source": list(nodes), "target": list(nodes), **coords}
    return xr.DataArray(values, labels, ("source", "target"))


def render(figure: Figure) -> Figure:
    assert isinstance(figure, Figure)
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    return figure


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def arrows(figure: Figure) -> list[FancyArrowPatch]:
    return figure.findobj(FancyArrowPatch)


@pytest.fixture(scope="module")
def panel() -> ShopPanel:
    return simulate.air_shops(jax.random.key(0), num_shops=3, num_dates=40)


@pytest.mark.parametrize("density", [0.1, 0.4, 1.0])
@pytest.mark.parametrize("columns", [[0] * 6 + [2] * 5 + [1, 3], [0] * 12 + [1], [0, 1, 1, 2, 2]])
def test_no_arrow_meets_the_label_of_another_node(density, columns):
    n = len(columns)
    rng = np.random.default_rng(n)
    edges = [(i, j) for i in range(n) for j in range(n) if i != j and rng.uniform() < density]
    names = [f"node {k}" for k in range(n)]
    named = [(names[i], names[j]) for i, j in edges]
    level = dict(zip(names, columns, strict=True))
    placed, found, width = lay_out({name: name for name in names}, level, named, 0.3)
    boxes = [placed[name] for name in names]
    assert set(found) == set(named)
    for i, j in edges:
        path = found[names[i], names[j]]
        points = path.interpolated(1).to_polygons(closed_only=False)[0]
        steps = itertools.pairwise(points)
        along = np.concatenate([np.linspace(one, other, 20) for one, other in steps])
        assert (along[:, 0] > 0).all()
        assert (along[:, 0] < width).all()
        for box in boxes:
            x, y = np.abs(along - (box.x, box.y)).T
            assert not ((x < box.width / 2 - 1e-3) & (y < box.height / 2 - 1e-3)).any(), (i, j)
        # It starts and ends at the sides of its own nodes.
        for end, node in ((along[0], boxes[i]), (along[-1], boxes[j])):
            assert abs(end[0] - node.x) == pytest.approx(node.width / 2, abs=1e-6)
            assert abs(end[1] - node.y) <= node.height / 2


def test_nodes_do_not_overlap_and_columns_go_from_left_to_right():
    columns = [0] * 6 + [2] * 5 + [1, 3]
    boxes, width = arrange(list(AIR_NODES), columns, [(0, 12), (0, 11)], 0.3, {})
    for k, one in enumerate(boxes):
        assert one.width / 2 < one.x < width - one.width / 2
        for other in boxes[:k]:
            apart_x = abs(one.x - other.x) - (one.width + other.width) / 2
            apart_y = abs(one.y - other.y) - (one.height + other.height) / 2
            assert max(apart_x, apart_y) > 0.3
    assert np.array_equal(np.argsort([boxes[k].x for k in (0, 11, 6, 12)]), range(4))


def test_arrows_are_the_edges_above_the_threshold_in_the_colours_of_the_funnel():
    values = np.zeros((13, 13))
    brand, views, effect, target = 0, 11, 6, 12
    values[brand, views], values[views, effect], values[effect, target] = 0.95, 0.6, 0.8
    values[views, target], values[brand, effect] = 0.49, 0.3
    figure = render(plots.plot_shop_graph(matrix(values, shop="shop7"), AIR_GROUPS))
    drawn = {to_hex(arrow.get_edgecolor()): arrow for arrow in arrows(figure)}
    assert len(arrows(figure)) == len(drawn) == 3
    red, orange, grey = (drawn[c] for c in ("#c8102e", "#e69f00", "#7d838c"))
    assert red.get_linewidth() > grey.get_linewidth() > orange.get_linewidth()
    assert red.get_alpha() > grey.get_alpha() > orange.get_alpha()
    text = words(figure)
    assert "Granger graph of shop7: edges of probability 0.5 or more" in text
    assert set(AIR_NODES) | {"brand channels", "page views", "effect channels"} <= set(text)
    lower = plots.plot_shop_graph(matrix(values), AIR_GROUPS, threshold=0.2)
    assert len(arrows(lower)) == 5
    by_name = dict(zip(AIR_NODES, AIR_GROUPS, strict=True))
    assert len(arrows(plots.plot_shop_graph(matrix(values), by_name))) == 3


def test_truth_dashes_wrong_edges_and_dots_missing_ones():
    values, truth = np.zeros((13, 13)), np.zeros((13, 13), bool)
    values[0, 11], values[1, 11] = 0.9, 0.9
    truth[0, 11], truth[2, 11] = True, True
    figure = render(plots.plot_shop_graph(matrix(values), AIR_GROUPS, truth=truth))
    assert len({str(arrow.get_linestyle()) for arrow in arrows(figure)}) == 3
    assert {"not in the truth (1)", "true, not found (1)"} <= set(words(figure))


def test_without_groups_all_but_the_last_are_channels():
    nodes = ["tv_" * 20, "b$_x", "sales"]
    figure = render(plots.plot_shop_graph(matrix(np.full((3, 3), 0.9), nodes)))
    assert len(arrows(figure)) == 6
    assert {"channels", "target", "b$_x", "into the target"} <= set(words(figure))
    assert max(map(len, words(figure))) < 60  # long names are cut
    assert len(arrows(render(plots.plot_shop_graph(matrix(np.zeros((3, 3)), nodes))))) == 0


def test_all_that_is_wrong_with_a_graph_is_said_at_once():
    bad = matrix(np.full((3, 3), 1.5), "abc")
    with pytest.raises(ValueError, match=r"0 to 1.*threshold.*truth should.*no such group: brands"):
        plots.plot_shop_graph(
            bad, ["brands", "views", "target"], threshold=0.0, truth=np.ones((2, 2), bool)
        )
    with pytest.raises(ValueError, match=r"groups.*\b3\b.*\b2\b"):
        plots.plot_shop_graph(matrix(np.zeros((3, 3)), "abc"), ["channel", "target"])
    with pytest.raises(ValueError, match="groups does not name b"):
        plots.plot_shop_graph(matrix(np.zeros((2, 2)), "ab"), {"a": "channel"})
    with pytest.raises(ValueError, match=r"Choose one: \.sel\(shop"):
        plots.plot_shop_graph(matrix(np.zeros((2, 2)), "ab").expand_dims("shop"))


def test_matrix_shows_numbers_and_frames_true_edges():
    rng = np.random.default_rng(0)
    p = matrix(rng.uniform(0.1, 0.9, (13, 13)))
    truth = rng.uniform(size=(13, 13)) < 0.2
    figure = render(plots.plot_edge_probabilities(p.transpose(), truth=truth))
    image = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(np.ma.filled(image, 0.0), p.values)
    frames = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert len(frames) == (truth & ~np.eye(13, dtype=bool)).sum()
    assert f"{p.values[0, 1]:.2f}".lstrip("0") in words(figure)
    many = matrix(rng.uniform(size=(30, 30)), [f"c{k}" for k in range(30)])
    assert not [t for t in words(render(plots.plot_edge_probabilities(many))) if t[:1] == "."]


def test_reliability_shows_shares_counts_and_error():
    # 20 pairs at 0.25, of which 10 are edges, and 10 at 0.95, all of them: the error is 11/60.
    p, truth = np.zeros((5, 3, 3)), np.zeros((5, 3, 3), bool)
    off = ~np.eye(3, dtype=bool)
    p[:, off] = np.array([0.25] * 4 + [0.95] * 2)
    truth[:, off] = np.array([1, 1, 0, 0, 1, 1], bool)
    figure = render(plots.plot_reliability(xr.DataArray(p), truth))
    top, bottom = figure.axes
    np.testing.assert_allclose(top.lines[1].get_xdata(), [0.25, 0.95])
    np.testing.assert_allclose(top.lines[1].get_ydata(), [0.5, 1.0])
    assert [bar.get_height() for bar in bottom.patches] == [0, 0, 20, 0, 0, 0, 0, 0, 0, 10]
    assert figure.get_suptitle().endswith(f"{(20 * 0.25 + 10 * 0.05) / 30:.3f}")
    with pytest.raises(DataError, match="probabilities"):
        plots.plot_reliability(p * 2, truth)


def test_lag_profiles_draw_the_strongest_pairs():
    values = np.zeros((3, 3, 4))
    values[0, 2], values[2, 1], values[1, 1], values[0, 1] = 0.3, -0.5, 9.0, 0.1
    labels = {"source": list("abc"), "target": list("abc"), "lag": [1, 2, 3, 4]}
    profiles = xr.DataArray(values, labels, ("source", "target", "lag"))
    figure = render(plots.plot_lag_profiles(profiles, 2, period="day"))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["c → b", "a → c"]
    assert [bar.get_height() for bar in figure.axes[0].patches] == [-0.5] * 4
    assert figure.axes[1].get_xlabel() == "days later"
    own = render(plots.plot_lag_profiles(profiles, [("b", "b")]))
    assert own.axes[0].patches[0].get_height() == 9.0
    everything = render(plots.plot_lag_profiles(profiles, 99))
    assert len(everything.axes) == 6
    often = xr.DataArray(np.ones((2, 3, 3)), {k: labels[k] for k in ("source", "target")},
                         ("shop", "source", "target"))  # fmt: skip
    often.loc[{"source": "c", "target": "b"}] = [0.0, 0.5]
    weighed = render(plots.plot_lag_profiles(profiles, 2, probabilities=often))
    titles = [ax.get_title(loc="left") for ax in weighed.axes]
    assert titles == ["a → c (100% of shops)", "c → b (25% of shops)"]
    with pytest.raises(ValueError, match="no node 'd'"):
        plots.plot_lag_profiles(profiles, [("d", "b")])
    with pytest.raises(ValueError, match="no pair"):
        plots.plot_lag_profiles(profiles, 0)


@pytest.mark.parametrize("dated", [True, False])
def test_forecasts_go_on_from_the_history(panel, dated):
    if not dated:
        panel = ShopPanel(
            panel.series, panel.nodes, panel.shops, panel.context, panel.context_names
        )
    history, future = panel.window(0, 30), panel.window(30)
    middle = xr.DataArray(
        future.series,
        {"shop": list(panel.shops), "step": np.arange(1, 11), "node": list(panel.nodes)},
        ("shop", "step", "node"),
    )
    forecast = xr.Dataset({"median": middle, "low": middle * 0.5, "high": middle * 2.0})
    forecast.attrs["ci_prob"] = 0.8
    shops = ["shop2", "shop0"]
    figure = render(plots.plot_shop_forecast(history, forecast, shops, future=future, history=12))
    for ax, at in zip(figure.axes, (2, 0), strict=True):
        past, ahead, came = ax.lines
        np.testing.assert_array_equal(past.get_ydata(), history.series[at, -12:, -1])
        np.testing.assert_array_equal(ahead.get_ydata(), future.series[at, :, -1])
        np.testing.assert_array_equal(came.get_ydata(), future.series[at, :, -1])
        if dated:
            when = np.asarray(ahead.get_xdata(), "datetime64[D]")
            assert (when == future.dates.to_numpy("datetime64[D]")).all()
        else:
            np.testing.assert_array_equal(ahead.get_xdata(), np.arange(30, 40))
        (band,) = [c for c in ax.collections if isinstance(c, FillBetweenPolyCollection)]
        top = band.get_paths()[0].vertices[:, 1].max()
        assert top == pytest.approx(2.0 * future.series[at, :, -1].max())
    assert "80% interval" in words(figure)
    assert len(render(plots.plot_shop_forecast(history, forecast, node="pv")).axes) == 3


def test_forecasts_of_unknown_shops_are_refused(panel):
    empty = xr.Dataset(coords={"shop": ["shop0"], "node": list(panel.nodes)})
    with pytest.raises(ValueError, match=r"no 'median'.*the panel has no shop 'shop00'. Did you"):
        plots.plot_shop_forecast(panel, empty, ["shop00"])
    with pytest.raises(ValueError, match=r"no node 'gmw'\. Did you mean 'gmv'"):
        plots.plot_shop_forecast(panel, empty, ["shop0"], node="gmw")
