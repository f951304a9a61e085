"""Read model files and the tables that they name."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from mmm_bayes.cli.terminal import CommandError

if TYPE_CHECKING:
    from mmm_bayes.data.schema import MMMData
    from mmm_bayes.model.spec import ModelSpec


def bundled_models() -> list[Path]:
    """List the bundled model files, of the installed package or of the checkout."""
    package = Path(__file__).parent.parent
    for folder in (package / "_models", package.parent / "models"):
        if folder.is_dir():
            return sorted(folder.glob("*.toml"))
    return []


def read_model(model: str) -> ModelSpec:
    """Read a model file, or a bundled model by its name."""
    from mmm_bayes.model.spec import ModelSpec

    bundled = {path.stem: path for path in bundled_models()}
    # A folder of results often has the name of the model, so only files count.
    if Path(model).is_file():
        return ModelSpec.from_toml(Path(model))
    if model not in bundled:
        raise CommandError(
            f"There is no model file {model}, and no bundled model with that name. Bundled models: "
            f"{', '.join(bundled)}."
        )
    return ModelSpec.from_toml(bundled[model])


def inputs_of(model: str) -> list[Path]:
    """List the model file and the table that it names, as far as they are files of the user."""
    from mmm_bayes.runtime.text_file import TextError, parse_toml, read_text

    path = Path(model)
    if not path.is_file():
        return []
    found = [path]
    with contextlib.suppress(TextError, OSError, KeyError, TypeError, ValueError):
        found.append(path.parent / parse_toml(read_text(path))["data"]["file"])
    return found


def load_data(
    spec: ModelSpec, table: Path | None, base: Path, date_marks: str | None = None
) -> MMMData:
    """Read the table of a model, or another table with the same columns.

    ``date_marks`` replaces the setting of this name in the model.
    """
    import warnings

    from mmm_bayes.runtime.findings import DataError, DataWarning

    if spec.data is None:
        raise CommandError(
            "The model file has no [data] section to name the table and its columns. Add one, as "
            "in models/national_weekly.toml."
        )
    try:
        with warnings.catch_warnings():
            # Findings are printed with the rest of the report.
            warnings.simplefilter("ignore", DataWarning)
            source = spec.data if table is None else spec.data.with_file(table.resolve())
            if date_marks is not None:
                source = source.model_copy(update={"date_marks": date_marks})
            return source.load(base)
    except DataError as error:
        absent = any(finding.check == "missing_column" for finding in error.findings)
        if table is None or not absent:
            raise
        raise CommandError(
            f"{error}\nThe [data] section of the model names the columns to read: copy the model "
            "file and write the columns of your table there."
        ) from error
    except (ValueError, ImportError) as error:
        # Not a table, an unknown data set, or a missing reader.
        raise CommandError(f"The table cannot be read: {error}") from error
