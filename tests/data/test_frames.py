"""Tables of pyarrow, and of libraries that hand over Arrow streams or data frames, are read."""

import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import mmm_bayes as mb
from mmm_bayes.data.cell_values import to_floats
from mmm_bayes.data.frames import as_frame, is_frame

ROLES = dict(date="week", target="revenue", channels=["tv"])


class Stream:
    """A table that only hands over an Arrow stream."""

    def __init__(self, table):
        self.columns = table.column_names
        self.__arrow_c_stream__ = table.__arrow_c_stream__


class Lazy:
    columns = ("week",)

    def collect(self):
        raise AssertionError("computed without being asked")


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    weeks = pd.date_range("2022-01-03", periods=30, freq="W-MON")
    tv = rng.gamma(2, 5, 30)
    return pd.DataFrame({"week": weeks, "tv": tv, "revenue": 100 + tv + rng.normal(0, 5, 30)})


@pytest.mark.parametrize("form", [lambda t: t, Stream])
def test_tables_of_arrow_are_read(frame, form):
    table = form(pa.Table.from_pandas(frame))
    expected = mb.MMMData.from_dataframe(frame, **ROLES)
    data = mb.MMMData.from_dataframe(table, **ROLES)
    assert data.equals(expected)
    assert expected.with_table(table).equals(expected)
    long = form(pa.Table.from_pandas(frame.melt("week"), preserve_index=False))
    assert mb.MMMData.from_long(long, variable="variable", value="value", **ROLES).equals(expected)


def test_a_table_that_is_not_computed_yet_is_refused_with_the_call():
    with pytest.raises(TypeError, match=r"Lazy.*collect\(\)"):
        as_frame(Lazy())
    assert not is_frame(pd.Series([1.0]))
    assert not is_frame({"tv": 3})


@pytest.mark.parametrize(
    ("kind", "cells", "numbers"),
    [
        (pa.bool_(), [True, None, False], [1.0, np.nan, 0.0]),
        (pa.decimal128(8, 2), [decimal.Decimal("1.50"), None], [1.5, np.nan]),
        (pa.int32(), [3, None], [3.0, np.nan]),
    ],
)
def test_cells_of_arrow_are_numbers(kind, cells, numbers):
    values, refused = to_floats(pd.Series(cells, dtype=pd.ArrowDtype(kind)))
    np.testing.assert_array_equal(values, numbers)
    assert not refused.any()
