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
        self.is_shared = is_shared
        self._given: SecretStr | None = None
        self._given_name = ""

    @property
    def given_name(self) -> str:
        """Whose token the settings page was given, or ""."""
        return self._given_name

    def current(self) -> SecretStr | None:
        if self.is_shared:
            return visitor_token.get()
        if self._given is not None:
            return self._given
        from autotrain.hub.client import token_of

        found = token_of()
        return SecretStr(found) if found else None

    def give(self, token: SecretStr) -> str:
        """Use `token` until the page ends; returns whose it is.  Raises HubError if it isn't one, or nobody can say."""
        from autotrain.hub.client import account, open_api

        log.hide_secret(token.get_secret_value())
        name = account(open_api(token.get_secret_value())).name
        self._given, self._given_name = token, name
        return name

    def forget(self) -> None:
        """No longer use what the settings page was given."""
        self._given, self._given_name = None, ""
