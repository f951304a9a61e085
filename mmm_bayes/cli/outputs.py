"""The outputs of one command: checked before it starts, and left in a state to go on from."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from mmm_bayes.cli.errors import CommandError

_MARKER, _LOCK = ".unfinished.json", ".writing.lock"
_LIKE_NOTHING = ("--force", "--quiet", "-q", "--strict")  # they do not change what is written

_RUNNING: ContextVar[tuple[str, ...]] = ContextVar("running", default=())


def note_command(name: str | None, arguments: Sequence[str]) -> None:
    """Remember which command runs, so that a folder can tell whether it is run again."""
    _RUNNING.set((name or "", *arguments))


class Outputs:
    """What a command writes, and what it reads and must not overwrite.

    A folder of results carries a marker while a command writes to it. If the command is stopped,
    the marker says which files it may replace when it is run again, and a lock keeps a second
    process out.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._marker: Path | None = None
        self._files: tuple[Path, ...] = ()
        self.go_on = "Nothing was written: the same command starts over."

    def file(self, out: Path | None, inputs: Iterable[Path | None], replace: bool) -> None:
        """Announce one file as output."""
        from mmm_bayes.runtime.outputs import add_inputs, check_outputs

        read = [path for path in inputs if path is not None]
        add_inputs(read)
        if out is not None:
            check_outputs([out], inputs=read, replace=replace)

    def folder(
        self,
        out: Path,
        files: Collection[str],
        inputs: Iterable[Path | None],
        replace: bool,
        cleared: Iterable[str] = (),
    ) -> None:
        """Announce files in a folder as outputs, and create the folder.

        Parameters
        ----------
        out
            The folder.
        files
            Names of all files that will be written.
        inputs
            Files that the command reads.
        replace
            Whether files that another command wrote may be replaced.
        cleared
            Names of folders in ``out`` that are deleted at the end.
        """
        from mmm_bayes.runtime.atomic_write import atomic_write, remove_temporaries
        from mmm_bayes.runtime.outputs import add_inputs, check_outputs

        read = [path for path in inputs if path is not None]
        add_inputs(read)
        if out.exists() and not out.is_dir():
            raise CommandError(f"--out should be a folder, but {out} is a file.")
        marker, command = out / _MARKER, _command()
        before = _unfinished(marker)
        own = set(before["files"]) if before.get("command") == command else set()
        named = {name: out / name for name in files}
        clear = [out / name for name in cleared]
        for names, may in (({*files} - own, replace), ({*files} & own, True)):
            check_outputs(
                [named[name] for name in sorted(names)], inputs=read, replace=may, cleared=clear
            )
        made = not out.exists()
        out.mkdir(parents=True, exist_ok=True)
        self._stack.callback(_remove_if_empty, out, made)
        self._lock(out)
        remove_temporaries(out, [*files, _MARKER])
        absent = {name for name, path in named.items() if not path.exists()}
        with atomic_write(marker) as place:
            about = {"command": command, "files": sorted(absent | own)}
            place.write_text(json.dumps(about, indent=1), "utf-8")
        self._marker, self._files = marker, tuple(named.values())
        self.go_on = "The same command goes on from there, or starts over."

    def shared_folder(
        self, out: Path, files: Collection[str], inputs: Iterable[Path | None]
    ) -> None:
        """Announce files in a folder that a run resumes and that several processes may fill."""
        from mmm_bayes.runtime.outputs import add_inputs, check_outputs

        read = [path for path in inputs if path is not None]
        add_inputs(read)
        check_outputs([out / name for name in files], inputs=read, replace=True)
        self.go_on = "Finished parts are kept: the same command goes on from there."

    @property
    def begun(self) -> bool:
        """Whether a folder of results has been taken for this command."""
        return self._marker is not None

    def finish(self, complete: bool) -> None:
        """Release the folder; unless the command is complete, leave the marker with its files."""
        if self._marker is not None and (
            complete or not any(path.exists() for path in self._files)
        ):
            self._marker.unlink(missing_ok=True)
        self._stack.close()

    def _lock(self, out: Path) -> None:
        import filelock

        from mmm_bayes.runtime.run_folder import acquired

        lock = filelock.FileLock(out / _LOCK, timeout=0)
        if not acquired(lock):
            raise CommandError(
                f"Another process is writing to {out}. Wait until it has ended, or choose another "
                "folder with --out."
            )

        def release() -> None:
            with contextlib.suppress(OSError):
                (out / _LOCK).unlink(missing_ok=True)
            lock.release()

        self._stack.callback(release)


def _remove_if_empty(out: Path, made: bool) -> None:
    if made:
        with contextlib.suppress(OSError):
            out.rmdir()


def _unfinished(marker: Path) -> dict[str, Any]:
    """Return what the marker of a stopped command says; nothing if it cannot be read."""
    try:
        found = json.loads(marker.read_text("utf-8"))
        files = [name for name in found["files"] if isinstance(name, str)]
        return {"command": found["command"], "files": files}
    except (OSError, ValueError, KeyError, TypeError):
        return {"files": []}


def _command() -> list[str]:
    """Return the running command with its options, as far as results depend on them."""
    return [text for text in _RUNNING.get() if text not in _LIKE_NOTHING]
