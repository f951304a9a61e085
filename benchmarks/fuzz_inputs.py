"""Inputs that lie: sound tables, texts and files, and what can happen to them on the way."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

Rng = np.random.Generator

CELLS: tuple[Any, ...] = (
    np.nan, None, pd.NA, pd.NaT, np.inf, -np.inf, 0, -1, -0.0, 1e308, -1e308, 1e-320, 10**400, True,
    "", " ", "abc", "1,234", "1.234,5", "1_000", "$5", "5%", "１２", "٣", "nan", "inf", "-Infinity",
    "1e999", "0x10", "\x00", "\ufeff7", "\u202e7", "\U0001f600", "a" * 5000, "9" * 5000, b"7",
    3 + 4j, [], [1, 2], {}, {"a": 1}, (1,), object(), decimal.Decimal("1e500"),
    decimal.Decimal("NaN"), decimal.Decimal("sNaN"), decimal.Decimal("3.5"),
    datetime.date(2024, 1, 1), datetime.timedelta(1), pd.Timestamp("2024-01-01", tz="UTC"),
    pd.Period("2024-01", "M"), pd.Interval(0, 1), np.float32(3), np.array([1.0]), set(), float,
)  # fmt: skip
DATES: tuple[Any, ...] = (
    "2024-02-30", "0000-00-00", "9999-12-31", "0001-01-01", "99999-01-01", "31/12/2024",
    "12/31/2024", "2024-01-01T00:00:00+02:00", "2024-01-01T00:00:00Z", "yesterday", "now", "today",
    "2024Q1", "2024-W05", "Jan 2024", 0, -1, 20240230, 2024, 45292, 1e18, 1.5, np.inf, None, "",
    "NaT", datetime.date(1, 1, 1), datetime.date(9999, 12, 31),
    datetime.datetime(2024, 1, 1, 23, 59), pd.Timestamp("2024-01-01", tz="America/New_York"),
    np.datetime64("2024-01-01"), True, np.datetime64("-9999-01-01", "D"),
    pd.Period("2024-01-01", "D"), [], "2024-01-01\x00", b"2024", "０００１-01-01", "1677-01-01",
    "2262-12-31", "0000Q1", "2024-00",
)  # fmt: skip
NAMES: tuple[Any, ...] = (
    "", " ", "tv ", "TV", "\x00", "../x", "a/b", "<script>", "名前", "é", "e\u0301", "\u202eabc",
    "{0}", "{where}", "{count}", "%s", "a" * 3000, "__class__", "geo", "date", "target", "channel",
    "chain", "draw", "sales", "national", "x.y", "a\nb", '"', "'", "\\", "[tv]", None, 0, -1, 1.5,
    True, ("a", "b"), np.nan, pd.Timestamp("2024-01-01"), "nan", "None", "lag", "control",
)  # fmt: skip


def pick(rng: Rng, options: Any) -> Any:
    """Return one of the options as it is, whatever its type."""
    return options[int(rng.integers(len(options)))]


def few(rng: Rng) -> int:
    """Draw a number of changes, mostly one, so that some inputs are still accepted."""
    return int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))


# --- Bytes ---------------------------------------------------------------------------------------

_TOKENS = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b",", b";", b"\t", b"\r", b"\n", b"\r\n",
    b"[", b"]", b"{", b"}", b"=", b":", b"#", b"->", b"\\", b"\\u0000", b"\\ud800", b"null",
    b"true", b"NaN", b"inf", b"-inf", b"1e999", b"9" * 5000, b"-1", b"0", b"2024-02-30", b"\xe9",
    b"\xc3\x28", b"[" * 3000, b"{" * 3000, b'{"a":' * 3000, b"a." * 3000, b"A" * 20000,
    b"=cmd|'/c calc'!A1", b"/*", b'"""', b"'''", b"&#1114112;", b"&#xd800;", b"&a;", b"[ ",
    b"graph ", b"1979-05-27T07:32:00Z",
)  # fmt: skip


