"""What the tests of the double share: two users, and the client as each of them."""

from collections.abc import Callable

import pytest
from hub_double import HubDouble
from huggingface_hub import HfApi


@pytest.fixture
def api(hub: HubDouble) -> HfApi:
    """The client of a user `nils` who may write, in the organisation `acme` too."""
    hub.add_user("nils", token="hf_nils", orgs={"acme": "admin"})
    return HfApi(endpoint=hub.url, token="hf_nils")


@pytest.fixture
def as_user(hub: HubDouble) -> Callable[..., HfApi]:
    """The client of another user, made on the spot; `anna` unless named."""

    def build(name: str = "anna", **account: object) -> HfApi:
        hub.add_user(name, token=f"hf_{name}", **account)
        return HfApi(endpoint=hub.url, token=f"hf_{name}")

    return build
