"""The report as a person has it: drawn, without a network, and agreeing with Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mmm_bayes import FitResult
from mmm_bayes.analysis.contributions import fitted_mean, marginal_roas, media_contributions
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.present.report import write_report
from tests.present.report.conftest import EVIL, EVIL_TARGET, Opened, scaled_table

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def test_every_chart_is_drawn_in_silence(opened: Opened) -> None:
    page = opened.page
    assert page.get_attribute("html", "data-charts") == "drawn", page.inner_text("#no-charts")
    places = page.locator("[data-figure]")
    assert places.count() > 10
    assert page.locator("[data-figure] svg.main-svg").count() >= places.count()
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith("file:")] == []


def test_names_are_text(opened: Opened) -> None:
    page = opened.page
    assert page.locator("fieldset.channel legend").first.inner_text() == EVIL
    legend = page.locator("#decomposition-chart .legendtext").all_text_contents()
    assert EVIL in legend
    assert page.title() == "<u>Title</u>"
    assert EVIL_TARGET in page.locator("#decomposition-heading").inner_text()


def read(page: Page, selector: str) -> np.ndarray:
    """Median and interval of an output, in full."""
    place = page.locator(selector)
    return np.array([float(place.get_attribute(f"data-{x}")) for x in ("median", "lower", "upper")])


def multiples(page: Page) -> np.ndarray:
    found = page.locator("fieldset.channel").evaluate_all("all => all.map(x => x.dataset.multiple)")
    return np.array(found, float)


def summarised(draws: np.ndarray, prob: float = 0.9) -> np.ndarray:
    tail = 0.5 * (1.0 - prob)
    return np.quantile(draws, [0.5, tail, 1.0 - tail], axis=0)


class Truth:
    """What the model itself says of scaled spends, with the draws that the page has."""

    def __init__(self, fitted: Fitted, draws: int) -> None:
        self.fitted, self.draws = fitted, draws
        self.spend = fitted.data.ds["spend"].values.sum((0, 1))
        self.today = self.total(np.ones(len(self.spend)))

    def total(self, multiples: np.ndarray) -> np.ndarray:
        table = scaled_table(self.fitted.data, multiples)
        found = fitted_mean(self.fitted, (), unit="revenue", data=table, max_draws=self.draws)
        return np.asarray(found.values).ravel()

    def brings(self, multiples: np.ndarray) -> np.ndarray:
        table = scaled_table(self.fitted.data, multiples)
        found = media_contributions(self.fitted, unit="revenue", data=table, max_draws=self.draws)
        return found.values.reshape(-1, len(self.spend))

    def marginal(self, multiples: np.ndarray, c: int) -> np.ndarray:
        step = 0.01 * multiples[c] or 0.01
        more = multiples.copy()
        more[c] += step
        return (self.total(more) - self.total(multiples)) / (step * self.spend[c])


def agrees(page: Page, truth: Truth) -> None:
    """Everything that the page shows is within a percent of the model."""
    m = multiples(page)
    total, brings = truth.total(m), truth.brings(m)
    np.testing.assert_allclose(read(page, "#plan-outcome"), summarised(total), rtol=0.01)
    change = total - truth.today
    width = np.ptp(summarised(change))
    np.testing.assert_allclose(read(page, "#plan-change"), summarised(change), atol=0.01 * width)
    better = float(page.locator("#plan-better").get_attribute("data-value") or "nan")
    # A draw may be this close to no change at all.
    near = float((np.abs(change) < 0.01 * width).mean())
    assert abs(better - float((change > 0).mean())) <= near + 1e-9
    spent = float(page.locator("#plan-spend").get_attribute("data-value") or "nan")
    assert spent == pytest.approx(float(m @ truth.spend), rel=1e-6)
    rows = "fieldset.channel >> nth={}"
    for c, own in enumerate(m):
        place = rows.format(c)
        seen = read(page, f"{place} >> .brings")
        np.testing.assert_allclose(seen, summarised(brings[:, c]), rtol=0.01)
        if own > 0:
            expected = summarised(brings[:, c] / (own * truth.spend[c]))
            np.testing.assert_allclose(read(page, f"{place} >> .roas"), expected, rtol=0.01)
    c = int(np.argmax(m * truth.spend))
    expected = summarised(truth.marginal(m, c))
    wide = np.abs(expected).max()
    found = read(page, f"{rows.format(c)} >> .marginal")
    np.testing.assert_allclose(found, expected, rtol=0.01, atol=0.01 * wide)


def set_range(page: Page, c: int, percent: float) -> None:
    page.locator("input[type=range]").nth(c).fill(str(round(percent)))


def test_sliders_agree_with_the_model(opened: Opened, evil_fitted: Fitted) -> None:
    page = opened.page
    truth = Truth(evil_fitted, 300)
    page.click("#plan-reset")
    assert page.inner_text("#plan-change") == "none"
    agrees_today = read(page, "#plan-outcome")
    np.testing.assert_allclose(agrees_today, summarised(truth.today), rtol=1e-4)
    marginal = marginal_roas(evil_fitted, max_draws=300).values.reshape(-1, 3)
    found = read(page, "fieldset.channel >> nth=1 >> .marginal")
    np.testing.assert_allclose(found, summarised(marginal[:, 1]), rtol=0.01)
    rng = np.random.default_rng(5)
    for percents in rng.uniform(0, 200, (4, 3)):
        for c, percent in enumerate(percents):
            set_range(page, c, percent)
        agrees(page, truth)
    page.click("#plan-recommended")
    np.testing.assert_allclose(multiples(page), [1.4, 0.6, 1.0])
    agrees(page, truth)
    page.click("#plan-reset")


def test_the_total_is_kept(opened: Opened, evil_fitted: Fitted) -> None:
    page = opened.page
    truth = Truth(evil_fitted, 300)
    page.click("#plan-reset")
    page.check("#plan-keep")
    total = float(truth.spend.sum())
    for c, percent in ((0, 150), (2, 30), (1, 120), (0, 0), (0, 80)):
        set_range(page, c, percent)
        assert float(multiples(page) @ truth.spend) == pytest.approx(total, rel=1e-9)
        assert multiples(page).max() <= 2.0 + 1e-12
    agrees(page, truth)
    # The others move in proportion, unless held.
    page.click("#plan-reset")
    set_range(page, 0, 110)
    m = multiples(page)
    assert m[1] == pytest.approx(m[2])
    page.locator(".hold").nth(1).check()
    set_range(page, 0, 90)
    held = multiples(page)
    assert held[1] == pytest.approx(m[1])
    assert float(held @ truth.spend) == pytest.approx(total, rel=1e-9)
    page.locator(".hold").nth(2).check()
    set_range(page, 0, 150)
    assert "goes no further" in page.inner_text("#plan-status")
    assert float(multiples(page) @ truth.spend) == pytest.approx(total, rel=1e-9)
    for c in (1, 2):
        page.locator(".hold").nth(c).uncheck()
    page.uncheck("#plan-keep")
    page.click("#plan-reset")


def test_sliders_of_a_multiplicative_panel_agree(
    browser: Browser, log_fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmm_bayes.present.report import page as made
    from mmm_bayes.present.report.context import Context
    from mmm_bayes.present.report.planner import planner_section

    path = tmp_path / "plan.html"
    path.write_text(made.page("plan", log_fitted, [planner_section(Context(log_fitted), None)]))
    found = Opened(browser, path)
    truth = Truth(log_fitted, 40)
    try:
        assert not found.page.locator("#plan-recommended").is_visible()
        for percents in np.random.default_rng(6).uniform(0, 200, (3, 3)):
            for c, percent in enumerate(percents):
                set_range(found.page, c, percent)
            agrees(found.page, truth)
        assert found.said == []
    finally:
        found.context.close()


def test_a_spend_may_be_typed_and_keys_move_sliders(opened: Opened, evil_fitted: Fitted) -> None:
    page, spend = opened.page, evil_fitted.data.ds["spend"].values.sum((0, 1))
    page.click("#plan-reset")
    entry = page.locator("fieldset.channel input[type=number]").nth(1)
    entry.fill(f"{1.25 * spend[1]:.6f}")
    assert multiples(page)[1] == pytest.approx(1.25, rel=1e-6)
    entry.fill("-5")
    entry.fill("")
    entry.blur()
    assert float(entry.input_value()) == pytest.approx(1.25 * spend[1], rel=1e-5)
    slider = page.locator("input[type=range]").nth(1)
    slider.focus()
    slider.press("ArrowRight")
    assert multiples(page)[1] == pytest.approx(1.26)
    assert "126% of today's" in (slider.get_attribute("aria-valuetext") or "")
    page.wait_for_timeout(900)
    assert "better than today with probability" in page.inner_text("#plan-live")
    page.click("#plan-reset")


def test_a_plan_is_exported(opened: Opened) -> None:
    with opened.page.expect_download() as waiting:
        opened.page.click("#plan-export")
    rows = Path(waiting.value.path()).read_text(encoding="utf-8").splitlines()
    assert rows[0].startswith("channel,spend_today,spend_plan,multiple")
    assert len(rows) == 4
    assert rows[1].startswith(f'"{EVIL}"')


def violations(page: Page) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{own['id']}: {own['nodes'][0]['html'][:200]}"
        for own in found
        if own["impact"] in ("serious", "critical")
    ]


@pytest.fixture(scope="module", params=[("light", 1280), ("dark", 360)])
def seen(
    browser: Browser, evil_report: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[Page, int]]:
    scheme, width = request.param
    settings: dict[str, Any] = {"viewport": {"width": width, "height": 800}}
    found = Opened(browser, evil_report, color_scheme=scheme, **settings)
    yield found.page, width
    assert found.said == []
    found.context.close()


def test_nothing_bars_anyone(seen: tuple[Page, int]) -> None:
    page, _ = seen
    assert violations(page) == []
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    # What is folded is judged, too.
    page.evaluate("for (const own of document.querySelectorAll('details')) own.open = true")
    assert violations(page) == []


def test_no_page_scrolls_sideways(seen: tuple[Page, int]) -> None:
    page, width = seen
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        "[...document.querySelectorAll('main *')].filter(x => !x.closest('.scroll, pre, .plot, "
        ".unseen') && x.getBoundingClientRect().right > innerWidth + 1).map(x => x.outerHTML)"
    )
    assert wide == []


def test_it_prints(opened: Opened) -> None:
    page = opened.page
    page.evaluate(
        "addEventListener('beforeprint', () => { setTimeout(() => {}, 0); "
        "window.opened = document.querySelectorAll('details.short:not([open])').length; })"
    )
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert len(printed) > 50_000
    assert page.evaluate("window.opened") == 0
    # Afterwards all is as before.
    assert page.evaluate("document.documentElement.dataset.theme ?? null") is None
    assert page.locator("details.short[open]").count() == 0


def test_a_browser_that_cannot_inflate_shows_tables(browser: Browser, evil_report: Path) -> None:
    context = browser.new_context(offline=True)
    context.add_init_script("delete window.DecompressionStream")
    page = context.new_page()
    page.goto(evil_report.as_uri())
    page.wait_for_selector("html[data-charts=failed]")
    assert "cannot draw the charts" in page.inner_text("#no-charts")
    assert page.locator("#planner").is_visible()
    context.close()


def test_a_panel_shows_the_geo_that_is_chosen(
    browser: Browser, geo_fit: FitResult, tmp_path: Path
) -> None:
    path = write_report(
        geo_fit.fitted, tmp_path / "geo.html", budget=None, diagnostics=geo_fit.diagnose()
    )
    found = Opened(browser, path)
    page = found.page
    observed = "document.getElementById('fit-chart').data.at(-1).y[0]"
    assert page.evaluate(observed) == pytest.approx(
        float(geo_fit.data.ds["target"].isel(date=0).sum()), rel=1e-4
    )
    page.select_option("#fit-chart-choice", label=geo_fit.data.geos[2])
    assert page.evaluate(observed) == pytest.approx(
        float(geo_fit.data.ds["target"].isel(date=0, geo=2)), rel=1e-4
    )
    assert found.said == []
    found.context.close()