def damage(rng: Rng, data: bytes, binary: bool = False) -> bytes:
    """Flip, cut, double and replace parts of some bytes."""
    for _ in range(few(rng)):
        size = max(len(data), 1)
        at = int(rng.integers(size))
        end = min(size, at + int(rng.integers(1, max(2, size // (50 if binary else 5)))))
        kind = int(rng.integers(8))
        if binary and kind < 6:
            data = _flipped(rng, data, int(rng.integers(1, 4)))
        elif kind == 0 or (binary and kind == 6):
            data = data[:at]
        elif kind == 1:
            data = data[:at] + data[end:]
        elif kind == 2 or binary:
            data = data[:end] + data[at:end] + data[end:]
        elif kind == 3:
            data = _flipped(rng, data, int(rng.integers(1, 9)))
        elif kind == 4:
            data = data[:at] + bytes([int(rng.integers(256))]) + data[at:]
        elif kind == 5:
            data = data[:at] + pick(rng, _TOKENS) + data[at:]
        elif kind == 6:
            lines = data.split(b"\n")
            lines.insert(int(rng.integers(len(lines) + 1)), pick(rng, lines))
            data = b"\n".join(lines)
        else:
            data = _encoded(rng, data)
    return data


def _flipped(rng: Rng, data: bytes, bits: int) -> bytes:
    found = bytearray(data)
    for place in rng.integers(max(len(data), 1), size=bits if data else 0):
        found[int(place)] ^= 1 << int(rng.integers(8))
    return bytes(found)


def _encoded(rng: Rng, data: bytes) -> bytes:
    text = data.decode("utf-8", "replace")
    code = pick(rng, ("utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-8-sig", "utf-7"))
    return text.encode(code, "replace")


# --- Tables --------------------------------------------------------------------------------------


def twist(rng: Rng, frame: pd.DataFrame, date: str) -> pd.DataFrame:
    """Return the change some cells, columns, rows, types or dates of a table."""
    frame = frame.copy()
    for _ in range(few(rng)):
        change = pick(rng, _TWISTS)
        # A table that pandas itself cannot hold is no input.
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame = change(rng, frame, date)
    return frame


def _cell(rng: Rng, df: pd.DataFrame, date: str) -> pd.DataFrame:
    if df.empty:
        return df
    df = df.copy()
    k = int(rng.integers(df.shape[1]))
    values = list(df.iloc[:, k].astype("object"))
    for row in rng.integers(len(df), size=int(rng.integers(1, 4))):
        values[int(row)] = pick(rng, CELLS + DATES)
    return _put(df, k, pd.Series(values, index=df.index, dtype="object"))


def _put(df: pd.DataFrame, k: int, values: pd.Series) -> pd.DataFrame:
    columns = [df.iloc[:, j] for j in range(df.shape[1])]
    columns[k] = values
    return pd.concat(columns, axis=1, keys=None).set_axis(df.columns, axis=1)


def _constant(rng: Rng, df: pd.DataFrame, date: str) -> pd.DataFrame:
    k, value = int(rng.integers(df.shape[1])), pick(rng, CELLS)
    return _put(df, k, pd.Series([value] * len(df), index=df.index, dtype="object"))


def _arithmetic(rng: Rng, df: pd.DataFrame, date: str) -> pd.DataFrame:
    k = int(rng.integers(df.shape[1]))
    if not pd.api.types.is_float_dtype(df.dtypes.iloc[k]):
        return df
    factor = pick(rng, (-1.0, 0.0, 1e-300, 1e-160, 1e-9, 1e12, 1e160, 1e300, np.nan, np.inf))
    return _put(df, k, df.iloc[:, k] * factor)


def _retyped(rng: Rng, df: pd.DataFrame, date: str) -> pd.DataFrame:
    kinds = (
        "object", "bool", "category", "string", "complex128", "float16", "float32", "int8",
        "uint64", "Int64", "Float64", "boolean", "datetime64[ns]", "timedelta64[ns]", "str",
        "bytes", "S3", "Sparse[float64]", "decimal", "int64[pyarrow]", "double[pyarrow]", "period",
        "interval", "datetime64[s]", "list",
    )  # fmt: skip
    k, kind = int(rng.integers(df.shape[1])), pick(rng, kinds)
    column = df.iloc[:, k]
    if kind == "decimal":
        return _put(df, k, column.map(lambda v: decimal.Decimal(str(v))).astype("object"))
    if kind == "list":
        return _put(df, k, column.map(lambda v: [v]))
    if kind == "period":
        days = pd.period_range("2020-01-01", periods=len(df), freq="D")
        return _put(df, k, pd.Series(days, index=df.index))
    if kind == "interval":
        return _put(df, k, pd.Series(pd.interval_range(0, len(df)), index=df.index))
    return _put(df, k, column.astype(kind))


def _columns(rng: Rng, df: pd.DataFrame, date: str) -> pd.DataFrame:
    kind, k = int(rng.integers(6)), int(rng.integers(df.shape[1]))
    names: list[Any] = list(df.columns)
    if kind == 0:
        return df.drop(columns=names[k]) if df.shape[1] > 1 else df
    if kind == 1:
        return pd.concat([df, df.iloc[:, [k]]], axis=1)
    if kind == 2:
        names[k] = pick(rng, NAMES)
    elif kind == 3:
        names[k] = pick(rng, names)
    elif kind == 4:
        order = rng.permutation(len(names))
        return df.iloc[:, order]
    elif all(isinstance(name, str) for name in names):
        return df.set_axis(pd.MultiIndex.from_tuples([(n, "x") for n in names]), axis=1)
    result = df.copy(deep=False)
    result.columns = pd.Index(names, dtype="object", tupleize_cols=False)
    return result


def _rows(rng: Rng, df: pd.DataFrame, date: str) -> pd.DataFrame:
    kind, n = int(rng.integers(9)), len(df)
    if kind == 0:
        return df.iloc[:0]
    if kind == 1:
        return df.iloc[: int(rng.integers(1, 6))]
    if kind == 2 and n:
        return df.iloc[rng.permutation(n)]
    if kind == 3 and n:
        return pd.concat([df, df.iloc[[int(rng.integers(n))]]])
    if kind == 4 and n:
        return df.drop(index=df.index[int(rng.integers(n))])
    if kind == 5:
        return df.iloc[::-1].set_axis(np.zeros(n), axis=0)
    if kind == 6 and df.shape[1] > 1:
        return df.set_index(df.columns[int(rng.integers(df.shape[1]))])
    if kind == 7 and df.shape[1] > 2:
        return df.set_index(list(df.columns[:2]))
    return pd.concat([df, df])


def _dates(rng: Rng, df: pd.DataFrame, date: str) -> pd.DataFrame:
    if date not in df.columns or not isinstance(df[date], pd.Series) or df.empty:
        return df
    k, n = list(df.columns).index(date), len(df)
    old = list(df[date].astype("object"))
    days = pd.date_range(
        "2021-01-04", periods=n, freq=pick(rng, ("D", "W", "MS", "ME", "QS", "YS")[:4])
    )
    kind = int(rng.integers(13))
    made: Any = old
    if kind <= 2:
        for row in rng.integers(n, size=int(rng.integers(1, 4))):
            made[int(row)] = pick(rng, DATES + CELLS)
        made = pd.Series(made, dtype="object")
    elif kind == 3:
        form = pick(
            rng,
            ("%d/%m/%Y", "%m-%d-%y", "%Y%m%d", "%b %d, %Y", "%YW%W", "%Y-%m-%d %H:%M:%S%z", "%s"),
        )
        made = days.strftime(form)
    elif kind == 4:
        made = days.tz_localize(pick(rng, ("UTC", "Europe/Berlin", "Asia/Kathmandu")))
    elif kind == 5:
        made = [
            f"{d:%Y-%m-%dT00:00:00}{'+01:00' if i % 2 else '+02:00'}" for i, d in enumerate(days)
        ]
    elif kind == 6:
        made = days + pd.to_timedelta(rng.integers(0, 100, n), "h")
    elif kind == 7:
        made = days.to_period(pick(rng, ("D", "W", "M", "Q", "Y")))
    elif kind == 8:
        made = rng.integers(0, 99999999, n)
    elif kind == 9:
        made = [pick(rng, DATES)] * n
    elif kind == 10:
        made = [d.date() if i % 2 else str(d.date()) for i, d in enumerate(days)]
    elif kind == 11:
        made = np.arange(n).astype("timedelta64[D]") + np.datetime64(
            pick(rng, ("1677-09-22", "2262-03-01", "1900-01-01"))
        )
    else:
        made = [d.to_pydatetime().replace(year=pick(rng, (4, 1000, 9004)), day=1) for d in days]
    return _put(df, k, pd.Series(made, index=df.index))


_TWISTS: tuple[Callable[[Rng, pd.DataFrame, str], pd.DataFrame], ...] = (
    _cell, _cell, _constant, _arithmetic, _arithmetic, _retyped, _columns, _rows, _dates, _dates,
)  # fmt: skip


# --- Trees of values (TOML, JSON) ----------------------------------------------------------------

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 10**6, 10**18, 10**30, -(10**30), 0.0, -0.0, 1.5, -2.5, 1e-320,
    1e-12, 1e9, 1e308, float("nan"), float("inf"), -float("inf"), "", "none", "normal", "year",
    "abc", "tv", "2024-01-01", "2024-13-45", "9999-12-31", "0001-01-01", "now",
    "2024-01-01T00:00:00+05:00", "<b>", "../x", "\x00", "名", "A" * 5000, [], [1], ["tv"],
    [["tv", "sales"]], [None], {}, {"dist": "normal"}, {"dist": "constant", "value": 0.0},
    {"a": {"b": {"c": 1}}}, {"dist": "half_normal", "scale": 1e-300},
    {"dist": "normal", "loc": 1e300, "scale": 1e300},
    {"dist": "uniform", "low": 0.0, "high": 1e308}, {"dist": "beta", "a": 1e-300, "b": 1e300},
    datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1), datetime.time(1), [[[[[]]]]],
)  # fmt: skip


WORDS = (
    "geometric", "delayed", "binomial", "weibull_pdf", "weibull_cdf", "none", "hill", "logistic",
    "michaelis_menten", "tanh", "root", "exponential", "coefficient", "roas", "marginal_roas",
    "contribution_share", "linear", "knots", "hsgp", "year", "quarter", "month", "week", "normal",
    "student_t", "log_normal", "poisson", "negative_binomial", "pooled", "half_normal", "beta",
    "gamma", "inverse_gamma", "uniform", "truncated_normal", "half_cauchy", "laplace", "constant",
    "saturation_first", "float32", "2022-06-24", "2022-12-24T12:00", "1600-01-01", "2300-01-01",
    "2022-02-29", "2024-02-29", "2022-06-24T00:00:00Z", "0001-01-01", "9999-12-31", "now",
    "1655900000", "tv", "sales",
)  # fmt: skip


def perturb(rng: Rng, tree: Any, keys: tuple[str, ...]) -> Any:
    """Drop, rename, add, nest and replace values of nested mappings and lists."""
    for _ in range(few(rng)):
        tree = _perturbed(rng, tree, keys, 0)
    return tree


def _perturbed(rng: Rng, tree: Any, keys: tuple[str, ...], depth: int) -> Any:
    inner = isinstance(tree, dict | list) and len(tree) > 0
    if inner and rng.random() < (0.75 if depth else 0.9):
        changed = dict(tree) if isinstance(tree, dict) else list(tree)
        place = pick(rng, list(tree) if isinstance(tree, dict) else range(len(tree)))
        changed[place] = _perturbed(rng, tree[place], keys, depth + 1)
        return changed
    kind = int(rng.integers(8))
    if isinstance(tree, dict) and kind < 4:
        changed = dict(tree)
        name = pick(rng, list(tree)) if tree else pick(rng, keys)
        if kind == 0:
            changed.pop(name, None)
        elif kind == 1:
            changed[name[:-1] if rng.random() < 0.5 else pick(rng, keys)] = changed.pop(name, 0)
        elif kind == 2:
            changed[pick(rng, keys)] = pick(rng, VALUES)
        else:
            changed[pick(rng, [n for n in NAMES if isinstance(n, str)])] = pick(rng, VALUES)
        return changed
    if kind == 4:
        return [tree]
    if kind == 5:
        return {pick(rng, keys): tree}
    if kind == 6 and isinstance(tree, list):
        return tree + tree
    return _leaf(rng, tree)


def _leaf(rng: Rng, value: Any) -> Any:
    """Return another value, mostly of the same type (wrong types are refused first)."""
    other = rng.random() < 0.3
    if isinstance(value, bool) and not other:
        return not value
    if isinstance(value, int) and not other:
        return value * pick(rng, (-1, 0, 2, 10, 100, 10**6, 10**12)) + int(rng.integers(-2, 3))
    if isinstance(value, float) and not other:
        return value * pick(rng, (-1.0, 0.0, 1e-300, 1e-9, 0.5, 2.0, 100.0, 1e9, 1e300))
    if isinstance(value, str) and not other:
        return pick(rng, WORDS)
    return pick(rng, VALUES)
