"""Files that are replaced only by whole ones."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mmm_bayes.runtime.atomic_write import WriteError, atomic_write, is_temporary
from mmm_bayes.runtime.outputs import (
    OutputError,
    check_outputs,
    folder_findings,
    protect,
    require_space,
    same_file,
)


def test_a_file_is_there_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "numbers.txt"
    with atomic_write(path) as place:
        place.write_text("1 2 3")
        assert not path.exists()
    assert path.read_text() == "1 2 3"
    assert os.listdir(path.parent) == ["numbers.txt"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("before")

    def interrupted() -> None:
        with atomic_write(path) as place:
            place.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["numbers.txt"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX systems")
def test_others_may_read_what_they_may_read_of_any_new_file(tmp_path: Path) -> None:
    plain, whole = tmp_path / "plain.txt", tmp_path / "whole.txt"
    plain.write_text("")
    with atomic_write(whole) as place:
        place.write_text("")
    assert whole.stat().st_mode == plain.stat().st_mode


def test_a_link_stays_and_the_file_it_names_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "far" / "numbers.txt", tmp_path / "link.txt"
    target.parent.mkdir()
    link.symlink_to(target)
    for text in ("first", "second"):  # first through a link that leads nowhere
        with atomic_write(link) as place:
            place.write_text(text)
        assert link.is_symlink()
        assert target.read_text() == text
    assert os.listdir(target.parent) == ["numbers.txt"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX systems")
def test_a_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "private.txt"
    path.write_text("")
    path.chmod(0o600)
    with atomic_write(path) as place:
        place.write_text("new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("folder", "file/inside.txt", "loop", "x" * 300):
        path = tmp_path / name

        def write(path: Path = path) -> None:
            with atomic_write(path) as place:
                place.write_text("x")

        with pytest.raises(WriteError, match="Choose"):
            write()
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "loop"]


def test_long_names_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250)
    with atomic_write(path) as place:
        assert is_temporary(place.name)
        place.write_text("x")
    assert path.read_text() == "x"


@pytest.mark.parametrize("start", [b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"PAR1"])
def test_a_saved_file_is_replaced_by_its_kind_only(start: bytes, tmp_path: Path) -> None:
    path = tmp_path / "fit.nc"
    path.write_bytes(start + b"draws")

    def write(content: bytes) -> None:
        with atomic_write(path) as place:
            place.write_bytes(content)

    with pytest.raises(WriteError, match="replaced by"):
        write(b"<html>")
    assert path.read_bytes() == start + b"draws"
    write(start + b"other draws")
    assert path.read_bytes() == start + b"other draws"
    assert os.listdir(tmp_path) == ["fit.nc"]


def test_inputs_are_kept(tmp_path: Path) -> None:
    path, link = tmp_path / "table.csv", tmp_path / "link.csv"
    path.write_text("mine")
    os.link(path, link)
    assert same_file(path, link)

    def write(place: Path) -> None:
        with atomic_write(place) as own:
            own.write_text("new")

    for place in (path, link, tmp_path / "." / "table.csv"):
        with protect([path]), pytest.raises(WriteError, match="input"):
            write(place)
    assert path.read_text() == "mine"
    write(path)
    assert path.read_text() == "new"


def test_every_obstacle_is_found_before_work_begins(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError) as caught:
        check_outputs([tmp_path / "a", tmp_path / "folder", tmp_path / "a" / "b"])
    found = {finding.check for finding in caught.value.findings}
    assert found == {"output_exists", "output_is_folder", "not_writable"}
    check_outputs([tmp_path / "a", tmp_path / "new" / "deep" / "b"], replace=True)
    assert not (tmp_path / "new").exists()


def test_a_disk_that_is_too_small_is_said_with_numbers(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        require_space(tmp_path / "new", 10**18, "checkpoint=")
    (finding,) = caught.value.findings
    assert finding.check == "disk_full"
    assert finding.threshold == 10**18
    assert "checkpoint=" in finding.remedy
    require_space(tmp_path, 1)


FULL = """
import resource, sys
from pathlib import Path
from mmm_bayes.runtime.atomic_write import WriteError, atomic_write
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    with atomic_write(path) as place:
        place.write_bytes(bytes(1_000_000))
except WriteError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX systems")
def test_a_write_that_runs_out_of_space_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_text("before")
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True
    )
    assert f"{path} was not written" in done.stdout
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["numbers"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_found(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert [finding.check for finding in folder_findings(tmp_path, 1, "--out")] == ["not_writable"]
    tmp_path.chmod(0o700)
