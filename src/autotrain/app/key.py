"""The page's key: signs sessions and drafts' cookies, and the login token is made from it."""

import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path

from autotrain import log
from autotrain.errors import ConfigError

SESSION_SECRET = "AUTOTRAIN_SESSION_SECRET"
_FILE = "page-key"
_NUM_BYTES = 32
_WRITE_SECONDS = 2.0


def page_key(home: Path) -> bytes:
    """The key of this AutoTrain home, made at its first use; only its owner may read it.  Raises ConfigError.

    A Space has it as a secret instead, since its disk may not outlive a restart.
    """
    secret = os.environ.get(SESSION_SECRET)
    if secret:
        log.hide_secret(secret)
        return hashlib.sha256(secret.encode()).digest()
    path = home / _FILE
    try:
        home.mkdir(parents=True, exist_ok=True)
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            key = _read(path)
        else:
            key = secrets.token_bytes(_NUM_BYTES)
            with os.fdopen(number, "wb") as file:
                file.write(key)
    except OSError as problem:
        raise ConfigError(
            f"the page's key {path} can't be had: {problem}; set AUTOTRAIN_HOME to another folder"
        ) from problem
    if len(key) != _NUM_BYTES:
        raise ConfigError(f"{path} isn't a key of {_NUM_BYTES} bytes; delete it, and all have to sign in again")
    return key


def _read(path: Path) -> bytes:
    """Another server that begins at this moment may have made the file, and not yet written it."""
    end = time.monotonic() + _WRITE_SECONDS
    while not (key := path.read_bytes()) and time.monotonic() < end:
        time.sleep(0.01)
    return key


def derived(key: bytes, purpose: str) -> str:
    """Another key, for one purpose only: 64 hexadecimal digits."""
    return hmac.new(key, purpose.encode(), hashlib.sha256).hexdigest()
