"""One report for all tests, a browser to open it in, and fits that take no sampler."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pytest
import xarray as xr

from mmm_bayes import FitResult, MMMData, ModelSpec, simulate
from mmm_bayes.model import tree, units
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.program import program_for
from mmm_bayes.present.report import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EVIL = "<script>alert(1)</script>"
EVIL_CONTROL = '"><img src=x onerror=alert(2)> & %{x} $1'
EVIL_TARGET = "</script><b>sales"
_CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if
     (found := shutil.which(name))), None,
)  # fmt: skip
_ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip


def fitted_from_prior(data: MMMData, spec: ModelSpec, draws: int = 40) -> Fitted:
    """Take draws of the prior for those of a posterior: figures and tables need no more."""
    bare = Fitted(spec, data, xr.DataTree())
    with bare.precision():
        program = program_for(bare.structure, False, spec.sampler.precision)
        arrays = bare.arrays._replace(block=None)
        params = program.prior(jax.random.key(7), arrays, draws)
    table = units.to_table_units(bare.structure, bare.scaling, bare.log_rate, params)
    groups = {"posterior": tree.parameter_group(bare.structure, data, table, 1)}
    groups |= tree.data_groups(data)
    return Fitted(spec, data, xr.DataTree.from_dict(groups))


@pytest.fixture(scope="session")
def log_fitted() -> Fitted:
    """A multiplicative panel: two geos, three channels."""
    data = simulate.mmm(
        jax.random.key(11), num_dates=40, num_geos=2, num_channels=3, max_lag=5
    ).data
    spec = ModelSpec(
        media={"max_lag": 4, "priors": {"beta": {"dist": "half_normal", "scale": 0.5}}},
        likelihood={"family": "log_normal"},
    )
    return fitted_from_prior(data, spec)


@pytest.fixture(scope="session")
def evil_fitted(national_fit: FitResult) -> Fitted:
    """The national fit with names that would be markup anywhere they are not escaped."""
    old = national_fit.fitted
    ds = old.data.ds
    channels = [EVIL, *old.data.channels[1:]]
    controls = [EVIL_CONTROL, *old.data.controls[1:]]
    roles = json.loads(ds.attrs["roles"])
    roles["target"] = EVIL_TARGET
    for part in ("exposure", "spend"):
        roles[part] = dict(zip(channels, roles[part].values(), strict=True))
    roles["controls"] = dict(zip(controls, roles["controls"].values(), strict=True))
    attrs = ds.attrs | {"roles": json.dumps(roles), "target": EVIL_TARGET}
    data = MMMData(ds.assign_coords(channel=channels, control=controls).assign_attrs(attrs))
    groups = {}
    for name, group in old.tree.children.items():
        own = group.to_dataset()
        labels = {"channel": channels, "control": controls}
        known = {dim: values for dim, values in labels.items() if dim in own.dims}
        known |= {
            dim: channels for dim in own.dims if dim.endswith("_channel") and len(own[dim]) == 3
        }
        groups[name] = own.assign_coords(known)
    return Fitted(old.spec, data, xr.DataTree.from_dict(groups))


@pytest.fixture(scope="session")
def evil_report(evil_fitted: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report with everything in it, of a fit with those names."""
    from mmm_bayes import CausalGraph
    from mmm_bayes.data.lift_tests import LiftTest
    from tests.present.report.stand_in import plan_of

    data = evil_fitted.data
    graph = CausalGraph(edges=[(name, EVIL_TARGET) for name in data.channels])
    first = int(np.argmax(data.ds["spend"].values[0, :-4].min(-1) > 0))
    day = data.dates[first:]
    tests = [
        LiftTest(EVIL, day[0], day[3], 500.0, 300.0, name="<i>first</i>"),
        LiftTest.of_roas(data.channels[1], day[0], day[3], 1.0, 0.5),
    ]
    path = tmp_path_factory.mktemp("report") / "report.html"
    plan = plan_of(evil_fitted, [1.4, 0.6, 1.0])
    return write_report(
        evil_fitted, path, graph=graph, budget=plan, tests=tests, title="<u>Title</u>"
    )


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if _CHROMIUM is None:
        pytest.skip("there is no Chromium on the path")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=_CHROMIUM, args=_ARGS)
        yield chromium
        chromium.close()


class Opened:
    """A page with what it said on the console and what it tried to load."""

    def __init__(self, browser: Browser, path: Path, **settings: Any) -> None:
        self.context = browser.new_context(offline=True, **settings)
        self.page: Page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append("dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-charts]")


@pytest.fixture(scope="session")
def opened(browser: Browser, evil_report: Path) -> Iterator[Opened]:
    """The report in a wide window; tests leave it as they found it."""
    found = Opened(browser, evil_report, viewport={"width": 1280, "height": 900})
    yield found
    found.context.close()


def scaled_table(data: MMMData, multiples: np.ndarray) -> MMMData:
    """The table with every channel's spend and exposure multiplied."""
    ds = data.ds.copy(deep=True)
    for name in ("spend", "exposure"):
        ds[name] = ds[name] * multiples
    return MMMData(ds)
