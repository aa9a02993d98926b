"""JSON bodies: every wrong member is refused with its name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.http.bodies import Choice, Shape, Text, Whole
from web.http.problems import Problem

SHAPE = Shape(
    {
        "name": Text(5),
        "note": Text(5, is_required=False),
        "role": Choice(("a", "b"), is_required=False),
        "count": Whole(1, 9, is_required=False),
    }
)


def test_clean_members_come_out() -> None:
    assert SHAPE.check({"name": " ab ", "role": "a", "count": 3}) == {
        "name": "ab",
        "role": "a",
        "count": 3,
    }
    assert SHAPE.check({"name": "x", "note": "", "role": None}) == {"name": "x", "note": ""}


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "text",
        {},
        {"name": ""},
        {"name": "  "},
        {"name": 5},
        {"name": "toolong"},
        {"name": "a\x00b"},
        {"name": "a\nb"},
        {"name": "\ud800"},
        {"name": "x", "role": "c"},
        {"name": "x", "role": ["a"]},
        {"name": "x", "count": 0},
        {"name": "x", "count": True},
        {"name": "x", "count": 1.5},
        {"name": "x", "more": 1},
    ],
)
def test_wrong_bodies_are_refused(body: object) -> None:
    with pytest.raises(Problem) as caught:
        SHAPE.check(body)
    assert (caught.value.status, caught.value.code) == (400, "bad_request")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    json_values | st.dictionaries(st.sampled_from(["name", "note", "role", "count"]), json_values)
)
def test_any_json_is_taken_or_refused(body: object) -> None:
    try:
        clean = SHAPE.check(body)
    except Problem:
        return
    assert 1 <= len(clean["name"]) <= 5


def test_schema_says_what_is_checked() -> None:
    schema = SHAPE.schema()
    assert schema["required"] == ["name"]
    assert schema["properties"]["role"]["enum"] == ["a", "b"]
    assert schema["properties"]["count"] == {"type": "integer", "minimum": 1, "maximum": 9}
    assert schema["additionalProperties"] is False
