"""JSON with typed values: what goes out comes back, and what has no form is named."""

import datetime as dt
import decimal
import enum
import json
import math
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import DecodeError, EncodeError
from penstock.wire.codec import dumps, loads

ZONES = st.none() | st.integers(-1439, 1439).map(lambda m: dt.timezone(dt.timedelta(minutes=m)))
SURROGATES_TOO = st.text(st.characters(exclude_categories=()))
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**4000), 10**4000)
    | st.floats(allow_nan=False)
    | SURROGATES_TOO
    | st.binary()
    | st.datetimes(timezones=ZONES)
    | st.dates()
    | st.times()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
KEYS = SURROGATES_TOO.filter(lambda key: key != "__type__")
VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5)
)


@given(VALUES)
def test_a_value_comes_back_as_it_was(value):
    again = loads(dumps(value))
    assert again == value
    assert _kinds(again) == _kinds(value)


@given(VALUES)
def test_bytes_and_text_are_read_alike(value):
    data = dumps(value)
    assert loads(data.decode("ascii")) == loads(data)


JSON_ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | SURROGATES_TOO
JSON_VALUES = st.recursive(
    JSON_ATOMS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20
)


@given(JSON_VALUES)
def test_plain_values_are_written_as_the_standard_library_does(value):
    data = dumps(value)
    assert data.decode("ascii") == json.dumps(value)
    assert dumps(loads(data)) == data


@given(JSON_VALUES)
def test_text_in_utf_8_is_read_as_the_standard_library_does(value):
    try:
        data = json.dumps(value, ensure_ascii=False, indent=1).encode()
    except UnicodeEncodeError:  # a lone surrogate
        return
    assert json.dumps(loads(data)) == json.dumps(json.loads(data))


@pytest.mark.parametrize(
    "text",
    [
        "NaN", "[Infinity, -Infinity]", "1e400", "-0", "-0.0", "0.1e-400", "18446744073709551616",
        '{"a": 1, "a": 2}', '"\\ud800"', '"\\ud83d\\ude00"', " 1 ", '"\\u0000"', "1" * 4000,
        '{"__type__": 1, "x": 2}', "123456789012345678.123456789e-5",
    ],
)  # fmt: skip
def test_odd_numbers_keys_and_text_are_read_as_the_standard_library_does(text):
    found, expected = loads(text), json.loads(text)
    assert repr(found) == repr(expected)
    assert repr(loads(text.encode())) == repr(expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1, (2, ())), "[1, [2, []]]"),
        ({1: "a", None: "b", 1.5: "d"}, '{"1": "a", "null": "b", "1.5": "d"}'),
        ({True: 1, False: 2}, '{"true": 1, "false": 2}'),
        (math.inf, "Infinity"),
        ("hé", '"h\\u00e9"'),
        (b"abc", '{"__type__": "bytes", "__value__": "abc"}'),
        (b"\xff\x00", '{"__type__": "base64", "__value__": "/wA="}'),
        (decimal.Decimal("1.50"), '{"__type__": "decimal", "__value__": "1.50"}'),
        (dt.time(3, 4, 5, 6), '{"__type__": "time", "__value__": "03:04:05.000006"}'),
        (dt.date(2024, 1, 2), '{"__type__": "date", "__value__": "2024-01-02"}'),
        (
            uuid.UUID("12345678123456781234567812345678"),
            '{"__type__": "uuid", "__value__": {"hex": "12345678123456781234567812345678"}}',
        ),
    ],
)
def test_values_are_spelled_as_celery_spells_them(value, text):
    assert dumps(value).decode() == text


def test_an_object_may_say_its_own_form():
    class Point:
        def __json__(self):
            return {"x": 1, "at": dt.date(2024, 1, 2)}

    class Day(dt.date):
        def __json__(self):
            return "a day"

    assert loads(dumps([Point(), Day(2024, 1, 2)])) == [
        {"x": 1, "at": dt.date(2024, 1, 2)},
        "a day",
    ]


def test_members_of_text_and_number_enumerations_are_their_values():
    class Colour(enum.StrEnum):
        RED = "red"

    class Size(enum.IntEnum):
        BIG = 3

    assert dumps([Colour.RED, Size.BIG]) == b'["red", 3]'


class Plain:
    pass


class Broken:
    def __json__(self):
        raise RuntimeError("no form today")


LOOP: list[object] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({1, 2}, "type set has no form in JSON: send plain values"),
        (Plain(), r"test_codec\.Plain has no form .*__json__\(\)"),
        ([{"deep": (object(),)}], "type object has no form"),
        ({(1, 2): 3}, "keys must be str.*not tuple.*send plain values"),
        (Broken(), "RuntimeError: no form today"),
        (LOOP, "levels deep"),
        pytest.param(10**5000, "ValueError", id="huge"),
        (bytearray(b"x"), "type bytearray"),
        (1j, "type complex"),
    ],
)
def test_what_has_no_form_is_refused_by_its_name(value, named):
    with pytest.raises(EncodeError, match=named):
        dumps(value)


@pytest.mark.parametrize(
    "text",
    [
        '{"__type__": "builtins.eval", "__value__": "1"}',
        '{"__type__": "set", "__value__": [1]}',
        '{"__type__": null, "__value__": 1}',
        '{"__type__": ["date"], "__value__": 1}',
        '{"\\u005f_type__": "set", "__value__": [1]}',
        '[{"x": {"__type__": "Date", "__value__": "2024-01-02"}}]',
    ],
)
def test_an_unknown_type_is_refused(text):
    with pytest.raises(DecodeError, match=r"unknown __type__.*known are datetime, date"):
        loads(text)


def test_a_type_spelled_with_escapes_is_the_same_type():
    text = '{"\\u005f\\u005ftype__": "date", "__value__": "2024-01-02"}'
    assert loads(text) == dt.date(2024, 1, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("datetime", "yesterday"), ("datetime", 5), ("datetime", None), ("date", "2024-13-01"),
        ("time", "25:00"), ("decimal", "one"), ("decimal", 1), ("decimal", [0, [1], 2]),
        ("uuid", {"hex": "12"}), ("uuid", {}), ("uuid", {"bytes": "x"}), ("uuid", "x"),
        ("bytes", 1), ("bytes", "\ud800"), ("base64", "a"), ("base64", "é"), ("base64", {}),
    ],
)  # fmt: skip
def test_a_typed_value_that_cannot_be_read_is_refused(name, value):
    text = json.dumps({"__type__": name, "__value__": value})
    with pytest.raises(DecodeError, match=f"a {name} that cannot be read"):
        loads(text)


@pytest.mark.parametrize(
    "more", [{"__type__": "set"}, {"__value__": 1}, {"__type__": "set", "__value__": 1, "x": 2}]
)
def test_a_map_with_other_members_is_a_map(more):
    assert loads(json.dumps(more)) == more


@pytest.mark.parametrize(
    "data",
    [
        b"", b"x", b"[1,]", b"[1] 2", b"01", b"'a'", b'"\x01"', b'"\xff"', b"\xef\xbb\xbf1",
        b"\x00", '{"a": 1}'.encode("utf-16"), b'{"a"}', b"{1: 2}", b"nan", b"1" * 5000,
        '"é"'.encode("latin-1"),
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused(data):
    with pytest.raises(DecodeError, match="not JSON"):
        loads(data)


def _kinds(value):
    if isinstance(value, list):
        return [_kinds(item) for item in value]
    if isinstance(value, dict):
        return {key: _kinds(item) for key, item in value.items()}
    return type(value)
