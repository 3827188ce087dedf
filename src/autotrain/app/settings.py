"""How the page is served, as the command line or the Space says."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

UPLOAD_BYTES = 2 * 1024**3
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Settings:
    """workspace: folder of runs and uploads.  home: of keys and drafts, not shown in the page.

    port: 0 for a free one.  password: None for a token, where a login is demanded: off loopback, or if said so.
    prefix: path that a proxy strips, "" or "/tuner".  domains: names beside the machine's own that the page is reached by.
    capacity: jobs at once on this machine.  on_space: served by a Space of the hub.  custom_models: offered first.
    """

    workspace: Path
    home: Path
    host: str = "127.0.0.1"
    port: int = 7860
    password: SecretStr | None = None
    demands_login: bool = False
    prefix: str = ""
    domains: tuple[str, ...] = ()
    capacity: int = 1
    on_space: bool = False
    upload_bytes: int = UPLOAD_BYTES
    custom_models: tuple[str, ...] = ()

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine reach it."""
        return self.host in LOOPBACK
