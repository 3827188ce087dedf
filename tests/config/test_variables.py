"""`${NAME}` and `${NAME:-default}`, and nothing else, are variables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotrain.config.variables import BadReference, UnsetVariable, substitute


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "1"),
        ("x${A}y${A}", "x1y1"),
        ("${NO:-2}", "2"),
        ("${NO:-}", ""),
        ("${EMPTY}", ""),
        ("${EMPTY:-2}", "2"),
        ("${A:-2}", "1"),
        ("$A and $ {A} and $", "$A and $ {A} and $"),
        ("plain", "plain"),
    ],
)
def test_values_are_put_in(text: str, expected: str):
    assert substitute(text, {"A": "1", "EMPTY": ""}) == expected


def test_a_value_is_not_read_again():
    assert substitute("${A}", {"A": "${B}", "B": "no"}) == "${B}"


def test_an_unset_variable_is_named():
    with pytest.raises(UnsetVariable) as caught:
        substitute("x${NO}", {})
    assert caught.value.name == "NO"


@pytest.mark.parametrize("text", ["${{A}}", "${}", "${A", "${1A}", "${A B}", "${A-x}"])
def test_what_only_looks_like_a_variable_is_refused(text: str):
    with pytest.raises(BadReference):
        substitute(text, {"A": "1"})


@given(st.text().filter(lambda text: "${" not in text))
def test_text_without_variables_stays_as_it_is(text: str):
    assert substitute(text, {}) == text
