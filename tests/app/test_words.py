"""What the page says: both languages say the same things, and every word that is asked for is there."""

import ast
import importlib
import pkgutil
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import autotrain.app
from autotrain.app import words
from autotrain.app.words import CHINESE, ENGLISH, as_said, language_of, request_language, t, translated
from autotrain.app.words.format import duration, number, size

ROOT = Path(autotrain.app.__file__).parent
# English has these on the parameters' own fields.
CHINESE_ONLY: tuple[str, ...] = ()
# Of more than one word, and the same in both.
NAMES = {"Hugging Face"}


def tables(code: str) -> Mapping[str, Mapping[str, str]]:
    package = importlib.import_module(f"autotrain.app.words.{code}")
    return {
        found.name: importlib.import_module(f"{package.__name__}.{found.name}").WORDS
        for found in pkgutil.iter_modules(package.__path__)
    }


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


PAGES = sorted({*tables(ENGLISH), *tables(CHINESE)} - {*CHINESE_ONLY})


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_words(page: str):
    english, chinese = tables(ENGLISH)[page], tables(CHINESE)[page]
    assert set(english) == set(chinese)
    for key, text in english.items():
        assert key.startswith(f"{page}.") and text.strip() and chinese[key].strip(), key
        assert placeholders(text) == placeholders(chinese[key]), key


@pytest.mark.parametrize("page", PAGES)
def test_chinese_is_chinese(page: str):
    english, chinese = tables(ENGLISH)[page], tables(CHINESE)[page]
    same = {text for key, text in english.items() if chinese[key] == text and " " in literals(text).strip()}
    assert same - NAMES == set()


def literals(text: str) -> str:
    return "".join(literal for literal, _, _, _ in string.Formatter().parse(text))


def asked_for() -> Iterator[tuple[str, str]]:
    """File and key of each literal `t("...")`, `translated("...")` and `frame("...")`."""
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("t", "frame", "missing"):
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield file.name, first.value


def test_each_word_that_is_asked_for_is_there():
    known = {key for table in tables(ENGLISH).values() for key in table}
    assert [(file, key) for file, key in asked_for() if key not in known] == []


@pytest.mark.parametrize(
    ("cookies", "accepted", "expected"),
    [
        ({}, "", "en"),
        ({}, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ({}, "fr-FR, zh-TW;q=0.5", "zh"),
        ({}, "de", "en"),
        ({"autotrain-language": "en"}, "zh", "en"),
        ({"autotrain-language": "zh"}, "en", "zh"),
        ({"autotrain-language": "<script>"}, "zh", "zh"),
    ],
)
def test_the_language_is_the_chosen_one_or_the_browsers(cookies: dict[str, str], accepted: str, expected: str):
    assert language_of(cookies, accepted) == expected


@pytest.fixture(params=[ENGLISH, CHINESE])
def code(request: pytest.FixtureRequest) -> Iterator[str]:
    token = request_language.set(request.param)
    yield request.param
    request_language.reset(token)


def test_values_are_put_in(code: str):
    assert t("frame.signed_in", name="{nils}").endswith("{nils}")
    assert translated("no.such") is None
    with pytest.raises(KeyError):
        t("no.such")


def test_durations_have_their_two_largest_units(code: str):
    said = [duration(seconds) for seconds in (0, 12.4, 200, 7500, 90_000)]
    expected = {
        "en": ["0 s", "12 s", "3 min 20 s", "2 h 5 min", "1 d 1 h"],
        "zh": ["0 秒", "12 秒", "3 分 20 秒", "2 小时 5 分", "1 天 1 小时"],
    }
    assert said == expected[code]


def test_numbers_are_short():
    assert [number(value) for value in (0, 1234567, 0.123456, 0.00003217, 12345.6, float("nan"))] == [
        *("0", "1,234,567", "0.1235", "3.217e-05", "12,346", "nan")
    ]
    assert [size(value) for value in (0, 999, 1234, 5.67e9)] == ["0 B", "999 B", "1.23 KB", "5.67 GB"]


def test_tables_are_read_once():
    assert words._table("en") is words._table("en")  # pyright: ignore[reportPrivateUsage]


def test_what_a_program_says_in_english_is_marked_in_chinese_and_ours_is_not():
    said = "问答.csv:3: broken JSON"
    assert as_said(said) == said and as_said("") == ""
    request_language.set(CHINESE)
    try:
        assert as_said(said) == f"程序的原话（英文）：{said}"
        assert as_said("基础模型不在了。") == "基础模型不在了。"
    finally:
        request_language.set(ENGLISH)
