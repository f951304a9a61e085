"""Outputs never destroy inputs: every command with an output option refuses, also with --force."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

import mmm_bayes as mb
from mmm_bayes.cli import app
from mmm_bayes.cli.outputs import Outputs
from mmm_bayes.runtime import outputs as guard

MODEL = """\
name = "small"
[data]
file = "small.csv"
date = "date"
target = "sales"
channels = { tv = "tv_spend", radio = "radio_spend" }
[media]
max_lag = 3
"""
GRAPH = 'edges = [["tv", "sales"], ["radio", "sales"]]\n'
TESTS = "channel,start,end,lift,standard_error\ntv,2021-03-01,2021-03-28,10,5\n"
# Command, its inputs, and what it writes: a file, or files in a folder.
FILES = {
    "augment": ("small.csv", "--graph", "graph.toml"),
    "report": ("fit.nc", "--graph", "graph.toml", "--tests", "tests.csv"),
    "optimize": ("fit.nc", "--bounds", "bounds.toml"),
    "next-test": ("fit.nc", "--candidates", "tests.csv"),
}
FOLDERS = {
    "fit": ("model.toml", "--data", "small.csv", "--lift-tests", "tests.csv"),
    "validate": ("model.toml", "--data", "small.csv"),
    "compare": ("model.toml", "--data", "small.csv"),
    "forecast": ("fit.nc", "--future", "small.csv"),
    "map-fits": ("small.csv", "--spec", "model.toml"),
    "graph check": ("model.toml", "--graph", "graph.toml", "--data", "small.csv"),
    "graph discover": ("model.toml", "--knowledge", "bounds.toml", "--data", "small.csv"),
    "graph effects": ("model.toml", "--graph", "graph.toml", "--data", "small.csv"),
}
NO_INPUTS = {"demo"}
WITHOUT_FORCE = {"map-fits"}  # always resumes the run in its folder
WRITTEN = {
    "fit": "summary.csv", "validate": "roas.csv", "compare": "roas.csv",
    "forecast": "forecast.csv", "map-fits": "channels.csv", "graph check": "check.txt",
    "graph discover": "edges.csv", "graph effects": "regression.csv",
}  # fmt: skip


def run(*arguments: object) -> SimpleNamespace:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(code=result.exit_code, text=" ".join(result.output.split()))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one input of each kind, which is the working directory."""
    data = mb.simulate.mmm(jax.random.key(0), num_dates=60, num_channels=2, num_controls=0).data
    data.to_frame().to_csv(tmp_path / "small.csv", index=False)
    for name, text in (("model.toml", MODEL), ("graph.toml", GRAPH), ("tests.csv", TESTS)):
        (tmp_path / name).write_text(text)
    (tmp_path / "bounds.toml").write_text("[bounds]\ntv = [0, 1]\n")
    (tmp_path / "fit.nc").write_bytes(b"\x89HDF\r\n\x1a\n and draws")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def with_output_option() -> Iterator[str]:
    def visit(command: Any, name: str) -> Iterator[str]:
        if hasattr(command, "commands"):
            for own, member in command.commands.items():
                yield from visit(member, f"{name} {own}".strip())
        elif any("--out" in option.opts for option in command.params):
            yield name

    return visit(get_command(app), "")


def test_every_command_with_an_output_is_here() -> None:
    assert {*FILES, *FOLDERS, *NO_INPUTS} == set(with_output_option())


def inputs_of(command: str) -> list[str]:
    given = {**FILES, **FOLDERS}[command]
    return [name for name in given if not name.startswith("--")]


def force_of(command: str) -> list[str]:
    return [] if command in WITHOUT_FORCE else ["--force"]


Spelling = Callable[[Path, str], Path]


def _symbolic(place: Path, name: str) -> Path:
    link = place / f"link_{name}.csv"
    link.symlink_to(place / name)
    return link


def _hard(place: Path, name: str) -> Path:
    link = place / f"hard_{name}.csv"
    os.link(place / name, link)
    return link


