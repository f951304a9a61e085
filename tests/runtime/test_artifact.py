"""Artifacts: arrays come back as they were, and whatever has changed is named."""

from __future__ import annotations

import errno
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmm_bayes.runtime.artifact import (
    RECORD,
    Artifact,
    array_checksum,
    read_artifact,
    write_artifact,
)
from mmm_bayes.runtime.artifact_errors import ArtifactError
from mmm_bayes.runtime.atomic_write import WriteError

ARRAYS: dict[str, Any] = {
    "numbers": np.arange(12.0).reshape(3, 4),
    "single": np.float32(2.5),
    "flags": np.array([True, False]),
    "words": np.array(["a", "bé"]),
    "dates": np.array(["2024-01-01", "NaT"], "datetime64[ns]"),
    "none": np.zeros((0, 3)),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "missing": np.array([np.nan, -0.0, np.inf]),
}
ABOUT = {"name": "tv", "settings": {"x": 0.1, "y": [1, None, "é"]}}


def write(path: Path, compress: bool = False) -> Path:
    made = Artifact("thing", 2, ARRAYS, ABOUT, {"inner.nc": b"bytes of a file"})
    return write_artifact(path, made, compress=compress)


def belongs(name: str) -> bool:
    return name.endswith((".npy", ".nc"))


def read(path: Path, kind: str = "thing", newest: int = 2) -> Artifact:
    return read_artifact(path, kind, newest, belongs=belongs)


@pytest.mark.parametrize("compress", [False, True])
def test_an_artifact_comes_back_as_it_was(tmp_path: Path, compress: bool) -> None:
    path = write(tmp_path / "deep" / "thing.npz", compress)
    found = read(path)
    assert (found.kind, found.format, found.about) == ("thing", 2, ABOUT)
    assert found.files == {"inner.nc": b"bytes of a file"}
    assert set(found.arrays) == set(ARRAYS)
    for name, values in ARRAYS.items():
        assert found.arrays[name].dtype == values.dtype
        np.testing.assert_array_equal(found.arrays[name], values)
    with np.load(path) as file:
        np.testing.assert_array_equal(file["numbers"], ARRAYS["numbers"])


def rewritten(path: Path, **changed: bytes | None) -> Path:
    """Write the same members, some of them changed or left out, with checksums of zip that fit."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    members = {name: changed.pop(name.split(".")[0], own) for name, own in members.items()}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            if content is not None:
                file.writestr(name, content)
        for name, content in changed.items():
            file.writestr(f"{name}.npy", content or b"")
    return path


def stored(values: Any) -> bytes:
    memory = io.BytesIO()
    np.save(memory, values)
    return memory.getvalue()


@pytest.mark.parametrize("name", sorted(set(ARRAYS) - {"none"}))
def test_one_changed_bit_is_noticed_and_its_array_named(tmp_path: Path, name: str) -> None:
    values = np.array(ARRAYS[name], order="C")
    values.reshape(-1).view(np.uint8)[0] ^= 1
    path = rewritten(write(tmp_path / "x.npz"), **{name: stored(values)})
    with pytest.raises(ArtifactError, match=rf"x\.npz .*'{name}' has changed"):
        read(path)


def test_each_byte_of_a_file_is_the_one_written_or_does_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path / "x.npz")
    whole = path.read_bytes()
    sums = {name: array_checksum(values) for name, values in ARRAYS.items()}
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 8]) + whole[at + 1 :])
        try:
            found = read(path)
        except ArtifactError:
            continue
        assert {name: array_checksum(values) for name, values in found.arrays.items()} == sums
        assert found.about == ABOUT


def test_arrays_that_are_missing_added_or_of_another_type_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "x.npz")
    whole = path.read_bytes()
    changes: tuple[tuple[dict[str, bytes | None], str], ...] = (
        ({"flags": None}, "'flags' is missing"),
        ({"more": stored(np.zeros(2))}, "'more' was added"),
        ({"numbers": stored(np.arange(12).reshape(3, 4))}, "'numbers' has changed"),
        ({"numbers": stored(np.arange(12.0).reshape(4, 3))}, "'numbers' has changed"),
        ({"inner": b"bytes of a File"}, "'inner.nc' has changed"),
        ({"artifact": None}, RECORD),
        ({"artifact": b"[]"}, "record"),
    )
    for changed, text in changes:
        path.write_bytes(whole)
        with pytest.raises(ArtifactError, match=text):
            read(rewritten(path, **changed))


def test_changed_metadata_are_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "x.npz")
    with zipfile.ZipFile(path) as file:
        record = json.loads(file.read(RECORD))
    record["about"]["settings"]["x"] = 0.2
    with pytest.raises(ArtifactError, match="metadata"):
        read(rewritten(path, artifact=json.dumps(record).encode()))


def test_other_kinds_newer_formats_and_absent_files_say_so(tmp_path: Path) -> None:
    path = write(tmp_path / "x.npz")
    with pytest.raises(ArtifactError, match="'thing', not 'fit'"):
        read(path, "fit")
    with pytest.raises(ArtifactError, match=r"format 2; .* format 1\. Update mmm_bayes"):
        read(path, newest=1)
    with pytest.raises(FileNotFoundError, match=r"thing at .*nowhere"):
        read(tmp_path / "nowhere")


def test_files_from_before_checksums_are_given_to_their_reader(tmp_path: Path) -> None:
    path = tmp_path / "old.npz"
    with path.open("wb") as file:
        np.savez(file, x=np.arange(3))
    found = read_artifact(
        path, "thing", 2, earlier=lambda arrays, files: Artifact("thing", 1, arrays)
    )
    np.testing.assert_array_equal(found.arrays["x"], np.arange(3))
    with pytest.raises(ArtifactError, match="format 3"):
        read_artifact(path, "thing", 2, earlier=lambda arrays, _: Artifact("thing", 3, arrays))
    with pytest.raises(ArtifactError, match=RECORD):
        read(path)


def test_a_full_disk_leaves_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x.npz")
    whole = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="full"):
        write(path)
    assert path.read_bytes() == whole
    assert os.listdir(tmp_path) == ["x.npz"]
