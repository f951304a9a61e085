"""Size, time, agreement and accessibility of reports, from fits of 4 x 1000 draws.

Each report is written by a process of its own, from a saved fit: the seconds count from the start
of the interpreter to the file on disk, imports and compilation included. Every slider setting is
drawn uniformly from 0 to 200% of today's spend for all channels at once. The numbers that the page
then shows (outcome, change from today, the contribution of each channel, ROAS and marginal ROAS,
with the ends of their intervals) are compared with the model evaluated on the scaled table, on the
same draws.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import record

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from mmm_bayes.model.fitted import Fitted

CASES = {
    "national_weekly": "national, 156 weeks, 5 channels",
    "national_log": "the same, log-normal (effects multiply)",
    "geo_40": "40 geos, 156 weeks, 5 channels",
}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def fits(folder: Path, draws: int) -> None:
    """Fit and save the cases that are not there yet."""
    import jax

    import mmm_bayes as mb

    sampler = {"num_samples": draws, "num_warmup": draws, "num_chains": 4}
    for name in CASES:
        path = folder / f"{name}.nc"
        if path.exists():
            continue
        spec = mb.ModelSpec(seasonality=[{"period": "year", "order": 2}], sampler=sampler)
        if name == "geo_40":
            sizes = {"num_dates": 156, "num_geos": 40, "num_channels": 5, "num_controls": 3}
            data = mb.simulate.mmm(jax.random.key(5), **sizes).data
        else:
            data = mb.load_dataset("national_weekly")
        if name == "national_log":
            spec = spec.evolve(likelihood={"family": "log_normal"})
        mb.MMM(data, spec).fit(jax.random.key(0), progress=False).save(path)
        print(f"fitted {name}", flush=True)


def child(given: argparse.Namespace) -> None:
    """Write one report in this process."""
    from mmm_bayes.model import store
    from mmm_bayes.present.report import write_report

    folder = Path(given.folder)
    fitted = store.load(folder / f"{given.case}.nc")
    figures = {"load": time.time() - given.began}
    path = write_report(fitted, folder / f"{given.case}.html")
    figures |= {"seconds": time.time() - given.began, "megabytes": path.stat().st_size / 1e6}
    figures["cpu"] = time.process_time()
    record.leave(given.child, figures)


def seen(page: Page) -> dict[str, Any]:
    """Return all numbers that the planner shows, at full precision."""
    return page.evaluate(
        """() => {
          const read = (own) => ["median", "lower", "upper"].map((x) => Number(own.dataset[x]));
          const rows = [...document.querySelectorAll("fieldset.channel")];
          const all = (name) => rows.map((row) => read(row.querySelector(name)));
          return {
            multiples: rows.map((row) => Number(row.dataset.multiple)),
            outcome: read(document.getElementById("plan-outcome")),
            change: read(document.getElementById("plan-change")),
            brings: all(".brings"), roas: all(".roas"), marginal: all(".marginal"),
          };
        }"""
    )


class Model:
    """The model on scaled tables, with the draws of the page."""

    def __init__(self, fitted: Fitted, draws: int) -> None:
        self.fitted, self.draws = fitted, draws
        self.spend = fitted.data.ds["spend"].values.sum((0, 1))
        self.today = self.total(np.ones(len(self.spend)))

    def table(self, multiples: np.ndarray) -> Any:
        from mmm_bayes import MMMData

        ds = self.fitted.data.ds.copy(deep=True)
        for name in ("spend", "exposure"):
            ds[name] = ds[name] * multiples
        return MMMData(ds)

    def total(self, multiples: np.ndarray) -> np.ndarray:
        from mmm_bayes.analysis.contributions import fitted_mean

        data = self.table(multiples)
        found = fitted_mean(self.fitted, (), unit="revenue", data=data, max_draws=self.draws)
        return found.values.ravel()

    def brings(self, multiples: np.ndarray) -> np.ndarray:
        from mmm_bayes.analysis.contributions import media_contributions

        data = self.table(multiples)
        found = media_contributions(self.fitted, unit="revenue", data=data, max_draws=self.draws)
        return found.values.reshape(-1, len(self.spend))

    def says(self, multiples: np.ndarray, channel: int) -> dict[str, np.ndarray]:
        """Return the numbers of the page from the model; marginal ROAS of one channel."""
        total, brings = self.total(multiples), self.brings(multiples)
        more = multiples.copy()
        more[channel] *= 1.01
        step = 0.01 * multiples[channel] * self.spend[channel]
        return {
            "outcome": ends(total)[None],
            "change": ends(total - self.today)[None],
            "brings": ends(brings).T,
            "roas": ends(brings / (multiples * self.spend)).T,
            "marginal": ends((self.total(more) - total) / step)[None],
        }


def ends(draws: np.ndarray) -> np.ndarray:
    """Return the median and 90% interval."""
    return np.quantile(draws, [0.5, 0.05, 0.95], axis=0)


def agreement(browser: Browser, path: Path, fitted: Fitted, settings: int) -> dict[str, float]:
    """Return the largest relative errors over random settings."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("#planner:not([hidden])", state="attached")
    shape = page.evaluate("JSON.parse(document.getElementById('plan-values').textContent).shape")
    model = Model(fitted, shape["draws"])
    sliders = page.locator("input[type=range]")
    worst: dict[str, float] = {}
    rng = np.random.default_rng(0)
    for k in range(settings):
        # Zero is left out: returns on no spend are not shown.
        for c, percent in enumerate(rng.uniform(1, 200, sliders.count())):
            sliders.nth(c).fill(str(max(1, round(percent))))
        shown = seen(page)
        channel = k % sliders.count()
        expected = model.says(np.array(shown["multiples"]), channel)
        shown["marginal"] = [shown["marginal"][channel]]
        for name, values in expected.items():
            error = np.abs(np.atleast_2d(shown[name]) - values)
            size = np.ptp(values) if name == "change" else np.abs(values)
            worst[name] = max(worst.get(name, 0.0), float((error / size).max()))
    context.close()
    return worst | {"draws": shape["draws"]}


