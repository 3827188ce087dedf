"""Text of others inside a Markdown page: shown as it is, and never markup."""

import re

# As entities: a backslash would be taken for a formula by the hub, and in a table a pipe ends the cell all the same.
_MARKUP = str.maketrans({sign: f"&#{ord(sign)};" for sign in "\\`*_[]~$|"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# Control characters, and those that turn the direction of what follows.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")

_NOT_OF_AN_ADDRESS = re.compile(r"[<>\s]")


def plain(text: str, most_characters: int | None = None) -> str:
    """`text` on one line of Markdown, line ends as <br>; cut where it is longer than `most_characters`."""
    is_cut = most_characters is not None and len(text) > most_characters
    shown = f"{text[:most_characters]} …" if is_cut else text
    lines = _UNSEEN.sub("", shown.replace("\r\n", "\n").replace("\r", "\n")).strip().split("\n")
    # An address of somebody's is no link of ours.
    return "<br>".join(line.translate(_MARKUP).replace("://", "&#58;//").replace("www.", "www&#46;") for line in lines)


def code(text: str) -> str:
    """A name, as code."""
    return plain(text) if "`" in text or "\n" in text else f"`{text}`"


def link(text: str, address: str) -> str:
    """A link that leads to `address` and ends there."""
    return f"[{plain(text)}](<{_NOT_OF_AN_ADDRESS.sub('', address)}>)"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Rows of cells that are Markdown already; "" for none."""
    if not rows:
        return ""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
