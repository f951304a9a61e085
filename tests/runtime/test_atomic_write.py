"""Files that are replaced only by whole ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmm_bayes.runtime.atomic_write import atomic_write


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
