"""What others wrote is shown on a page and can't change it."""

import pytest

from autotrain.output.markdown import code, link, plain, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a | b", "a &#124; b"),
        (r"a \| b", "a &#92;&#124; b"),  # in a table, a backslash before a pipe isn't enough
        ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("![x](https://spy.example/p.png)", "!&#91;x&#93;(https&#58;//spy.example/p.png)"),
        ("see www.example.org", "see www&#46;example.org"),
        (
            "**bold** __init__ `code` ~~no~~",
            "&#42;&#42;bold&#42;&#42; &#95;&#95;init&#95;&#95; &#96;code&#96; &#126;&#126;no&#126;&#126;",
        ),
        ("$$x$$", "&#36;&#36;x&#36;&#36;"),
        ("one\ntwo\r\nthree\rfour", "one<br>two<br>three<br>four"),
        ("\n---\n", "---"),
        ("a\x00b\x1b[31m\u202ec", "ab&#91;31mc"),
        ("plain words, 3 < 4", "plain words, 3 &lt; 4"),
    ],
)
def test_text_of_others_is_shown_and_is_no_markup(text: str, shown: str):
    assert plain(text) == shown


def test_long_text_is_cut_before_it_is_made_harmless():
    assert plain("||||", 2) == "&#124;&#124; …"


def test_a_name_with_a_backtick_is_no_code_that_ends_too_soon():
    assert (code("data"), code("a`b")) == ("`data`", "a&#96;b")


def test_a_link_leads_where_it_says_and_ends_there():
    assert link("](x) law", "https://a.org/l) <b>") == "[&#93;(x) law](<https://a.org/l)b>)"


def test_a_table_has_a_line_for_each_row_and_none_for_none():
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
    assert table(("a", "b"), []) == ""
