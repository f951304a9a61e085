"""Structural fits and CausalMMMs with right checksums whose parts do not belong together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmm_bayes as mb
from mmm_bayes.errors import FitFileError
from mmm_bayes.runtime.artifact import Artifact, write_artifact

Change = Callable[[Artifact], Artifact]


def about(**changes: Any) -> Change:
    return lambda made: dataclasses.replace(made, about={**made.about, **changes})


def files(**names: str) -> Change:
    """Give some members the content of others."""

    def change(made: Artifact) -> Artifact:
        new = {f"{name}.nc": made.files[f"{other}.nc"] for name, other in names.items()}
        return dataclasses.replace(made, files={**made.files, **new})

    return change


def not_finite(name: str) -> Change:
    def change(made: Artifact) -> Artifact:
        values = np.array(made.arrays[name])
        values.reshape(-1)[0] = np.nan
        return dataclasses.replace(made, arrays={**made.arrays, name: values})

    return change


def refused(kind: str, change: Change, tmp_path: Path) -> FitFileError:
    import fuzz_binary
    import fuzz_saved

    path = tmp_path / "given.zip"
    write_artifact(path, change(fuzz_saved._sound_artifact(kind)))
    with pytest.raises(FitFileError) as caught:
        fuzz_binary.READERS[kind](path)
    return caught.value


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (files(equation0="equation1", equation1="equation0"), "target"),
        (about(equations=["zz", "sales"]), "unknown_node"),
        (about(media=["zz"]), "unknown_node"),
        (about(districts=[["zz", "sales"]]), "labels"),
        (about(edges=[]), "not_a_parent"),
    ],
)
def test_equations_that_do_not_fit_are_found(change: Change, check: str, tmp_path: Path) -> None:
    error = refused("structural", change, tmp_path)
    assert check in {finding.check for finding in error.findings}


@pytest.mark.parametrize("name", ["weight_000", "loss"])
def test_networks_that_are_not_finite_are_found(name: str, tmp_path: Path) -> None:
    error = refused("causal mmm", not_finite(name), tmp_path)
    assert [(f.check, f.where) for f in error.findings] == [("not_finite", name)]


def test_a_panel_that_is_not_one_is_found(tmp_path: Path) -> None:
    error = refused("causal mmm", about(shops=["a", "a"]), tmp_path)
    assert error.findings
    assert str(error)


def test_a_sound_artifact_is_accepted(tmp_path: Path) -> None:
    import fuzz_saved

    for kind, read in (
        ("structural", mb.load_structural_fit), ("causal mmm", mb.load_causal_mmm),
    ):  # fmt: skip
        path = tmp_path / "sound.zip"
        write_artifact(path, fuzz_saved._sound_artifact(kind))
        assert repr(read(path))
