"""A Space of the user's that serves AutoTrain's web page: sign-in with Hugging Face, storage that outlives restarts."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autotrain import log
from autotrain.cloud.bill import Bill, Upload
from autotrain.cloud.bundle import size_of
from autotrain.cloud.checks import open_account
from autotrain.cloud.hardware import Hardware, hardware_of, live_price
from autotrain.cloud.image import START_APP, space_files
from autotrain.cloud.space import SpaceRequest, claimed_space, fill_space
from autotrain.errors import HubError
from autotrain.hub.client import explained
from autotrain.trainers.clm.params import LLMTrainingParams

if TYPE_CHECKING:
    from huggingface_hub import HfApi

STORAGE_FOLDER = "/data"
# What the page signs its visitors' sessions with.
SESSION_SECRET = "AUTOTRAIN_SESSION_SECRET"
_MODEL = "smollm2-135m"
_SIGN_IN_MINUTES = 43_200  # the hub's longest: a run that was started from the page has to push at its end
_FRONT_MATTER: Mapping[str, object] = {
    "hf_oauth": True,
    "hf_oauth_expiration_minutes": _SIGN_IN_MINUTES,
    "hf_oauth_scopes": ["manage-repos", "write-discussions", "jobs"],
}
_ABOUT = """\
AutoTrain's web page. Its owner signs in with Hugging Face and trains language models, on this Space's own hardware
or on another Space or Job."""
_UNTIL_PAUSED = "billed until it is paused, or a week after its last visitor"


@dataclass(frozen=True)
class PageSpace:
    """A Space as it was asked for.  name: NAME, or OWNER/NAME.  stores: whether it gets storage that outlives restarts."""

    name: str
    backend: str
    stores: bool

    def bill(self) -> str:
        """What would be made and billed, by the dated table; asks nobody."""
        return self._bill(self._repo_id("USER")).text()

    def confirmation(self) -> str:
        """The same with the hub's price of this moment.  Raises HubError."""
        api, _, repo_id = self._open()
        with explained("the hub's prices"):
            price = live_price(api, self.backend)
        return self._bill(repo_id).text(price, is_live=True)

    def create(self) -> str:
        """Make the Space, or bring one that is at rest to this version; returns its address.  Raises HubError."""
        api, _, repo_id = self._open()
        variables = {"AUTOTRAIN_HOME": f"{STORAGE_FOLDER}/autotrain"} if self.stores else {}
        session = {SESSION_SECRET: secrets.token_hex(32)}
        request = SpaceRequest(repo_id, self._hardware.name, session, variables, mark=SESSION_SECRET)
        with claimed_space(api, request) as is_new:
            if self.stores:
                _add_storage(api, repo_id)
            fill_space(api, repo_id, self._files(), is_new=is_new)
        return f"{api.endpoint}/spaces/{repo_id}"

    @property
    def _hardware(self) -> Hardware:
        return hardware_of(self.backend)

    def _open(self) -> "tuple[HfApi, str, str]":
        """Client, token and id.  Raises HubError without a token that may make this Space."""
        owner = self.name.rpartition("/")[0] or None
        api, token, account = open_account(LLMTrainingParams(username=owner))
        return api, token, self._repo_id(account.username or "")

    def _repo_id(self, owner: str) -> str:
        return self.name if "/" in self.name else f"{owner}/{self.name}"

    def _files(self) -> dict[str, bytes]:
        extras = ("app", "tensorboard", *(["quant"] if self._hardware.has_gpu else []))
        folder = STORAGE_FOLDER if self.stores else None
        return space_files(self.name.rpartition("/")[2], _ABOUT, START_APP, extras, _MODEL, _FRONT_MATTER, folder)

    def _bill(self, repo_id: str) -> Bill:
        files = self._files()
        created = [
            f"Space {repo_id}: private, docker, hardware {self._hardware.name}, sign-in with Hugging Face",
            *(
                [f"bucket {_bucket(repo_id)}: private, its storage at {STORAGE_FOLDER}, billed by size"]
                if self.stores
                else []
            ),
        ]
        uploads = [Upload(f"this version of AutoTrain, {len(files)} files", size_of(files))]
        return Bill(self.backend, created, uploads, (SESSION_SECRET,), None, unbounded=_UNTIL_PAUSED)


def _add_storage(api: "HfApi", repo_id: str) -> None:
    """A private bucket, made if it isn't there, as the Space's storage.  Raises HubError."""
    from huggingface_hub import Volume

    bucket = _bucket(repo_id)
    with explained(f"the bucket {bucket}"):
        api.create_bucket(bucket, private=True, exist_ok=True)
        if not api.bucket_info(bucket).private:
            raise HubError(f"the bucket {bucket} is there already and is public; make it private, or choose another name")
        api.set_space_volumes(repo_id, [Volume(type="bucket", source=bucket, mount_path=STORAGE_FOLDER)])
    log.info(
        f"the bucket {bucket} holds what is to outlive restarts; it stays when the Space is deleted, until you delete it: "
        f"hf buckets delete {bucket}"
    )


def _bucket(repo_id: str) -> str:
    return f"{repo_id}-storage"
