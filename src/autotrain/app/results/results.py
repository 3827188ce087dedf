"""Results of runs on this machine, and what is being done with them."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autotrain.app.feeds import RunView
from autotrain.app.results.archive import archive, check_inside
from autotrain.app.results.errand import MERGE, PUSH, RUNNING, Errand
from autotrain.app.talks import Subject, Talks, subject_of
from autotrain.app.talks.memory import merge_bytes
from autotrain.app.tokens import Tokens
from autotrain.app.words import t
from autotrain.errors import ConfigError, HubError, RunFolderError
from autotrain.hub.contents import CARD, Upload, uploads
from autotrain.hub.push import Pushed, check_no_secret, last_push

_REPO = re.compile(r"(?:\w[\w.-]*/)?\w[\w.-]*", re.ASCII)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


@dataclass(frozen=True)
class Result:
    """What a finished run holds.  files: all that a download holds and a push brings to the hub."""

    subject: Subject
    files: tuple[Upload, ...]
    pushed: Pushed | None

    @property
    def folder(self) -> Path:
        return Path(self.subject.name)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def card(self) -> str:
        """README.md without the lines that are for machines."""
        content = next((file.content for file in self.files if file.path == CARD), b"")
        text = content.decode() if isinstance(content, bytes) else content.read_text(encoding="utf-8")
        return _FRONT_MATTER.sub("", text)

    def archive(self) -> Iterator[bytes]:
        """As a ZIP file, in chunks."""
        return archive(self.folder, self.files)


class Results:
    """One errand a run at a time; the latest is kept until the server ends."""

    def __init__(self, tokens: Tokens, talks: Talks) -> None:
        self._tokens = tokens
        self._talks = talks
        self._errands: dict[int, Errand] = {}

    def result(self, view: RunView) -> Result:
        """What there is.  Reads files, so not for the event loop.  Raises TalkProblem, RunFolderError."""
        subject = subject_of(view)
        folder = Path(subject.name)
        files = uploads(folder)
        check_inside(folder, files)
        return Result(subject, tuple(files), last_push(folder))

    def to_download(self, view: RunView) -> Result:
        """The same, and no secret is in its files, each of which is read.  Raises HubError if there is one."""
        result = self.result(view)
        token = self._tokens.current()
        check_no_secret(list(result.files), token.get_secret_value() if token else None)
        return result

    def errand(self, number: int) -> Errand | None:
        """What is done, or was done last, with the result of this run."""
        return self._errands.get(number)

    def merge(self, view: RunView) -> Errand:
        """Make the adapter and its base one model, in the run folder; the adapter is kept in a folder of its own.

        Raises TalkProblem, RunFolderError.
        """
        subject = subject_of(view)
        self._check_free(view)
        if not subject.adapter:
            raise RunFolderError(t("after.merged_already"))
        self._talks.put_away(subject.name)
        self._talks.make_room(merge_bytes(subject), subject)
        request = {"adapter_path": subject.name, "output_folder": subject.name}
        command = ["-P", "-m", "autotrain.trainers.clm", "generate", "merge", json.dumps(request)]
        return self._begin(view, MERGE, command, Path(subject.name).parent)

    def push(self, view: RunView, repo: str, *, public: bool) -> Errand:
        """Bring the result to the hub.  repo: NAME, or OWNER/NAME.  Raises TalkProblem, ConfigError, HubError."""
        subject = subject_of(view)
        self._check_free(view)
        if not _REPO.fullmatch(repo):
            raise ConfigError(t("after.bad_repo"))
        if self._tokens.current() is None:
            raise HubError(t("after.no_token"))
        command = ["-P", "-m", "autotrain", "push", subject.name, "--repo", repo, *(["--public"] if public else [])]
        return self._begin(view, PUSH, command, Path(subject.name).parent)

    def close(self) -> None:
        """End all errands."""
        for errand in self._errands.values():
            errand.close()

    def _check_free(self, view: RunView) -> None:
        errand = self.errand(view.number)
        if errand is not None and errand.state == RUNNING:
            raise RunFolderError(t("after.busy"))

    def _begin(self, view: RunView, kind: str, command: list[str], folder: Path) -> Errand:
        """folder: where the run was started, from which its base model may be named."""
        token = self._tokens.current()
        environment = {"HF_TOKEN": token.get_secret_value()} if token else {}
        errand = self._errands[view.number] = Errand(kind, [sys.executable, *command], environment, folder)
        return errand