SPELLINGS: dict[str, Spelling] = {
    "as it is": lambda place, name: place / name,
    "relative": lambda place, name: Path(name),
    "roundabout": lambda place, name: Path("..") / place.name / "." / name,
    "symbolic link": _symbolic,
    "hard link": _hard,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("command", FILES)
def test_a_file_that_is_read_is_never_written(command: str, spelling: str, place: Path) -> None:
    before = content(place)
    for name in inputs_of(command):
        out = SPELLINGS[spelling](place, name)
        if command == "augment" and out.suffix not in (".csv", ".parquet"):
            continue
        result = run(command, *FILES[command], "--out", out, "--force")
        assert result.code == 1
        assert f"{out} is an input of this command" in result.text
        assert {own: content(place)[own] for own in before} == before


@pytest.mark.parametrize("spelling", ["symbolic link", "hard link"])
@pytest.mark.parametrize("command", FOLDERS)
def test_a_folder_of_results_spares_what_is_read(command: str, spelling: str, place: Path) -> None:
    for name in inputs_of(command):
        before = content(place)[name]
        out = place / "out"
        out.mkdir(exist_ok=True)
        link = out / WRITTEN[command]
        if spelling == "hard link":
            os.link(place / name, link)
        else:
            link.symlink_to(place / name)
        result = run(*command.split(), *FOLDERS[command], "--out", out, *force_of(command))
        assert result.code == 1
        assert f"{link} is an input of this command" in result.text
        assert (place / name).read_bytes() == before
        link.unlink()


def test_the_table_that_a_model_names_is_an_input_too(place: Path) -> None:
    (place / "out").mkdir()
    (place / "model.toml").write_text(MODEL.replace("small.csv", "out/summary.csv"))
    (place / "small.csv").rename(place / "out" / "summary.csv")
    result = run("fit", "model.toml", "--out", "out", "--force")
    assert result.code == 1
    assert "summary.csv is an input" in result.text


def test_what_lies_in_a_folder_that_is_deleted_is_no_input(place: Path) -> None:
    (place / "out" / "unfinished").mkdir(parents=True)
    (place / "small.csv").rename(place / "out" / "unfinished" / "small.csv")
    result = run("fit", "model.toml", "--out", "out", "--data", "out/unfinished/small.csv")
    assert result.code == 1
    assert "out/unfinished" in result.text
    assert (place / "out" / "unfinished" / "small.csv").exists()


def test_all_obstacles_are_said_at_once(place: Path) -> None:
    (place / "fit.nc").unlink()
    for name in ("fit.nc", "diagnostics.txt"):
        (place / name).mkdir()
    (place / "summary.csv").write_text("mine")
    result = run("fit", "model.toml", "--out", ".")
    assert result.code == 1
    for words in ("4 problems", "fit.nc", "diagnostics.txt", "model.toml is an input", "--force"):
        assert words in result.text
    assert (place / "summary.csv").read_text() == "mine"


@pytest.mark.parametrize("command", FILES)
def test_a_folder_or_a_socket_in_the_place_of_a_file_is_refused(command: str, place: Path) -> None:
    if command != "report":  # which writes report.html to a folder
        (place / "taken.csv").mkdir()
        result = run(command, *FILES[command], "--out", "taken.csv", "--force")
        assert (result.code, "a folder of that name" in result.text) == (1, True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.csv")
        result = run(command, *FILES[command], "--out", "socket.csv", "--force")
        assert (result.code, "socket" in result.text) == (1, True)
        assert stat.S_ISSOCK((place / "socket.csv").stat().st_mode)


@pytest.fixture
def saved(national_fit: mb.FitResult, tmp_path: Path) -> Path:
    return national_fit.save(tmp_path / "saved" / "fit.nc")


def test_a_pipe_is_written_through(saved: Path, tmp_path: Path) -> None:
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    result = run("optimize", saved, "--out", pipe)
    assert result.code == 0
    reader.join(60)
    assert got[0].startswith("channel,")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert run("next-test", saved, "--out", "/dev/null").code == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_the_standard_output_holds_the_results_alone(saved: Path) -> None:
    result = CliRunner().invoke(app, ["optimize", str(saved), "--out", "/dev/stdout"])
    assert result.exit_code == 0
    assert result.stdout.startswith("channel,")
    assert "Warnings" not in result.stdout
    assert "The plan is in" in result.stderr


def test_an_earlier_ranking_is_kept(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "ranking.csv").write_text("mine")
    result = run("next-test", saved, "--out", tmp_path / "ranking.csv")
    assert (result.code, "--force" in result.text) == (1, True)
    assert (tmp_path / "ranking.csv").read_text() == "mine"


# --- Stopped commands ----------------------------------------------------------------------------


def stopped(out: Path, *files: str, command: str = "x", error: Any = KeyboardInterrupt) -> None:
    """Announce files, write some of them, and be stopped."""
    from mmm_bayes.cli.outputs import note_command
    from mmm_bayes.cli.terminal import problems_in_words

    note_command(command, ["--force"])

    def work() -> None:
        with problems_in_words() as outputs:
            outputs.folder(out, ("a.csv", "b.csv"), (), False)
            for name in files:
                (out / name).write_text(command)
            raise error

    with pytest.raises(typer.Exit):
        work()


def test_the_same_command_goes_on_after_it_was_stopped(tmp_path: Path) -> None:
    from mmm_bayes.cli.outputs import note_command
    from mmm_bayes.cli.terminal import problems_in_words

    out = tmp_path / "out"
    stopped(out)
    assert not out.exists()  # as it was before
    stopped(out, "a.csv")
    stopped(out, "b.csv")
    assert (out / "a.csv").read_text() == "x"
    note_command("another", [])
    with pytest.raises(guard.OutputError, match=r"a\.csv, .*b\.csv already exist"):
        Outputs().folder(out, ("a.csv", "b.csv"), (), False)
    note_command("x", [])
    with problems_in_words() as outputs:
        outputs.folder(out, ("a.csv", "b.csv"), (), False)
    assert {path.name for path in out.iterdir()} == {"a.csv", "b.csv"}
    with pytest.raises(guard.OutputError, match="--force"):
        Outputs().folder(out, ("a.csv", "b.csv"), (), False)


def test_what_was_there_before_is_kept_by_the_same_command(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("mine")
    for _ in range(2):
        outputs = Outputs()
        with pytest.raises(guard.OutputError, match=r"a\.csv"):
            outputs.folder(tmp_path, ("a.csv", "b.csv"), (), False)
        outputs.finish(False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_two_processes_in_one_folder_are_told(tmp_path: Path) -> None:
    first, second = Outputs(), Outputs()
    first.folder(tmp_path / "out", ("a.csv",), (), False)
    with pytest.raises(ValueError, match="Another process"):
        second.folder(tmp_path / "out", ("b.csv",), (), False)
    second.finish(False)
    first.finish(True)
    second.folder(tmp_path / "out", ("b.csv",), (), False)
    second.finish(True)


def test_files_left_by_a_kill_are_swept(tmp_path: Path) -> None:
    for name in (".a.csv.abcd1234.tmp", ".thesis.abcd1234.tmp"):
        (tmp_path / name).write_text("half")
    outputs = Outputs()
    outputs.folder(tmp_path, ("a.csv",), (), False)
    outputs.finish(True)
    assert [path.name for path in tmp_path.iterdir()] == [".thesis.abcd1234.tmp"]


# --- Closed pipes --------------------------------------------------------------------------------

CLOSED = """
import sys
from mmm_bayes.cli.terminal import outlive_closed_pipes
with outlive_closed_pipes():
    for number in range(100000):
        print(number)
    print("last", file=sys.stderr)
    open(sys.argv[1], "w").write("results")
    raise SystemExit(int(sys.argv[2]))
"""


@pytest.mark.parametrize(("own", "code"), [(0, 141), (3, 3)])
def test_results_outlive_a_closed_pipe(own: int, code: int, tmp_path: Path) -> None:
    line = [sys.executable, "-c", CLOSED, str(tmp_path / "x"), str(own)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert process.wait(60) == code
    assert process.stderr.read() == "last\n"
    process.stderr.close()
    assert (tmp_path / "x").read_text() == "results"
