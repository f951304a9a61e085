"""One fit as a cell: a table, a model, and everything its draws depend on."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from mmm_bayes._typing import RngKey
from mmm_bayes._version import __version__
from mmm_bayes.runtime.jobs.records import Row
from mmm_bayes.runtime.jobs.tasks import digest
from mmm_bayes.runtime.run_folder import remove_run
from mmm_bayes.runtime.streams import as_key
from mmm_bayes.runtime.visible import shown_safely

if TYPE_CHECKING:
    import jax
    import pandas as pd

    from mmm_bayes.data.lift_tests import LiftTest
    from mmm_bayes.data.schema import MMMData
    from mmm_bayes.fit_result import FitResult
    from mmm_bayes.model.spec import ModelSpec

Summarise = Callable[["FitResult"], "pd.DataFrame | Sequence[Mapping[str, Any]]"]

OF_A_CELL = (
    "verdict", "max_rhat", "min_ess_bulk", "divergences", "findings", "seconds", "cpu_seconds",
    "peak_memory_mib", "file",
)  # fmt: skip
"""Columns with the same value in all rows of a cell."""

_SHOWN = 40  # characters of a name that are shown in a file name


class FolderError(RuntimeError):
    """A worker does not see the folder in which fits are saved."""


@final
@dataclass(frozen=True, eq=False)
class FitCell:
    """One table and one model.

    Attributes
    ----------
    table, spec_name : str
        Names of table and model.
    data, spec, lift_tests
        Table, model and experiments of the fit.
    method, settings
        As in ``MMM.fit``.
    key_words : tuple of int
        Words of the random key of the whole map.
    key_kind : str
        Implementation of random numbers that the key belongs to.
    folder : str or None
        Folder that contains ``fits/``; ``None`` saves no fits.
    folder_id : str
        Identifier in ``store.json`` of this folder. A worker on another machine that does not find
        it would write to a folder of its own.
    summarise
        Function that turns the fit into rows; ``None`` for the summary of its channels.
    """

    table: str
    spec_name: str
    data: MMMData
    spec: ModelSpec
    lift_tests: tuple[LiftTest, ...]
    method: str
    settings: Mapping[str, Any]
    key_words: tuple[int, ...]
    key_kind: str
    folder: str | None = None
    folder_id: str = ""
    summarise: Summarise | None = field(default=None)

    @shown_safely
    def __str__(self) -> str:
        return f"{self.table!r} with {self.spec_name!r}"

    @cached_property
    def key(self) -> str:
        """Key derived from the content of table, model, settings, tests, random key and version."""
        from mmm_bayes.data.digest import table_digest
        from mmm_bayes.data.lift_tests import to_json

        summarise = self.summarise and f"{self.summarise.__module__}.{self.summarise.__qualname__}"
        return digest(
            [
                table_digest(self.data), self.data.ds.attrs["roles"], self.described,
                self.spec.model_dump(mode="json"), json.loads(to_json(self.lift_tests)),
                [str(word) for word in self.key_words], self.key_kind, summarise, __version__,
            ]
        )  # fmt: skip

    @property
    def described(self) -> dict[str, Any]:
        """Settings that are stored with the results."""
        return {
            "table": self.table,
            "spec": self.spec_name,
            "method": self.method,
            "settings": dict(self.settings),
        }

    @property
    def seed(self) -> int | None:
        """The integer that the key of the map was made from, if it was made from one."""
        *high, low = self.key_words
        return None if any(high) else low

    @property
    def file(self) -> str:
        """Name of the fit's file in ``fits/``.

        The user chose the names of table and model, so only their letters, digits, ``-`` and ``_``
        are shown; the key makes the file name unique.
        """
        shown = "__".join(
            re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:_SHOWN].strip("_") or "x"
            for name in (self.table, self.spec_name)
        )
        return f"{shown}-{self.key}.nc"

    @property
    def shape(self) -> tuple[Any, ...]:
        """Sizes that cells with the same compiled program have in common."""
        data = self.data
        sizes = data.num_geos, data.num_dates, tuple(data.channels), tuple(data.controls)
        return self.spec_name, *sizes, len(self.lift_tests)

    def rng_key(self) -> jax.Array:
        """Return the random key of this fit."""
        import jax
        import jax.numpy as jnp

        words = jnp.asarray(self.key_words, jnp.uint32)
        whole = jax.random.wrap_key_data(words, impl=self.key_kind)
        return fit_key(whole, self.table, self.spec_name)


def fit_key(rng_key: RngKey, table: str, spec: str = "model") -> jax.Array:
    """Derive the random key of one fit from the key of the map and the names, and nothing else.

    ``MMM(data, spec).fit(fit_key(rng_key, "brand_a"))`` gives the same draws as ``map_fits``.

    Parameters
    ----------
    rng_key
        The map's key.
    table, spec
        Names of the table and of the model (``"model"`` where one specification was given).
    """
    import jax

    rng_key = as_key(rng_key)
    found = hashlib.sha256(json.dumps([table, spec]).encode()).digest()
    # Two folds of 32 bits: no two of 100,000 names are likely to collide.
    for start in (0, 4):
        rng_key = jax.random.fold_in(rng_key, int.from_bytes(found[start : start + 4], "big"))
    return rng_key


def make_fit(cell: FitCell) -> list[Row]:
    """Fit, diagnose, save and summarise; return the rows of a cell."""
    from mmm_bayes.fit import MMM
    from mmm_bayes.runtime.jobs.peak_memory import peak_memory

    if cell.folder is not None:
        _same_folder(Path(cell.folder), cell.folder_id)
    began, cpu = time.perf_counter(), time.process_time()
    with peak_memory() as memory:
        model = MMM(cell.data, cell.spec, lift_tests=cell.lift_tests)
        unfinished = None
        if cell.folder is not None and cell.method == "nuts":
            unfinished = Path(cell.folder) / "unfinished" / cell.key
        fit = model.fit(
            cell.rng_key(), cell.method, progress=False, checkpoint=unfinished, **cell.settings
        )
        if fit.tree["posterior"].attrs.get("interrupted"):
            raise KeyboardInterrupt  # an interrupted fit is not a result
        report = fit.diagnose()
        rows = _rows(fit, cell.summarise)
        if cell.folder is not None:
            fit.save(Path(cell.folder) / "fits" / cell.file)
        if unfinished is not None:
            remove_run(unfinished)
    stats = report.stats
    of_cell = {
        "verdict": report.verdict,
        "max_rhat": stats.get("max_rhat"),
        "min_ess_bulk": stats.get("min_ess_bulk"),
        "divergences": stats.get("num_divergences"),
        "findings": [f"{f.severity}: {f.message}" for f in report.findings if f.severity != "note"],
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "peak_memory_mib": memory.mib,
        "file": cell.file if cell.folder is not None else None,
    }
    names = {"table": cell.table, "spec": cell.spec_name}
    return [names | row | of_cell for row in rows or [{}]]


def _rows(fit: FitResult, summarise: Summarise | None) -> list[Row]:
    found: Any = fit.summary().reset_index() if summarise is None else summarise(fit)
    if hasattr(found, "to_dict"):
        found = found.to_dict("records")
    return [dict(row) for row in found]


def _same_folder(folder: Path, wanted: str) -> None:
    try:
        seen = json.loads((folder / "store.json").read_text("utf-8")).get("id")
    except (OSError, ValueError):
        seen = None
    if seen != wanted:
        import socket

        raise FolderError(
            f"The worker on {socket.gethostname()} does not see {folder}, where fits are saved. "
            "Choose a folder that all workers have mounted at this path, or keep_fits=False."
        )
