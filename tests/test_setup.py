"""Set-up deletes nothing but virtual environments."""

from __future__ import annotations

import subprocess
from pathlib import Path


def test_a_folder_that_is_no_virtual_environment_is_left_alone(
    tmp_path: Path, repo_root: Path
) -> None:
    (tmp_path / "work" / "bin").mkdir(parents=True)
    (tmp_path / "work" / "thesis.txt").write_text("mine")
    script = repo_root / "requirements" / "setup.sh"
    for place in (tmp_path / "work", tmp_path / "work" / "thesis.txt"):
        line = ["sh", str(script), str(place), "lock"]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "pyvenv.cfg" in done.stderr
        assert (tmp_path / "work" / "thesis.txt").read_text() == "mine"