def accessibility(browser: Browser, path: Path) -> list[str]:
    """Count accessibility faults by impact over themes and widths, with everything unfolded."""
    from axe_playwright_python.sync_playwright import Axe

    found: list[str] = []
    for scheme in ("light", "dark"):
        for width in (1280, 360):
            settings: dict[str, Any] = {"viewport": {"width": width, "height": 900}}
            context = browser.new_context(offline=True, color_scheme=scheme, **settings)
            page = context.new_page()
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-charts=drawn]")
            page.evaluate("for (const x of document.querySelectorAll('details')) x.open = true")
            found += [own["impact"] for own in Axe().run(page).response["violations"]]
            context.close()
    return found


def opening(browser: Browser, path: Path) -> dict[str, float]:
    """Time the opening of sliders and charts, and one move of a slider."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    began = time.perf_counter()
    page.goto(path.as_uri(), wait_until="commit")
    page.wait_for_selector("#planner:not([hidden])", state="attached")
    ready = time.perf_counter() - began
    page.wait_for_selector("html[data-charts=drawn]")
    drawn = time.perf_counter() - began
    move = page.evaluate(
        """() => {
          const slider = document.querySelector("input[type=range]");
          const times = [];
          for (let k = 0; k < 20; k += 1) {
            slider.value = 60 + 4 * k;
            const began = performance.now();
            slider.dispatchEvent(new Event("input"));
            times.push(performance.now() - began);
          }
          return times.sort((a, b) => a - b)[10];
        }"""
    )
    context.close()
    return {"ready": ready, "drawn": drawn, "move": move}


def rows_of(names: Iterable[str], folder: Path, settings: int) -> tuple[list[Any], ...]:
    """Return rows of the three tables."""
    from playwright.sync_api import sync_playwright

    from mmm_bayes.model import store

    built, agreed, bars = [], [], []
    for name in names:
        arguments = ["--case", name, "--folder", str(folder)]
        figures, _ = record.fresh_process(arguments)
        columns = ("megabytes", "load", "seconds", "cpu")
        built.append((CASES[name], *(figures[x] for x in columns)))
    with sync_playwright() as started:
        executable = shutil.which("chromium")
        browser = started.chromium.launch(executable_path=executable, args=ARGUMENTS)
        for name in names:
            path = folder / f"{name}.html"
            speed = opening(browser, path)
            faults = accessibility(browser, path)
            counts = [faults.count(x) for x in ("critical", "serious", "moderate", "minor")]
            bars.append((CASES[name], *counts, speed["ready"], speed["drawn"], speed["move"]))
            error = agreement(browser, path, store.load(folder / f"{name}.nc"), settings)
            columns = ("outcome", "change", "brings", "roas", "marginal")
            percents = (f"{100 * error[x]:.3f}%" for x in columns)
            agreed.append((CASES[name], error["draws"], *percents))
        browser.close()
    return built, agreed, bars


def main() -> None:
    parser = record.parser(__doc__ or "")
    parser.add_argument("--draws", type=int, default=1000, help="draws per chain")
    parser.add_argument("--settings", type=int, default=100, help="random slider settings")
    parser.add_argument("--folder", default="", help="where fits and reports are kept")
    parser.add_argument("--case", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(given.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        fits(folder, given.draws)
        built, agreed, bars = rows_of(CASES, folder, given.settings)
    times = ("report of", "MB", "fit loaded, s", "report written, s", "CPU s")
    errors = ("report of", "draws", "outcome", "change", "brings", "ROAS", "marginal ROAS")
    faults = (
        "report of", "critical", "serious", "moderate", "minor", "sliders ready, s",
        "charts drawn, s", "a slider's move, ms",
    )  # fmt: skip
    parts = [
        (__doc__ or "").split("\n\n", 1)[1].strip(),
        f"Fits of 4 x {given.draws} draws. Size of the file, and seconds from the start of the "
        "interpreter (recommended budget and diagnostics included):",
        record.table(times, built),
        f"Largest error of medians and interval ends over {given.settings} random settings, "
        "relative to the value; of the change, which may be zero, relative to its interval:",
        record.table(errors, agreed),
        "Faults that axe-core finds in light and dark at 1280 and 360 pixels, everything unfolded "
        "(rules counted in each of the four), and times in headless Chromium:",
        record.table(faults, bars),
    ]
    record.publish("report", "Reports: size, time, agreement, accessibility", parts, given.write)


if __name__ == "__main__":
    main()
