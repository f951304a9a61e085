"""Reading a file runs nothing, reaches nothing outside it, and names never become paths."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

import mmm_bayes as mb
from mmm_bayes.model.store import FitFileError
from mmm_bayes.runtime import netcdf_file
from mmm_bayes.runtime.artifact import RECORD, Record, array_checksum, bytes_checksum
from mmm_bayes.runtime.run_folder import RunFolder, RunFolderError

PACKAGE = Path(mb.__file__).parent
# Modules and functions that run what they read.
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {"read_pickle", "to_pickle", "eval", "load_module", "system", "popen"}
# Hands work to processes of its own over a pipe; nothing of it is ever read from a file.
BETWEEN_PROCESSES = {"runtime/jobs/processes.py: pickle"}


def sources() -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE), ast.parse(path.read_text("utf-8"))


def faults(tree: ast.AST) -> Iterator[str]:
    """What in a module could run what it reads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield f"from {node.module}"
        elif isinstance(node, ast.Call):
            yield from _call_faults(node)


def _call_faults(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
    last = name.rsplit(".", maxsplit=1)[-1]
    if name in CALLS or (last in METHODS and "." in name):
        yield name
    if keywords.get("allow_pickle", "False") != "False" or keywords.get("shell") == "True":
        yield ast.unparse(node)
    if name in ("np.load", "numpy.load") and keywords.get("allow_pickle") != "False":
        yield f"{name} without allow_pickle=False"
    if last in ("extractall", "extract") and ".str." not in name:
        yield name


def test_no_module_runs_what_it_reads() -> None:
    found = [f"{path}: {text}" for path, tree in sources() for text in faults(tree)]
    assert set(found) <= BETWEEN_PROCESSES


@pytest.mark.parametrize(
    "text",
    ["import pickle", "from joblib import load", "eval('1')", "np.load(p)", "df.eval('a')",
     "np.load(p, allow_pickle=True)", "os.system('x')", "file.extractall(folder)",
     "np.savez(f, allow_pickle=True)", "pd.read_pickle(p)", "run('x', shell=True)"],
)  # fmt: skip
def test_the_search_finds_each(text: str) -> None:
    assert list(faults(ast.parse(text)))


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture(autouse=True)
def mark(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "executed"
    yield path
    assert not path.exists(), "what was in the file has been run"


def pickled(mark: Path) -> np.ndarray:
    array = np.empty(1, dtype=object)
    array[0] = Bomb(mark)
    return array


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(parts: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", method) as file:
        for name, data in parts:
            file.writestr(name, data)
    return memory.getvalue()


def signed(parts: dict[str, bytes], about: Any = None, **record: Any) -> dict[str, bytes]:
    """Members with a record that is right for them, as one who means harm would write it."""
    checksums = {}
    for name, content in parts.items():
        if name.endswith(".npy"):
            with contextlib.suppress(ValueError):
                values = np.load(io.BytesIO(content), allow_pickle=False)
                checksums[name.removesuffix(".npy")] = array_checksum(values)
        elif name != RECORD:
            checksums[name] = bytes_checksum(content)
    own = Record.from_json(parts[RECORD].decode())
    about = own.about if about is None else about
    new = dataclasses.replace(own, checksums=checksums, **record)
    content = {**vars(new), "about": about}
    text = json.dumps(content, sort_keys=True).encode()
    return {**parts, RECORD: json.dumps({**content, "checksum": bytes_checksum(text)}).encode()}


def refused(kind: str, data: bytes, tmp_path: Path) -> str:
    import fuzz_binary

    path = tmp_path / f"given{fuzz_binary.SUFFIX[kind]}"
    path.write_bytes(data)
    error = {"run folder": RunFolderError}.get(kind, FitFileError)
    with pytest.raises(error) as caught:
        fuzz_binary.READERS[kind](path)
    assert type(caught.value) is error
    return str(caught.value)


ZIPS = ("causal mmm", "run folder", "structural")


@pytest.mark.parametrize("kind", ["causal mmm", "run folder"])
def test_objects_in_arrays_are_refused(kind: str, tmp_path: Path, mark: Path) -> None:
    import fuzz_binary

    parts = members(fuzz_binary.sound(kind))
    array = io.BytesIO()
    np.save(array, pickled(mark), allow_pickle=True)
    for name in [name for name in parts if name.endswith(".npy")][:3]:
        data = zipped(list({**parts, name: array.getvalue()}.items()))
        assert "allow_pickle" in refused(kind, data, tmp_path)
    raw = tmp_path / "raw"
    raw.write_bytes(pickle.dumps(Bomb(mark)))
    refused(kind, raw.read_bytes(), tmp_path)


@pytest.mark.parametrize("kind", ["causal mmm", "structural"])
@pytest.mark.parametrize(
    "name",
    ["../evil.npy", "/tmp/evil.nc", "a/../../evil.nc", "C:\\evil.nc", "setup.py", "about.npy/x"],
)
def test_members_that_do_not_belong_are_refused(kind: str, name: str, tmp_path: Path) -> None:
    import fuzz_binary

    parts = list(members(fuzz_binary.sound(kind)).items())
    before = sorted(tmp_path.parent.iterdir())
    refused(kind, zipped([*parts, (name, b"import os")]), tmp_path)
    assert sorted(tmp_path.parent.iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"given{'.zip'}"]


@pytest.mark.parametrize("kind", ZIPS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_given_twice_are_refused(kind: str, tmp_path: Path) -> None:
    import fuzz_binary

    parts = list(members(fuzz_binary.sound(kind)).items())
    assert "twice" in refused(kind, zipped([*parts, parts[0]]), tmp_path)


@pytest.mark.parametrize("kind", ZIPS)
def test_sizes_that_no_file_can_hold_are_refused(kind: str, tmp_path: Path) -> None:
    import fuzz_binary

    data = bytearray(zipped(list(members(fuzz_binary.sound(kind)).items())))
    # The size of a member, in the directory at the end: 24 bytes after its signature.
    at = data.rindex(b"PK\x01\x02") + 24
    data[at : at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    assert "cannot hold" in refused(kind, bytes(data), tmp_path)


@pytest.mark.parametrize("kind", ["causal mmm", "run folder"])
def test_shapes_that_no_memory_holds_are_refused(kind: str, tmp_path: Path) -> None:
    import fuzz_binary

    parts = members(fuzz_binary.sound(kind))
    name = next(name for name in parts if name.endswith(".npy"))
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000000000,), }"
    header = header.ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    refused(kind, zipped(list({**parts, name: array}.items())), tmp_path)


Change = Callable[[h5py.File], None]


def _attribute(name: str, value: Any) -> Change:
    return lambda file: file.attrs.__setitem__(name, value)


def _external_link(file: h5py.File) -> None:
    file["posterior/secret"] = h5py.ExternalLink("/etc/hostname", "/")


def _external_data(file: h5py.File) -> None:
    file["posterior"].create_dataset(
        "secret", (4,), "u1", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
    )


def _loop(file: h5py.File) -> None:
    file["posterior/again"] = file["posterior"]


def _bomb(file: h5py.File) -> None:
    file["posterior"].create_dataset("beta2", (10**5, 10**5), "f8", chunks=(10, 10))


def _without_draws(file: h5py.File) -> None:
    del file["posterior"]


def _infinite(file: h5py.File) -> None:
    file["constant_data/spend"][...] = np.inf


@pytest.mark.parametrize(
    "change",
    [
        _attribute("mmm_bayes_spec", "name = __import__('os').system('touch executed')"),
        _attribute("mmm_bayes_spec", "[sampler]\nnum_chains = 'exec'"),
        _attribute("mmm_bayes_spec", np.arange(3)),
        _attribute("mmm_bayes_format", "many"),
        _attribute("mmm_bayes_format", 99),
        _external_link, _external_data, _loop, _bomb, _without_draws, _infinite,
    ],
)  # fmt: skip
def test_hostile_fits_are_refused(change: Change, tmp_path: Path) -> None:
    import fuzz_binary

    path = tmp_path / "fit.nc"
    path.write_bytes(fuzz_binary.sound("fit"))
    with h5py.File(path, "a") as file:
        change(file)
        del file.attrs[netcdf_file.RECORD]  # as in files from before there were checksums
    with pytest.raises(FitFileError) as caught:
        mb.load_fit(path)
    assert type(caught.value) is FitFileError


def test_code_in_graph_of_a_structural_fit_is_text(tmp_path: Path) -> None:
    import fuzz_binary

    parts = members(fuzz_binary.sound("structural"))
    about = dict(Record.from_json(parts[RECORD].decode()).about)
    for changed in (
        about | {"equations": ["../../x", "b"]},
        about | {"districts": [["a"] * 9] * 9},
        about | {"edges": [["a", "a"]]},
        {},
        [],
    ):
        refused("structural", zipped(list(signed(parts, changed).items())), tmp_path)
    for record in ({"format": "1; import os"}, {"format": 99}, {"kind": "fit"}):
        refused("structural", zipped(list(signed(parts, **record).items())), tmp_path)
    refused("structural", zipped(list({**parts, RECORD: b"{}"}.items())), tmp_path)


# --- Names that would be paths -------------------------------------------------------------------

PATHS = ["../up", "/etc/x", "a/b", "a\\b", "..", "CON", "nul.txt", "x" * 3000, "tv\n", " .hidden"]


def named_data() -> mb.MMMData:
    rng = np.random.default_rng(0)
    channels = PATHS[:3]
    frame = pd.DataFrame({"../date": pd.date_range("2023-01-02", periods=20, freq="W-MON")})
    rows = [frame.assign(**{"../geo": name}) for name in PATHS[2:6]]
    frame = pd.concat(rows, ignore_index=True)
    for name in (*channels, "../control", "../target"):
        frame[name] = rng.gamma(2.0, 5.0, len(frame))
    return mb.MMMData.from_dataframe(
        frame, date="../date", target="../target", channels=channels, controls=["../control"],
        geo="../geo",
    )  # fmt: skip


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_names_of_channels_and_geos_are_no_paths(tmp_path: Path) -> None:
    import fuzz_binary

    spec = mb.ModelSpec(name="../../model", media={"max_lag": 3})
    fit = fuzz_binary.prior_fit(named_data(), spec, 20)
    inner = tmp_path / "deep" / "folder"
    written = fit.plot.save_all(inner)
    report = fit.report(inner / "report.html", budget=None)
    saved = fit.save(inner / "fit.nc")
    assert files(tmp_path) == {*written, report, saved}
    assert mb.load_fit(saved).data.geos == fit.data.geos
    graph = mb.CausalGraph(edges=[(name, "../target") for name in PATHS])
    for suffix in (".dot", ".gml", ".json", ".toml"):
        path = graph.to_file(inner / f"graph{suffix}")
        written.append(path)
        assert mb.CausalGraph.from_file(path) == graph
    assert files(tmp_path) == {*written, report, saved}


@pytest.mark.parametrize("name", [*PATHS[:5], PATHS[7], "", "."])
def test_a_run_keeps_to_its_folder(name: str, tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", "numbers", {}) as run:
        for use in (lambda: run.read(name), lambda: run.write(name, {"x": np.zeros(1)})):
            with pytest.raises(RunFolderError, match="name of a file"):
                use()
        run.write("fold_1.geo-2", {"x": np.zeros(1)})
    assert {path.name for path in files(tmp_path)} <= {"run.json", ".lock", "fold_1.geo-2.npz"}
