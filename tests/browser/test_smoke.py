"""The page opens, is alive, and asks nobody else for anything."""

from typing import Any


def test_the_page_opens_and_asks_only_its_own_server(visit: Any):
    page = visit.open("/settings")
    assert page.get_by_role("heading", level=1).inner_text() == "Settings"
    assert visit.strangers() == [] and visit.errors == []
