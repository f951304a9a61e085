"""A report of a fit whose every name is an attack: all of it is text in the browser."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import numpy as np
import pandas as pd
import pytest

import mmm_bayes as mb
from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.present.report import write_report
from mmm_bayes.runtime.visible import visible
from tests.present.report.conftest import Opened, fitted_from_prior
from tests.present.report.stand_in import plan_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SCRIPT = "<script>window.__pwned=1</script>"
IMAGE = '"><img src=x onerror="window.__pwned=2">'
END = "</script><script>window.__pwned=3</script><!--"
CURLY = "{{7*7}} ${7*7} {% raw %}"
LINES = "a\u2028b\u2029c"
RIGHT_TO_LEFT = "\u202eevil\u202c \u200f"
PLOTLY = '<a href="javascript:window.__pwned=4">%{x} &lt;b&gt;'
STYLE = "</style><svg onload=window.__pwned=5>"
PROTO = "__proto__"

CHANNELS = [SCRIPT, IMAGE, END, CURLY]
CONTROLS = [PLOTLY, PROTO]
GEOS = [LINES, STYLE]
TARGET = "</textarea>" + SCRIPT


def hostile_data() -> mb.MMMData:
    rng = np.random.default_rng(3)
    n = 40
    frame = pd.DataFrame({"week": np.tile(pd.date_range("2023-01-02", periods=n, freq="7D"), 2)})
    frame[RIGHT_TO_LEFT] = np.repeat(GEOS, n)
    for name in CHANNELS:
        frame[name] = rng.gamma(2.0, 10.0, 2 * n)
    for name in CONTROLS:
        frame[name] = rng.normal(size=2 * n)
    frame[TARGET] = 200 + frame[CHANNELS].sum(axis=1) + rng.normal(0, 20, 2 * n)
    return mb.MMMData.from_dataframe(
        frame, date="week", target=TARGET, channels=CHANNELS, controls=CONTROLS,
        geo=RIGHT_TO_LEFT,
    )  # fmt: skip


@pytest.fixture(scope="module")
def page_of_attacks(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    data = hostile_data()
    spec = mb.ModelSpec(
        name=END,
        description=IMAGE + SCRIPT,
        media={"max_lag": 3},
        events=[{"name": SCRIPT, "dates": ["2023-03-06"]}],
        channels={SCRIPT: {"adstock": "delayed"}},
    )
    quick = {"num_warmup": 60, "num_samples": 40, "num_chains": 2}
    fit = mb.MMM(data, spec).fit(jax.random.key(0), progress=False, num_prior_draws=20, **quick)
    fitted = fit.fitted
    graph = mb.CausalGraph(edges=[(name, TARGET) for name in (*CHANNELS, *CONTROLS, LINES)])
    tests = [
        LiftTest(SCRIPT, data.dates[4], data.dates[8], 50.0, 30.0, geos=(STYLE,), name=IMAGE),
        LiftTest(IMAGE, data.dates[4], data.dates[8], 50.0, 30.0, name=END + CURLY),
    ]
    path = tmp_path_factory.mktemp("attacks") / "report.html"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        write_report(fitted, path, graph=graph, budget=plan_of(fitted, [1.4, 0.6, 1, 1]),
                     tests=tests, title=STYLE + SCRIPT)  # fmt: skip
    found = Opened(browser, path, viewport={"width": 1280, "height": 900})
    yield found
    found.context.close()


def test_no_script_of_theirs_runs(page_of_attacks: Opened) -> None:
    page = page_of_attacks.page
    assert page.get_attribute("html", "data-charts") == "drawn"
    page.evaluate("for (const own of document.querySelectorAll('details')) own.open = true")
    # What a pointer brings up is made of names, too.
    for selector in ("#fit-chart .nsewdrag", "#decomposition-chart .nsewdrag"):
        if page.locator(selector).count():
            page.locator(selector).first.hover(force=True)
    page.wait_for_timeout(300)
    assert page.evaluate("window.__pwned") is None
    assert page_of_attacks.said == []
    assert [url for url in page_of_attacks.asked if not url.startswith("file:")] == []
    assert page.locator("img[src=x], svg[onload], a[href^=javascript]").count() == 0
    assert page.evaluate("({}).polluted") is None


def test_every_name_is_shown_as_it_is(page_of_attacks: Opened) -> None:
    page = page_of_attacks.page
    legends = page.locator("fieldset.channel legend").all_text_contents()
    assert legends == CHANNELS
    text = page.evaluate("document.body.textContent")
    for name in (*CHANNELS, *CONTROLS, TARGET, END + CURLY, IMAGE + SCRIPT, STYLE + SCRIPT):
        assert name in text, name
    assert page.title() == STYLE + SCRIPT
    options = page.locator("#fit-chart-choice option").all_text_contents()
    assert {visible(LINES), STYLE} <= set(options)


def test_data_of_the_page_are_whole(page_of_attacks: Opened) -> None:
    blocks = page_of_attacks.page.evaluate(
        "[...document.querySelectorAll('script[type=\"application/json\"]')]"
        ".map(x => typeof JSON.parse(x.textContent))"
    )
    assert blocks
    assert set(blocks) == {"object"}


def test_sliders_and_choices_work(page_of_attacks: Opened) -> None:
    page = page_of_attacks.page
    before = page.get_attribute("#plan-outcome", "data-median")
    page.locator("input[type=range]").nth(1).fill("0")
    assert page.get_attribute("#plan-outcome", "data-median") != before
    page.click("#plan-recommended")
    multiples = page.locator("fieldset.channel").evaluate_all(
        "all => all.map(x => x.dataset.multiple)"
    )
    np.testing.assert_allclose(np.array(multiples, float), [1.4, 0.6, 1, 1])
    page.select_option("#fit-chart-choice", label=STYLE)
    with page.expect_download() as waiting:
        page.click("#plan-export")
    text = Path(waiting.value.path()).read_text("utf-8")
    assert IMAGE.replace('"', '""') in text
    page.click("#plan-reset")
    assert page.evaluate("window.__pwned") is None
    assert page_of_attacks.said == []


def test_notebooks_show_names_as_text() -> None:
    data = hostile_data()
    shown = data._repr_html_()
    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;script&gt;" in shown


@pytest.mark.parametrize("name", ["=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)"])
def test_an_exported_plan_holds_no_formula(name: str, browser: Browser, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"week": pd.date_range("2023-01-02", periods=30, freq="7D")})
    frame[name], frame["sales"] = rng.gamma(2.0, 9.0, 30), rng.gamma(9.0, 9.0, 30)
    data = mb.MMMData.from_dataframe(frame, date="week", target="sales", channels=[name])
    fitted = fitted_from_prior(data, mb.ModelSpec(media={"max_lag": 3}))
    from mmm_bayes.present.report import page as made
    from mmm_bayes.present.report.context import Context
    from mmm_bayes.present.report.planner import planner_section

    path = tmp_path / "plan.html"
    path.write_text(made.page("plan", fitted, [planner_section(Context(fitted), None)]))
    found = Opened(browser, path)
    with found.page.expect_download() as waiting:
        found.page.click("#plan-export")
    row = Path(waiting.value.path()).read_text("utf-8").splitlines()[1]
    found.context.close()
    assert not row.lstrip('"').startswith(("=", "+", "-", "@")), row
