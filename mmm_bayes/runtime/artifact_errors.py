"""Errors of reading saved files, worded once for all readers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmm_bayes._version import __version__
from mmm_bayes.runtime.findings import Finding, numbered


class ArtifactError(ValueError):
    """A saved file cannot be read: it is damaged, of another kind, or from a newer version.

    Attributes
    ----------
    findings : tuple of Finding
        Every way in which the parts of the file disagree; empty if it cannot be read at all.
    """

    findings: tuple[Finding, ...] = ()


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


def inconsistent(
    path: Path,
    kind: str,
    findings: Sequence[Finding],
    error: type[ArtifactError] = ArtifactError,
    remedy: str = "",
) -> ArtifactError:
    """Return the error for a file whose parts do not belong together, with every finding."""
    count = "1 problem" if len(findings) == 1 else f"{len(findings)} problems"
    made = error(
        f"{path} is not a sound {kind}: its parts do not belong together. {remedy}".rstrip()
        + f"\n{count}:\n{numbered(findings)}"
    )
    made.findings = tuple(findings)
    return made


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
