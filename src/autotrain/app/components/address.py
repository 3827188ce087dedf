"""Addresses of our own, as the browser needs them behind a proxy that strips a prefix."""

from nicegui import context


def here(path: str) -> str:
    """`path`, which begins with a slash, with the prefix before it."""
    return context.client.request.scope.get("root_path", "") + path
