"""A model card is somebody's Markdown: what is in it is shown, and does nothing."""

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="the page's libraries aren't installed (extra app)")

from nicegui import Client, core
from nicegui.page import page

from autotrain.app.components.harmless import harmless
from autotrain.app.pages.after.card import card_section

PICTURES = "/api/runs/1/"
CARD = """# A model

Say **hello**, see [here](https://example.org/a?b=1&c=2), `a < b`.

![loss](loss_curve.svg) ![spy](https://evil.example/spy.png)

| one | two |
|---|--:|
| 1 | 2 |

```python
print("<form>")
```

<form action="https://evil.example" method="post"><label>Password <input name="password" autofocus></label>
<button>Go on</button></form>
<script>alert(1)</script><style>body { display: none }</style><link rel="stylesheet" href="https://evil.example/x.css">
<div class="fixed-full" id="content" style="position: fixed; inset: 0" onclick="alert(1)">over all</div>
<iframe src="https://evil.example"></iframe><meta http-equiv="refresh" content="0; url=https://evil.example">
[go](javascript:alert(1))
"""


def shown(card: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The HTML that the page is sent for a card."""

    async def build() -> str:
        monkeypatch.setattr(core, "loop", asyncio.get_running_loop())
        with Client(page("/card")) as client:
            result: Any = SimpleNamespace(card=card)
            card_section(result, PICTURES.rstrip("/"))
            found = next(one for one in client.elements.values() if "at-after-card" in one.classes)
            html = found.props["innerHTML"]
            client.delete()
            return html

    return asyncio.run(build())


def test_a_card_with_active_html_is_text_links_and_its_own_picture(monkeypatch: pytest.MonkeyPatch):
    html = shown(CARD, monkeypatch)
    tags = set(re.findall(r"<([a-z0-9]+)", html))
    assert tags <= set("a br code div em h1 h2 h3 h4 hr img p pre span strong table tbody td th thead tr".split())
    attributes = set(re.findall(r'\s([a-z-]+)="', html))
    assert attributes <= {"href", "rel", "target", "src", "alt", "class", "style"}
    assert set(re.findall(r'class="([^"]*)"', html)) <= {"codehilite", "n", "nb", "p", "s2", "nt", "w", "k"}
    assert set(re.findall(r'style="([^"]*)"', html)) == {"text-align:right;"}
    assert re.findall(r'src="([^"]*)"', html) == ["/api/runs/1/loss_curve.svg"]
    assert re.findall(r'href="([^"]*)"', html) == ["https://example.org/a?b=1&amp;c=2"]
    assert "alert" not in html and "display" not in html and "spy" in html and "over all" in html
    assert "<strong>hello</strong>" in html and "<code>a &lt; b</code>" in html and "&lt;form&gt;" in html


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("<FORM><INPUT type=image src=x>text</FORM>", "text"),
        ("<svg><style><img src=x onerror=alert(1)></style></svg>after", "after"),
        ("<math><mtext><table><mglyph><style><!--</style><img title='--><img src=1 onerror=alert(1)>'>", ""),
        ("<scr<script>ipt>alert(1)</script>", "ipt&gt;alert(1)"),
        ("<a href='java&#115;cript:alert(1)'>a</a>", "a"),
        ("<a href='//evil.example'>a</a><a href='/api/runs/1/delete'>b</a>", "ab"),
        (
            "<a href='https://a.b/&quot;><i>'>a</a>",
            '<a href="https://a.b/&quot;&gt;&lt;i&gt;" rel="noopener noreferrer nofollow" target="_blank">a</a>',
        ),
        ("<p title='x' onmouseover=alert(1) class=at-button>a", "<p>a</p>"),
        ("</div></section>a", "a"),
        ("<!-- <b>x</b> --><![CDATA[<b>y</b>]]><?php z ?>a", "a"),
        ("<img src='/api/runs/1/../2/stop' alt='a'>", "a"),
        ("<img src=/api/runs/1/x.svg srcset='//evil.example 2x' alt=a>", '<img alt="a" src="/api/runs/1/x.svg">'),
        ("&lt;script&gt;&amp;", "&lt;script&gt;&amp;"),
        ("<textarea></textarea><select><option>x</select><noscript><p title='</noscript><img src=x>'>", ""),
    ],
)
def test_nothing_but_text_is_left_of_what_tries(given: str, left: str):
    html = harmless(given, PICTURES)
    assert html == left


def test_a_card_as_this_project_writes_it_keeps_all_it_says(monkeypatch: pytest.MonkeyPatch):
    html = shown(Path(__file__).parents[2].joinpath("docs", "results.md").read_text(encoding="utf-8"), monkeypatch)
    assert html.count("<table>") >= 1 and "<code>" in html
