"""The Space that we run on: how its run ended is opened as a discussion, and then it is paused, so that it costs nothing."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from autotrain import log
from autotrain.cloud.report import End, discussion_text, discussion_title
from autotrain.errors import HubError
from autotrain.hub.client import explained

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# A Space that goes on costs money, so a pause that fails is tried again.
_WAITS_SECONDS = (5.0, 15.0, 60.0, 240.0)
# Tokens of a sign-in, which may not open discussions.
_SIGN_IN_TOKEN = "hf_oauth"


def tell(api: "HfApi", space_id: str, end: End, project: str, run: str) -> None:
    """Open a discussion on how it ended.  A failure is said, and is no failure of the run."""
    if str(api.token).startswith(_SIGN_IN_TOKEN):
        log.info(f"no discussion is opened on the Space {space_id}: a sign-in's token may not do that")
        return
    try:
        with explained(f"opening a discussion on the Space {space_id}"):
            api.create_discussion(
                space_id,
                discussion_title(end, run),
                description=log.mask(discussion_text(end, project)),
                repo_type="space",
            )
    except HubError as problem:
        log.notice(str(problem))


def pause(api: "HfApi", space_id: str, sleep: Callable[[float], None] = time.sleep) -> bool:
    """Pause the Space; returns whether it worked, which it says if not."""
    for seconds in (*_WAITS_SECONDS, None):
        try:
            with explained(f"pausing the Space {space_id}"):
                api.pause_space(space_id)
            return True
        except HubError as problem:
            log.error(str(problem) + ("" if seconds is None else f"; trying again in {seconds:.0f} s"))
        if seconds is not None:
            sleep(seconds)
    log.error(f"the Space {space_id} goes on, and costs what it costs, until it is paused in its settings")
    return False
