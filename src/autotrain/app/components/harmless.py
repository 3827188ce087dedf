"""HTML that comes from a file: only what is text, pictures of this page and links is left of it."""

import re
from collections.abc import Mapping
from html import escape
from html.parser import HTMLParser
from types import MappingProxyType

_TAGS = frozenset(
    "a b blockquote br code dd del details div dl dt em h1 h2 h3 h4 h5 h6 hr i img li ol p pre s span strong sub summary "
    "sup table tbody td th thead tr ul".split()
)
_EMPTY = frozenset({"br", "hr", "img"})
# What stands between these is nothing to read.
_DROPPED_WHOLE = frozenset(
    "applet audio canvas embed frameset head iframe math noembed noframes noscript object script select style svg template "
    "textarea title video xmp".split()
)
# Tag -> attribute -> what its whole value must look like.  Classes and styles: those of coloured code and of tables alone.
_NUMBER = re.compile(r"\d{1,4}")
_ATTRIBUTES: Mapping[str, Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "a": {"href": re.compile(r"(?:https?://|mailto:)[^\s\\]+", re.IGNORECASE), "title": re.compile(r"[^\n]*")},
        "img": {"alt": re.compile(r".*", re.DOTALL), "width": _NUMBER, "height": _NUMBER},
        "div": {"class": re.compile(r"codehilite")},
        "span": {"class": re.compile(r"[a-z][a-z0-9]{0,2}")},
        "td": {"style": re.compile(r"text-align: ?(?:left|center|right);?"), "colspan": _NUMBER, "rowspan": _NUMBER},
        "th": {"style": re.compile(r"text-align: ?(?:left|center|right);?"), "colspan": _NUMBER, "rowspan": _NUMBER},
        "ol": {"start": _NUMBER},
        "details": {"open": re.compile(r"|open")},
    }
)


def harmless(html: str, pictures: str) -> str:
    """`html` without forms, scripts, styles, frames, media, names and handlers; links lead to the web or are none.

    pictures: the beginning of the addresses that are shown as pictures; of others, their text is.
    """
    cleaner = _Cleaner(pictures)
    cleaner.feed(html)
    cleaner.close()
    return "".join(cleaner.made) + "".join(f"</{tag}>" for tag in reversed(cleaner.opened))


class _Cleaner(HTMLParser):
    """Writes anew what is allowed, each text and value escaped; nothing is passed on as it was written."""

    def __init__(self, pictures: str) -> None:
        super().__init__(convert_charrefs=True)
        self.made: list[str] = []
        self.opened: list[str] = []
        self._pictures = pictures
        self._dropped: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED_WHOLE:
            self._dropped.append(tag)
        elif tag in _TAGS and not self._dropped:
            self._open(tag, {name: value or "" for name, value in reversed(attrs)})  # of two, browsers take the first

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _DROPPED_WHOLE:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._dropped:
            del self._dropped[self._dropped.index(tag) :]
        elif tag in self.opened and not self._dropped:
            while (last := self.opened.pop()) != tag:
                self.made.append(f"</{last}>")
            self.made.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._dropped:
            self.made.append(escape(data))

    def _open(self, tag: str, given: Mapping[str, str]) -> None:
        if tag == "img" and not self._is_ours(given.get("src", "")):
            self.made.append(escape(given.get("alt", "")))
            return
        allowed = _ATTRIBUTES.get(tag, {})
        kept = {name: value for name, value in given.items() if name in allowed and allowed[name].fullmatch(value)}
        if tag == "img":
            kept["src"] = given["src"]
        if tag == "a":
            if "href" not in kept:
                return  # a link that leads nowhere is its text
            kept |= {"rel": "noopener noreferrer nofollow", "target": "_blank"}
        self.made.append("".join([f"<{tag}", *(f' {name}="{escape(value)}"' for name, value in kept.items()), ">"]))
        if tag not in _EMPTY:
            self.opened.append(tag)

    def _is_ours(self, address: str) -> bool:
        rest = address.removeprefix(self._pictures)
        return rest != address and re.fullmatch(r"[\w.-]+", rest) is not None
