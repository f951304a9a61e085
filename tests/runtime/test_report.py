import copy
import pickle

import numpy as np
import pandas as pd
import pytest

from mmm_bayes.runtime.summary_table import WIDTH, Shown, SummaryTable


def table() -> SummaryTable:
    frame = pd.DataFrame(
        {
            "spend": [1234567.0, 2.5e5],
            "roas": [3.14159, np.nan],
            "roas_lower": [-1.0, np.nan],
            "roas_upper": [4.0, np.nan],
            "extra": [1, 2],
        },
        index=pd.Index(["tv", "<radio>"], name="channel"),
    )
    shown = (
        Shown("spend", "spend"),
        Shown("ROAS", "roas", "ratio"),
        Shown("90% interval", ("roas_lower", "roas_upper"), "ratio"),
    )
    return SummaryTable(frame, shown=shown, caption="Medians & more.")


def test_a_summary_prints_its_important_columns_with_intervals():
    lines = str(table()).splitlines()
    assert lines[0].split() == ["spend", "ROAS", "90%", "interval"]
    assert lines[2].split() == ["tv", "1.23M", "3.14", "-1.00", "to", "4.00"]
    assert lines[3].split() == ["<radio>", "250k", "n/a", "n/a"]
    assert lines[-1] == "Medians & more."
    page = table()._repr_html_()
    assert "&lt;radio&gt;" in page
    assert "\N{MINUS SIGN}1.00" in page
    assert "Medians &amp; more." in page


def test_a_summary_is_a_data_frame():
    frame = table()
    assert frame.loc["tv", "roas"] == pytest.approx(3.14159)
    assert type(frame[["roas"]]) is type(frame.T) is type(frame.copy()) is pd.DataFrame
    assert "roas_upper" in frame.to_csv()
    for again in (pickle.loads(pickle.dumps(frame)), SummaryTable(frame)):
        pd.testing.assert_frame_equal(pd.DataFrame(again), pd.DataFrame(frame))
    assert str(pickle.loads(pickle.dumps(frame))) == str(frame)
    assert copy.deepcopy(frame).equals(frame)
    del frame["roas"]
    assert "extra" in str(frame)


def test_wide_tables_and_long_texts_stay_within_the_width():
    columns = {f"column {k}": np.linspace(0.0, 1e6, 3) for k in range(30)}
    frame = SummaryTable({**columns, "text": ["word " * 40] * 3})
    assert max(map(len, str(frame).splitlines())) <= WIDTH
    assert ("word " * 40).strip() in frame._repr_html_()


def test_a_column_can_be_added_to_the_print():
    frame = table().with_shown(Shown("true", "true", "ratio"), [2.0, np.nan], after="ROAS")
    assert frame.headings == ["spend", "ROAS", "true", "90% interval"]
    assert frame.loc["tv", "true"] == 2.0
