"""Headings and paragraphs as HTML has them, so that screen readers find them."""

from nicegui.elements.mixins.text_element import TextElement


def heading(text: str, level: int = 2) -> TextElement:
    """level: 2 for a part of the page, 3 for a part of that."""
    return TextElement(tag=f"h{level}", text=text)


def paragraph(text: str) -> TextElement:
    return TextElement(tag="p", text=text)
