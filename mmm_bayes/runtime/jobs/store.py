"""Store results in a folder: one file per cell as it arrives, folded into larger files later.

A file is named after the cell's key and written atomically, so a cell has exactly one result, even
if processes are killed or several write at once. A folded file is written before the files that it
replaces are deleted: a reader finds a cell once or twice, but never zero times. If it finds a cell
twice, the cell's own file counts. Every page of a file has a checksum.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, final

from mmm_bayes.runtime.artifact_errors import ArtifactError, damaged, other_kind, too_new
from mmm_bayes.runtime.atomic_write import WriteError, atomic_write
from mmm_bayes.runtime.jobs.records import Record, from_table, is_results, plain_rows, to_table
from mmm_bayes.runtime.jobs.tasks import check_key
from mmm_bayes.runtime.manifest import read_manifest, refuse_other_files
from mmm_bayes.runtime.visible import shown_safely

_MANIFEST = "store.json"
_CELLS, _FOLDED, _LOCK = "cells", "folded", ".folding"
_OWN = {_MANIFEST, _CELLS, _FOLDED, _LOCK}
_PER_FILE = 5000  # cells in a folded file
_FORMAT = 1
_ABANDONED = 86400.0  # seconds after which an unfinished file is deleted
_LOCK_PATIENCE = 120.0
_LOOKS = 20


class ResultsError(ArtifactError):
    """A folder or file of results cannot be read."""


@final
class ResultStore:
    """Results of cells in a folder.

    Several processes may write to it at once. Files are ``store.json``, ``cells/KEY.parquet`` and
    ``folded/*.parquet``; any Parquet reader can read them.

    Parameters
    ----------
    folder
        Created if it does not exist.
    kind
        What the results are, as a user calls it; a folder of another kind is refused.
    beside
        Names of other files and folders that may be in the folder.

    Raises
    ------
    ResultsError
        If the folder holds other files.
    WriteError
        If the folder cannot be written to.
    ImportError
        If pyarrow is not installed.

    Examples
    --------
    >>> store = ResultStore("results", "numbers")  # doctest: +SKIP
    >>> store.put(Record("0123abcd", [{"x": 1.5}]))  # doctest: +SKIP
    >>> store.rows()  # doctest: +SKIP
    {'0123abcd': [{'x': 1.5}]}
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        kind: str = "results",
        *,
        beside: Collection[str] = (),
    ) -> None:
        _require_pyarrow()
        self.folder, self.kind = Path(folder), kind
        manifest = self.folder / _MANIFEST
        if manifest.exists():
            self._compare(manifest)
        else:
            self._claim(manifest, {*_OWN, *beside})
        self._unfolded = sum(1 for _ in self._parts())

    @shown_safely
    def __repr__(self) -> str:
        return f"ResultStore({str(self.folder)!r}, {self.kind!r})"

    def __len__(self) -> int:
        return len(self.keys())

    @property
    def identity(self) -> str:
        """Identifier of this folder, unlike that of any other."""
        return str(json.loads((self.folder / _MANIFEST).read_text("utf-8")).get("id"))

    @property
    def unfolded(self) -> int:
        """Number of files of single cells that this process knows of."""
        return self._unfolded

    def put(self, record: Record) -> Record:
        """Store a cell, replacing an earlier result; it is on disk when this returns.

        Returns
        -------
        Record
            The record as it will be read: numbers that are not finite are ``None``.

        Raises
        ------
        TypeError, ValueError
            If a value cannot be stored.
        WriteError
            If the disk is full or read-only; earlier results are still there.
        """
        kept = Record(
            check_key(record.key), plain_rows(record.rows), record.settings, record.seed,
            record.version,
        )  # fmt: skip
        path = self._part(kept.key)
        self._unfolded += not path.exists()
        _write(path, [kept])
        return kept

    def keys(self) -> set[str]:
        """Return the keys of all stored cells."""
        return self._undisturbed(self._keys)

    def records(self, keys: Collection[str] | None = None) -> dict[str, Record]:
        """Return stored cells by key: those asked for, or all.

        Raises
        ------
        ResultsError
            If a file is damaged; the text names it, and the remedy.
        """
        wanted = None if keys is None else set(keys)
        return self._undisturbed(lambda: self._records(wanted))

    def rows(self, keys: Collection[str] | None = None) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of stored cells by key."""
        return {key: record.rows for key, record in self.records(keys).items()}

    def compact(self, per_file: int = _PER_FILE) -> int:
        """Fold files of single cells, and small folded ones, into large ones.

        This is safe at any time: a call that is killed has folded or not, and other processes may
        write or read meanwhile. If another process is folding, nothing is done.

        Returns
        -------
        int
            Number of files that were folded.
        """
        import filelock

        lock = filelock.FileLock(self.folder / _LOCK, timeout=0)
        try:
            with lock:
                return self._compact(per_file)
        except filelock.Timeout:
            return 0

    def discard(self, keys: Iterable[str]) -> None:
        """Delete cells, so that they are computed again."""
        import filelock

        gone = set(keys)
        with filelock.FileLock(self.folder / _LOCK, timeout=_LOCK_PATIENCE):
            for key in gone:
                self._part(key).unlink(missing_ok=True)
            for path in list(self._folded()):
                if gone & set(_read_keys(path)):
                    kept = [record for record in _read(path) if record.key not in gone]
                    if kept:
                        self._write_folded(kept)
                    path.unlink()
        self._unfolded = sum(1 for _ in self._parts())

    # ------------------------------------------------------------------ files

    def _part(self, key: str) -> Path:
        return self.folder / _CELLS / f"{key}.parquet"

    def _parts(self) -> Iterator[Path]:
        # Names that begin with a dot belong to files that are being written.
        return iter(sorted((self.folder / _CELLS).glob("[!.]*.parquet")))

    def _folded(self) -> Iterator[Path]:
        return iter(sorted((self.folder / _FOLDED).glob("[!.]*.parquet")))

    def _undisturbed[T](self, read: Callable[[], T]) -> T:
        """Read again if a folded file has been folded into another one in the meantime."""
        for _ in range(_LOOKS):
            try:
                return read()
            except FileNotFoundError:
                continue
        raise ResultsError(f"{self.folder} changes faster than it can be read: try again.")

    def _keys(self) -> set[str]:
        found = {path.stem for path in self._parts()}
        for path in self._folded():
            found |= set(_read_keys(path))
        return found

    def _records(self, wanted: set[str] | None) -> dict[str, Record]:
        """Read files of single cells first: one that has gone is in a folded file by then."""
        found: dict[str, Record] = {}
        for path in self._parts():
            if wanted is None or path.stem in wanted:
                try:
                    found |= {record.key: record for record in _read(path)}
                except FileNotFoundError:
                    continue
        for path in self._folded():
            if wanted is None or wanted & set(_read_keys(path)):
                found = {record.key: record for record in _read(path)} | found
        return found if wanted is None else {k: found[k] for k in found if k in wanted}

    def _compact(self, per_file: int) -> int:
        self._sweep()
        small = [path for path in self._folded() if len(_read_keys(path)) < per_file // 2]
        parts = list(self._parts())
        if not parts or len(parts) + len(small) < 2:
            return 0
        # The last one for a key counts: the cell's own file.
        sources = [*small, *parts]
        batch: dict[str, Record] = {}
        taken: list[tuple[Path, object]] = []
        for path in sources:
            taken.append((path, _state(path)))
            batch |= {record.key: record for record in _read(path)}
            if len(batch) >= per_file or path is sources[-1]:
                self._write_folded(list(batch.values()))
                for old, state in taken:
                    if _state(old) == state:  # not replaced by a newer result meanwhile
                        old.unlink(missing_ok=True)
                batch, taken = {}, []
        self._unfolded = sum(1 for _ in self._parts())
        return len(sources)

    def _write_folded(self, records: list[Record]) -> None:
        _write(self.folder / _FOLDED / f"{uuid.uuid4().hex[:16]}.parquet", records)

    def _sweep(self) -> None:
        """Delete temporary files that killed processes have left."""
        for folder in (_CELLS, _FOLDED):
            for path in (self.folder / folder).glob(".*.parquet.*"):
                try:
                    if time.time() - path.stat().st_mtime > _ABANDONED:
                        path.unlink()
                except FileNotFoundError:
                    continue

    def _claim(self, manifest: Path, known: set[str]) -> None:
        refuse_other_files(self.folder, _MANIFEST, known, ResultsError)
        about = {"kind": self.kind, "format": _FORMAT, "id": uuid.uuid4().hex}
        try:
            (self.folder / _CELLS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(
                error.errno,
                f"{self.folder} cannot be created ({error.strerror}). Choose another folder.",
            ) from error
        with atomic_write(manifest) as place:
            place.write_text(json.dumps(about, indent=1), "utf-8")

    def _compare(self, manifest: Path) -> None:
        about = read_manifest(manifest, ResultsError)
        try:
            kind, number = str(about["kind"]), int(about["format"])
        except (ValueError, KeyError, TypeError) as error:
            raise ResultsError(
                f"{manifest} does not belong to a folder of results ({error!r}). Choose another "
                "folder."
            ) from error
        if number > _FORMAT:
            raise too_new(self.folder, "of a later version", number, _FORMAT, ResultsError)
        if kind != self.kind:
            raise other_kind(self.folder, kind, self.kind, ResultsError)


def _write(path: Path, records: list[Record]) -> None:
    import pyarrow.parquet as pq

    table = to_table(records)
    with atomic_write(path) as place:
        pq.write_table(table, place, compression="zstd", write_page_checksum=True)


def _read(path: Path) -> list[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            # Files of versions before checksums have none to verify, and are read all the same.
            return from_table(pq.read_table(file, page_checksum_verification=True))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _read_keys(path: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:
            own = pq.ParquetFile(file)
            if not is_results(own.schema_arrow):
                raise ValueError("it is a table of another kind")
            return own.read(["cell.key"])["cell.key"].unique().to_pylist()
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ArtifactError:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    remedy = "Delete it, and the same call makes its results again."
    return damaged(path, "file of results", text, ResultsError, remedy)


def _state(path: Path) -> object:
    try:
        about = path.stat()
    except FileNotFoundError:
        return None
    return about.st_ino, about.st_mtime_ns


def _require_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'Storing results needs pyarrow: pip install "mmm-bayes[distributed]".'
        ) from error
