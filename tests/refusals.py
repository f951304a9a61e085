"""Match a refusal by the names of its checks, so that messages may be reworded freely."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mmm_bayes.runtime.findings import DataError


@contextmanager
def refused(
    *checks: str, error: type[DataError] = DataError
) -> Iterator[pytest.ExceptionInfo[DataError]]:
    """Expect an error whose findings are of exactly these checks."""
    with pytest.raises(error) as caught:
        yield caught
    assert {finding.check for finding in caught.value.findings} == set(checks)
