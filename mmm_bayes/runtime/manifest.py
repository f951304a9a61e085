"""Manifests: the JSON file that says what a folder is, read by everything that owns a folder."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mmm_bayes.runtime.artifact_errors import ArtifactError
from mmm_bayes.runtime.text_file import TextError, read_text


def read_manifest(path: Path, error: type[ArtifactError]) -> dict[str, Any]:
    """Return the content of a manifest.

    Raises
    ------
    ArtifactError
        (Of the type ``error``.) If it cannot be read or is not a JSON object.
    """
    try:
        found = json.loads(read_text(path))
    except (TextError, ValueError, RecursionError, OSError) as reason:
        raise error(f"{path} cannot be read ({reason}). Choose another folder.") from reason
    if not isinstance(found, dict):
        raise error(f"{path} cannot be read (it is not a JSON object). Choose another folder.")
    return found


def refuse_other_files(
    folder: Path, manifest: str, known: Collection[str], error: type[ArtifactError]
) -> None:
    """Raise if a folder without a manifest is a file, or holds files that are not ours.

    Raises
    ------
    ArtifactError
        (Of the type ``error``.) Names up to three of the files.
    """
    if folder.exists() and not folder.is_dir():
        raise error(f"{folder} is a file. Choose a folder.")
    if not folder.is_dir():
        return
    # Hidden files are not results that could be mixed up with ours: they are unfinished files of a
    # killed process, the manifest that another process is writing, or notes of the file system.
    other = sorted(p.name for p in folder.iterdir() if p.name not in known)
    other = [name for name in other if not name.startswith(".")]
    if other:
        more = ", ..." if len(other) > 3 else ""
        raise error(
            f"{folder} holds other files ({', '.join(other[:3])}{more}) and no {manifest}. Choose "
            "an empty or a new folder."
        )
