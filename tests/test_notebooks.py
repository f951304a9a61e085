"""Every notebook runs from top to bottom, with few draws."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
FEW = re.compile(r"^(DRAWS, WARMUP, CHAINS = ).*$", re.MULTILINE)


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.mark.timeout(600)  # compiling takes most of it, and tests share the cores
def test_a_notebook_runs_with_few_draws(notebook: Path, monkeypatch, tmp_path):
    book = nbformat.read(notebook, as_version=4)
    settings = [cell for cell in book.cells if "parameters" in cell.metadata.get("tags", ())]
    assert len(settings) == 1, "a notebook has one cell tagged 'parameters'"
    settings[0].source, replaced = FEW.subn(r"\g<1>60, 100, 2", settings[0].source)
    assert replaced == 1
    # The kernel finds the package of this checkout, and asks nothing of the machine's settings.
    root = str(notebook.parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    # Else a kernel the user installed under this name would run in place of the tests' interpreter.
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    # Factorising small matrices in threads takes ten times as long where tests share the cores.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    client = nbclient.NotebookClient(
        book, timeout=240, kernel_name="python3", resources={"metadata": {"path": notebook.parent}}
    )
    client.execute()
    for cell in book.cells:
        for output in cell.get("outputs", ()):
            assert output.get("name") != "stderr", f"{cell.source}\nwrote {output['text']}"


def test_a_committed_notebook_shows_its_results(notebook: Path):
    text = notebook.read_text(encoding="utf-8")
    assert len(text) < 2**20, "keep notebooks below 1 MiB"
    book = json.loads(text)
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 5
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    # Nothing of the machine it ran on.
    assert not re.search(r"(?<![\w.])/(?:home|root|tmp|work|Users)/", text)


def test_a_committed_notebook_ran_at_its_full_size(notebook: Path):
    cells = nbformat.read(notebook, as_version=4).cells
    (settings,) = (c.source for c in cells if "parameters" in c.metadata.get("tags", ()))
    draws, _, chains = map(int, settings.split("=")[1].split(","))
    assert draws >= 1000
    assert chains >= 4
