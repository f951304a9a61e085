"""From sections to one HTML text: template, styles, scripts, and rules that keep it to itself."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmm_bayes._version import __version__
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.present.plots.style import channel_colours
from mmm_bayes.present.report.blocks import Chart, Panels, Planner, Section
from mmm_bayes.present.report.colours import palette
from mmm_bayes.runtime.visible import visible_text

_TEMPLATES = Path(__file__).parent / "templates"
_INSTALL = 'The report needs {name}: pip install "mmm-bayes[report]".'


def page(title: str, fitted: Fitted, sections: Sequence[Section]) -> str:
    """Return the page.

    Everything is within the text: plotly compressed (the page inflates it), figures and curves as
    JSON. Scripts are allowed by their hashes and nothing may be loaded, so that a text that slipped
    through as markup could neither run nor send anything.
    """
    environment = _environment()
    plotly, plotly_hash = _plotly()
    scripts = [_asset("planner.js"), _asset("report.js")]
    hashes = [*(_hash(own) for own in scripts), plotly_hash]
    policy = "; ".join(
        (
            "default-src 'none'",
            "script-src " + " ".join(f"'{own}'" for own in hashes),
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    data = fitted.data
    where = "national" if data.is_national else f"{data.num_geos} geos"
    return environment.get_template("report.html").render(
        title=title,
        subtitle=f"{data.roles.target or 'target'}, {where}, {data.dates[0]:%Y-%m-%d} to "
        f"{data.dates[-1]:%Y-%m-%d}",
        sections=sections,
        policy=policy,
        style=_asset("report.css"),
        colours=palette(list(channel_colours(data.channels).values())),
        scripts=scripts,
        figures=_json(_figures(sections)),
        plan=next((_json(b.values) for b in _blocks(sections) if isinstance(b, Planner)), None),
        curves=next((b.curves for b in _blocks(sections) if isinstance(b, Planner)), None),
        plotly=plotly,
        version=__version__,
    )


def _environment() -> Any:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise ImportError(_INSTALL.format(name="jinja2")) from error
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible_text(value) if type(value) is str else value,
    )


def _blocks(sections: Sequence[Section]) -> list[Any]:
    return [block for section in sections for block in section.blocks]


def _figures(sections: Sequence[Section]) -> dict[str, Any]:
    """Figures by the identifier of their place."""
    found: dict[str, Any] = {}
    for block in _blocks(sections):
        if isinstance(block, Chart):
            own = [figure for _, figure in block.choices] or [block.figure]
            found[block.key] = {"height": block.height, "figures": own}
        elif isinstance(block, Panels):
            for panel in block.panels:
                found[panel.key] = {"height": block.height, "figures": [panel.figure]}
    return found


def _json(values: Any) -> str:
    """JSON for a data block: no character of it can end the block or open a comment in it."""
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _asset(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


@functools.lru_cache(maxsize=1)
def _plotly() -> tuple[str, str]:
    """Return the library, compressed in base64, and the hash of its text."""
    # Importing plotly takes longer than all of this; its file is all that is needed.
    spec = importlib.util.find_spec("plotly")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(_INSTALL.format(name="plotly"))
    raw = Path(spec.submodule_search_locations[0], "package_data", "plotly.min.js").read_bytes()
    text = raw.decode("utf-8-sig")
    packed = gzip.compress(text.encode("utf-8"), 9, mtime=0)
    return base64.b64encode(packed).decode("ascii"), _hash(text)
