"""Whose name the page uses on the hub.  A token stays in this process's memory, and goes to workers only."""

from contextvars import ContextVar

from pydantic import SecretStr

from autotrain import log

# Of the visitor whose request is answered, on a Space; set by the guard.
visitor_token: ContextVar[SecretStr | None] = ContextVar("visitor_token", default=None)


class Tokens:
    """The hub's token: the visitor's own, or the one of the settings page, or this machine's (HF_TOKEN, `hf auth login`)."""

    def __init__(self, *, is_shared: bool) -> None:
        """is_shared: visitors come with tokens of their own (a Space), and nobody uses the machine's."""
        self._is_shared = is_shared
        self._given: SecretStr | None = None

    @property
    def can_give(self) -> bool:
        """Whether the settings page takes one."""
        return not self._is_shared

    def current(self) -> SecretStr | None:
        if self._is_shared:
            return visitor_token.get()
        if self._given is not None:
            return self._given
        from huggingface_hub import get_token

        found = get_token()
        return SecretStr(found) if found else None

    def give(self, token: SecretStr) -> None:
        """Use `token` until the page ends."""
        log.hide_secret(token.get_secret_value())
        self._given = token

    def forget(self) -> None:
        self._given = None
