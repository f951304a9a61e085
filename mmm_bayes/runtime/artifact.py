"""One format for saved arrays: a zip of arrays and a record that says what they are.

The record (``artifact.json``) holds the kind and format of the file, its metadata as JSON, and a
checksum of every array, of every other member and of itself. So a bit that changed on a disk or on
the way is noticed when the file is read, and the error names the array. Members are ``NAME.npy``,
so ``numpy.load`` opens the file too. Fits are NetCDF files instead and carry the same record
(:mod:`mmm_bayes.runtime.netcdf_file`).
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, final

import numpy as np

from mmm_bayes._version import __version__
from mmm_bayes.runtime.artifact_errors import ArtifactError, damaged, not_found, other_kind, too_new
from mmm_bayes.runtime.atomic_write import atomic_write
from mmm_bayes.runtime.text_file import parse_json
from mmm_bayes.runtime.zip_file import expected_zip

NDArray = np.ndarray[Any, Any]

RECORD = "artifact.json"
_ARRAY = ".npy"


@final
@dataclass(frozen=True)
class Artifact:
    """What a file holds.

    Attributes
    ----------
    kind : str
        What it is, as a user calls it (``"CausalMMM"``).
    format : int
        Version of the layout; a reader refuses a higher one than it knows.
    arrays : mapping of str to array
        Arrays by name.
    about : mapping
        Everything else, as JSON holds it.
    files : mapping of str to bytes
        Members that are files themselves, by file name.
    version : str
        Version of the package that wrote it.
    """

    kind: str
    format: int
    arrays: Mapping[str, NDArray] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    version: str = __version__


@final
@dataclass(frozen=True)
class Record:
    """Kind, format, metadata and checksums of an artifact, as they stand in a file."""

    kind: str
    format: int
    checksums: Mapping[str, str]
    about: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__

    def to_json(self) -> str:
        """Return the record as JSON with a checksum of its own."""
        content = {**vars(self), "checksums": dict(self.checksums), "about": dict(self.about)}
        return json.dumps({**content, "checksum": _text_checksum(content)}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a record.

        Raises
        ------
        ValueError
            If it is no record, or not the one that was written.
        """
        content = parse_json(text)
        if not isinstance(content, dict) or "checksum" not in content:
            raise ValueError("its record is incomplete")
        stored = content.pop("checksum")
        if stored != _text_checksum(content):
            raise ValueError("its metadata do not match their checksum")
        try:
            return cls(**content)
        except TypeError as error:
            raise ValueError(f"its record is of another form ({error})") from None


def array_checksum(values: Any) -> str:
    """Return a checksum of type, shape and values; arrays of text count by their text."""
    values = np.asarray(values)
    if values.dtype.hasobject or values.dtype.kind == "T":
        kind, content = "text", json.dumps([_as_text(v) for v in values.ravel().tolist()]).encode()
    else:
        kind, content = values.dtype.str, np.ascontiguousarray(values).tobytes()
    found = hashlib.sha256(f"{kind}{values.shape}".encode())
    found.update(content)
    return found.hexdigest()[:32]


def bytes_checksum(content: bytes) -> str:
    """Return a checksum of bytes."""
    return hashlib.sha256(content).hexdigest()[:32]


def write_artifact(
    path: str | os.PathLike[str], artifact: Artifact, *, compress: bool = False
) -> Path:
    """Write an artifact; an existing file is replaced only once the new one is complete.

    Raises
    ------
    WriteError
        If the disk is full or read-only; an earlier file is still there.
    """
    path = Path(path)
    arrays = {name: np.asarray(values) for name, values in artifact.arrays.items()}
    checksums = {name: array_checksum(values) for name, values in arrays.items()}
    checksums |= {name: bytes_checksum(content) for name, content in artifact.files.items()}
    record = Record(artifact.kind, artifact.format, checksums, artifact.about, artifact.version)
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with atomic_write(path) as place, zipfile.ZipFile(place, "w", method) as file:
        file.writestr(RECORD, record.to_json())
        for name, values in arrays.items():
            with file.open(name + _ARRAY, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, values, allow_pickle=False)
        for name, content in artifact.files.items():
            file.writestr(name, content)
    return path


def read_artifact(
    path: str | os.PathLike[str],
    kind: str,
    newest: int,
    *,
    belongs: Callable[[str], bool] = lambda name: name.endswith(_ARRAY),
    earlier: Callable[[dict[str, NDArray], dict[str, bytes]], Artifact] | None = None,
    error: type[ArtifactError] = ArtifactError,
    remedy: str = "Make it again, or copy the file again.",
) -> Artifact:
    """Read an artifact, and check that every array is the one that was written.

    Parameters
    ----------
    path
        The file.
    kind, newest
        What is expected, and the newest format that the caller knows.
    belongs
        Whether a member of a name is expected.
    earlier
        Makes the artifact of a file without a record, as versions before checksums wrote them,
        from its arrays and other members; ``None`` if there are none.
    error
        Type of the exception.
    remedy
        What to do about a damaged file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ArtifactError
        If the file is damaged, of another kind, or of a newer format.
    """
    path = Path(path)
    if not path.is_file():
        raise not_found(path, kind)
    arrays: dict[str, NDArray] = {}
    files: dict[str, bytes] = {}
    record: Record | None = None
    reading = "its directory"
    try:
        with expected_zip(path, lambda name: name == RECORD or belongs(name)) as opened:
            members = opened.namelist()
            if RECORD in members:
                reading = "its record"
                record = Record.from_json(opened.read(RECORD).decode())
                _expect(path, record, kind, newest, error)
            for name in members:
                reading = f"{name.removesuffix(_ARRAY)!r}"
                if name.endswith(_ARRAY):
                    with opened.open(name) as member:
                        values = np.lib.format.read_array(member, allow_pickle=False)
                    arrays[name.removesuffix(_ARRAY)] = values
                elif name != RECORD:
                    files[name] = opened.read(name)
        reading = "its metadata"
        if record is None:
            if earlier is None:
                raise ValueError(f"it has no {RECORD}")
            made = earlier(arrays, files)
            _expect(path, made, kind, newest, error)
            return made
        reading = "its content"
        found = {name: array_checksum(values) for name, values in arrays.items()}
        found |= {name: bytes_checksum(content) for name, content in files.items()}
        compare_checksums(record.checksums, found)
    except ArtifactError:
        raise
    # A damaged zip may raise anything: its members go through several decoders.
    except Exception as reason:
        raise damaged(path, kind, f"{reading}: {reason}", error, remedy) from reason
    return Artifact(record.kind, record.format, arrays, record.about, files, record.version)


def compare_checksums(wanted: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Raise ``ValueError`` that names the arrays that are missing, added or changed."""
    changed = sorted(n for n in wanted.keys() & found.keys() if wanted[n] != found[n])
    problems = [f"{name!r} has changed since it was written" for name in changed]
    problems += [f"{name!r} is missing" for name in sorted(wanted.keys() - found.keys())]
    problems += [f"{name!r} was added" for name in sorted(found.keys() - wanted.keys())]
    if problems:
        raise ValueError("; ".join(problems))


# --- Wording of errors ---------------------------------------------------------------------------


def _expect(
    path: Path, found: Record | Artifact, kind: str, newest: int, error: type[ArtifactError]
) -> None:
    if found.kind != kind:
        raise other_kind(path, found.kind, kind, error)
    if found.format > newest:
        raise too_new(path, found.version, found.format, newest, error)


def _text_checksum(content: Mapping[str, Any]) -> str:
    return bytes_checksum(json.dumps(content, sort_keys=True).encode())


def _as_text(value: object) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
