"""Errors of reading saved files, worded once for all readers."""

from __future__ import annotations

from pathlib import Path

from mmm_bayes._version import __version__


class ArtifactError(ValueError):
    """A saved file cannot be read: it is damaged, of another kind, or from a newer version."""


class FitFileError(ArtifactError):
    """A saved model or fit cannot be read; the text says which of these it is, and what to do."""


def not_found(path: Path, kind: str) -> FileNotFoundError:
    """Return the error for a file that is not there."""
    return FileNotFoundError(f"There is no {kind} at {path}.")


def damaged(
    path: Path,
    kind: str,
    reason: object,
    error: type[ArtifactError] = ArtifactError,
    remedy: str = "Make it again, or copy the file again.",
) -> ArtifactError:
    """Return the error for a file that is cut short, changed, or something else altogether."""
    return error(
        f"{path} cannot be read: it is damaged, or of another kind than {kind!r} ({reason}). "
        f"{remedy}"
    )


def other_kind(
    path: Path, found: str, kind: str, error: type[ArtifactError] = ArtifactError
) -> ArtifactError:
    """Return the error for a file that is something else."""
    return error(f"{path} holds {found!r}, not {kind!r}. Choose another.")


def too_new(
    path: Path, version: object, found: int, newest: int, error: type[ArtifactError] = ArtifactError
) -> ArtifactError:
    """Return the error for a file of a later version of the package."""
    return error(
        f"{path} was written by mmm_bayes {version} in format {found}; this is mmm_bayes "
        f"{__version__}, which reads up to format {newest}. Update mmm_bayes."
    )
