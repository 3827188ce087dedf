"""What people left in their tabs: conversations and scorings by browser and model, the oldest forgotten first."""

from collections import OrderedDict
from typing import TYPE_CHECKING

from autotrain.app.talks.conversation import Conversation
from autotrain.app.talks.scoring import Scoring
from autotrain.app.talks.subject import Subject

if TYPE_CHECKING:
    from autotrain.app.talks.talks import Talks

_MOST = 500


class Kept:
    """owner: of a browser, which all of its tabs share."""

    def __init__(self, talks: "Talks") -> None:
        self._talks = talks
        self._conversations: OrderedDict[tuple[str, str], Conversation] = OrderedDict()
        self._scorings: OrderedDict[tuple[str, str], Scoring] = OrderedDict()

    def conversation(self, owner: str, subject: Subject) -> Conversation:
        key = (owner, subject.name)
        found = self._conversations.pop(key, None) or Conversation(self._talks, subject)
        found.subject = subject  # its base may have gone or come back
        self._conversations[key] = found
        while len(self._conversations) > _MOST:
            self._conversations.popitem(last=False)[1].stop()
        return found

    def scoring(self, owner: str, subject: Subject) -> Scoring:
        key = (owner, subject.name)
        found = self._scorings.pop(key, None) or Scoring(self._talks, subject)
        found.subject = subject
        self._scorings[key] = found
        while len(self._scorings) > _MOST:
            self._scorings.popitem(last=False)
        return found
