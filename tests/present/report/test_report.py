"""The file: what is in it, what is escaped, what it may load, how it is written."""

from __future__ import annotations

import datetime
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from mmm_bayes import FitResult
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.present.plots.style import channel_colours
from mmm_bayes.present.report import ReportError, colours, write, write_report
from mmm_bayes.present.report.surface import surface
from mmm_bayes.present.report.words import full, percent, probability, ratio, short
from tests.present.report.conftest import EVIL, EVIL_CONTROL, EVIL_TARGET
from tests.present.report.stand_in import plan_of

SECTIONS = [
    "verdict", "fit", "decomposition", "returns", "curves", "graph", "experiments", "budget",
    "plan", "data", "model", "terms",
]  # fmt: skip


class Page(HTMLParser):
    """Elements, texts and data blocks of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: dict[str, str] = {}
        self.texts: list[str] = []
        self._block: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._block = dict(attrs).get("id") or "code"

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._block = None

    def handle_data(self, data: str) -> None:
        if self._block is None:
            self.texts.append(data)
        else:
            self.blocks[self._block] = self.blocks.get(self._block, "") + data


@pytest.fixture(scope="module")
def page(evil_report: Path) -> Page:
    return Page(evil_report.read_text(encoding="utf-8"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, evil_fitted: Fitted) -> None:
    """Leave out what takes time and is tested elsewhere."""
    kept = surface(evil_fitted)
    monkeypatch.setattr("mmm_bayes.present.report.context.surface", lambda fitted, most: kept)


def test_sections_come_in_order_and_the_contents_name_them(page: Page) -> None:
    found = [own["id"] for tag, own in page.tags if tag == "section"]
    assert found == SECTIONS
    links = [own["href"] for tag, own in page.tags if tag == "a"]
    assert links == ["#main", *(f"#{key}" for key in SECTIONS)]


def test_parts_without_anything_to_say_are_left_out(
    national_fit: FitResult, tmp_path: Path
) -> None:
    report = national_fit.diagnose()
    path = write_report(
        national_fit.fitted, tmp_path / "r.html", budget=None, diagnostics=report, ci_prob=0.8
    )
    text = path.read_text(encoding="utf-8")
    found = [own["id"] for tag, own in Page(text).tags if tag == "section"]
    assert found == [key for key in SECTIONS if key not in ("graph", "experiments", "budget")]
    assert report.verdict in text
    assert "80% interval" in text
    assert "90% interval" not in text
    assert datetime.date.today().isoformat() in text


def test_names_are_text_wherever_they_stand(page: Page, evil_report: Path) -> None:
    scripts = [own for tag, own in page.tags if tag == "script"]
    # Figures, plan, curves, plotly, and two scripts of the page's own; no image but the graph's.
    assert len(scripts) == 6
    assert sum(not own for own in scripts) == 2
    images = [own["src"] or "" for tag, own in page.tags if tag == "img"]
    assert len(images) == 1
    assert images[0].startswith("data:image/svg+xml;base64,")
    assert not [own for _, own in page.tags if any(name.startswith("on") for name in own)]
    assert not [tag for tag, _ in page.tags if tag in ("b", "i", "u")]
    words = "".join(page.texts)
    for name in (EVIL, EVIL_CONTROL, EVIL_TARGET, "<i>first</i>", "<u>Title</u>", "binds <tv>"):
        assert name in words, name
    assert EVIL not in evil_report.read_text(encoding="utf-8")


def test_names_in_figures_are_text_to_plotly(page: Page) -> None:
    figures = json.loads(page.blocks["figures"])
    assert "<" not in page.blocks["figures"]
    names = [
        trace.get("name", "") for trace in figures["decomposition-chart"]["figures"][0]["data"]
    ]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in names
    texts: list[str] = []

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            for own in value.values():
                collect(own)
        elif isinstance(value, list):
            for own in value:
                collect(own)
        elif isinstance(value, str):
            texts.append(value)

    collect(figures)
    # What plotly would read as markup: only its own line breaks and the empty second box.
    marked = {tag for text in texts for tag in re.findall(r"<[^>]*>", text)}
    assert marked <= {"<br>", "<extra>", "</extra>"}


def test_figures_are_valid_to_plotly(page: Page) -> None:
    go = pytest.importorskip("plotly.graph_objects")

    def coloured(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: coloured(own) for name, own in value.items()}
        if isinstance(value, list):
            return [coloured(own) for own in value]
        return "#123456" if isinstance(value, str) and value.startswith("@") else value

    for block in json.loads(page.blocks["figures"]).values():
        for figure in block["figures"]:
            go.Figure(coloured(figure))


def test_nothing_is_loaded(page: Page, evil_report: Path) -> None:
    text = evil_report.read_text(encoding="utf-8")
    for tag, own in page.tags:
        address = own.get("src") or own.get("href") or own.get("action") or ""
        assert not address or address.startswith(("#", "data:")), (tag, address)
    assert "@import" not in text
    assert "url(" not in text
    policy = next(own["content"] for tag, own in page.tags if own.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "unsafe-eval" not in policy


def test_size_stays_below_six_megabytes(evil_report: Path) -> None:
    assert evil_report.stat().st_size < 6e6


@pytest.mark.usefixtures("quick")
def test_the_same_fit_gives_the_same_file(evil_fitted: Fitted, tmp_path: Path) -> None:
    report = FitResult(evil_fitted).diagnose()
    date = datetime.date(2026, 1, 2)
    texts = [
        write_report(
            evil_fitted, tmp_path / name, budget=None, diagnostics=report, date=date
        ).read_bytes()
        for name in ("a.html", "b.html")
    ]
    assert texts[0] == texts[1]


@pytest.mark.usefixtures("quick")
def test_a_failed_report_leaves_the_old_file(
    evil_fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.html"
    path.write_text("old", encoding="utf-8")

    def fail(*_: Any) -> None:
        raise RuntimeError("stopped")

    monkeypatch.setattr(write, "page", fail)
    report = FitResult(evil_fitted).diagnose()
    with pytest.raises(RuntimeError, match="stopped"):
        write_report(evil_fitted, path, budget=None, diagnostics=report)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_arguments_are_refused(national_fit: FitResult, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="ci_prob should lie between 0 and 1"):
        write_report(national_fit.fitted, tmp_path / "r.html", ci_prob=90)
    with pytest.raises(ReportError, match="'auto', a BudgetPlan or None"):
        write_report(national_fit.fitted, tmp_path / "r.html", budget="best")
    assert not list(tmp_path.iterdir())


def test_the_plan_shows_what_it_recommends(page: Page) -> None:
    words = " ".join("".join(page.texts).split())
    assert "87%" in words
    assert "tv leaves the range of spend that was observed." in words
    values = json.loads(page.blocks["plan-values"])
    assert values["recommended"] == [1.4, 0.6, 1.0]


def test_sliders_reach_what_is_recommended(evil_fitted: Fitted) -> None:
    plan = plan_of(evil_fitted, [3.4, 0.1, 0.3])
    recommended = write.multiples_of(plan, evil_fitted.data.channels)
    assert write._reach(recommended) == 4.0
    assert write._reach({"tv": 50.0}) == 10.0
    assert write._reach(None) == 2.0


def test_a_panel_offers_its_geos(geo_fit: FitResult, tmp_path: Path) -> None:
    text = write_report(
        geo_fit.fitted, tmp_path / "r.html", budget=None, diagnostics=geo_fit.diagnose()
    ).read_text(encoding="utf-8")
    own = Page(text)
    options = [tag for tag, _ in own.tags if tag == "option"]
    assert len(options) == 1 + geo_fit.data.num_geos
    figures = json.loads(own.blocks["figures"])["fit-chart"]["figures"]
    observed = np.array([figure["data"][-1]["y"] for figure in figures])
    np.testing.assert_allclose(observed[0], observed[1:].sum(0), rtol=1e-3)


def test_a_model_without_media_has_no_budget(national_fit: FitResult, tmp_path: Path) -> None:
    data = national_fit.data
    ds = data.ds.assign(spend=xr.zeros_like(data.ds["spend"]))
    ds["paid"] = ("channel", np.zeros(3, bool))
    roles = json.loads(ds.attrs["roles"])
    roles["spend"] = dict.fromkeys(roles["spend"])
    unpaid = type(data)(ds.assign_attrs(ds.attrs | {"roles": json.dumps(roles)}))
    fitted = Fitted(national_fit.spec, unpaid, national_fit.tree)
    text = write_report(fitted, tmp_path / "r.html", diagnostics=national_fit.diagnose()).read_text(
        encoding="utf-8"
    )
    found = [own["id"] for tag, own in Page(text).tags if tag == "section"]
    assert "plan" not in found
    assert "budget" not in found
    assert "No money was spent on" in text


def test_numbers_read_well() -> None:
    assert [short(x) for x in (1234567, -0.5, 0, float("nan"))] == ["1.23M", "−0.5", "0", "n/a"]
    assert [full(x) for x in (1234567.8, 12.3456, 0.00123)] == ["1,234,568", "12.35", "0.001230"]
    assert [percent(x) for x in (0.061, 0.29, -0.5)] == ["6.1%", "29%", "−50%"]
    assert [probability(x) for x in (0.0, 0.5, 1.0)] == ["under 1%", "50%", "over 99%"]
    assert ratio(1.005) in ("1.00", "1.01")


@pytest.mark.parametrize("ground", [colours.LIGHT, colours.DARK])
def test_colours_can_be_told_from_the_page(ground: str) -> None:
    for colour in channel_colours([str(i) for i in range(25)]).values():
        assert colours.contrast(colours.legible(colour, ground), ground) >= 3.0
    assert colours.contrast("#000000", "#ffffff") == pytest.approx(21.0)
    theme = dict(colours.palette([])["light" if ground == colours.LIGHT else "dark"])
    for name in ("ink", "muted", "link"):
        for surface_name in ("surface", "page", "raised"):
            assert colours.contrast(theme[name], theme[surface_name]) >= 4.5
    for tone in ("good", "look", "bad"):
        assert colours.contrast(theme[tone], theme[f"{tone}-ground"]) >= 4.5
        assert colours.contrast(theme[tone], theme["surface"]) >= 4.5
