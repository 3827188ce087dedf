"""In which encoding a text file was written: Excel writes UTF-16, or whatever the country is used to."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from autotrain.app.uploads.refused import Refused

UTF_8 = "utf-8"
CHUNK_BYTES = 1 << 20
# What a file begins with, the longer first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PAIRED_SHARE = 0.7  # of bytes above 127 that stand beside another one: Chinese, not a language with accents
_ZERO_SHARE = 0.2  # of zero bytes on one side: Latin letters in UTF-16


def find_encoding(path: Path) -> str:
    """A name that Python knows.  Raises Refused for what is no text."""
    with path.open("rb") as file:
        head = file.read(CHUNK_BYTES)
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if b"\0" in head:
        return _utf_16(head)
    broken = next(_broken_chunks(path), None)
    return UTF_8 if broken is None or _is_mostly_utf8(broken) else _of_a_country(broken)


def _utf_16(head: bytes) -> str:
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = max(1, len(head) // 2)
    if odd > _ZERO_SHARE * half and even < odd / 10:
        return "utf-16-le"
    if even > _ZERO_SHARE * half and odd < even / 10:
        return "utf-16-be"
    raise Refused("binary")


def _broken_chunks(path: Path) -> Iterator[bytes]:
    """Parts of the file that aren't UTF-8."""
    decoder = codecs.getincrementaldecoder(UTF_8)()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                yield chunk
                decoder.reset()


def _is_mostly_utf8(chunk: bytes) -> bool:
    """Whether a few bytes are broken in a text that is UTF-8 otherwise: then only their rows are."""
    text = chunk.decode(UTF_8, "replace")
    num_broken = text.count("\ufffd")
    num_sound = sum(1 for character in text if character > "\x7f") - num_broken
    return num_sound > num_broken


def _of_a_country(chunk: bytes) -> str:
    """GB 18030 (Chinese), or Windows' for Western Europe."""
    high = [position for position, byte in enumerate(chunk) if byte > 0x7F]
    places = set(high)
    num_paired = sum(1 for position in high if position - 1 in places or position + 1 in places)
    return "gb18030" if num_paired >= _PAIRED_SHARE * len(high) else "cp1252"
