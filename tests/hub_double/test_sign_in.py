"""Sign-in with Hugging Face on a Space, and its storage."""

import json
import urllib.error
import urllib.request
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hub_double import HubDouble
from huggingface_hub import HfApi, Volume
from huggingface_hub.errors import HfHubHTTPError

SPACE = "nils/page"
CARD = b"---\nsdk: docker\nhf_oauth: true\nhf_oauth_scopes: [manage-repos, jobs]\n---\n"
BACK = "http://127.0.0.1:7860/auth"


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """A redirect is looked at, not followed."""


@pytest.fixture
def client(hub: HubDouble, api: HfApi) -> dict[str, str]:
    """What a process in the Space knows of its application."""
    api.create_repo(SPACE, repo_type="space", space_sdk="docker")
    api.upload_file(repo_id=SPACE, repo_type="space", path_in_repo="README.md", path_or_fileobj=CARD)
    return hub.spaces[SPACE].environment()


def authorize(hub: HubDouble, client: dict[str, str], **changed: str) -> dict[str, str]:
    """What the browser is sent back with."""
    asked = {
        "client_id": client["OAUTH_CLIENT_ID"],
        "redirect_uri": BACK,
        "scope": client["OAUTH_SCOPES"],
        "response_type": "code",
        "state": "st4te",
        **changed,
    }
    with pytest.raises(urllib.error.HTTPError) as redirect:
        urllib.request.build_opener(_Stays).open(f"{hub.url}/oauth/authorize?{urlencode(asked)}")
    assert redirect.value.code == 303, redirect.value.read()
    address = redirect.value.headers["Location"]
    assert address.startswith(BACK)
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def exchange(hub: HubDouble, client: dict[str, str], code: str, secret: str | None = None) -> dict[str, str]:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": BACK,
        "client_id": client["OAUTH_CLIENT_ID"],
        "client_secret": secret or client["OAUTH_CLIENT_SECRET"],
    }
    with urllib.request.urlopen(f"{hub.url}/oauth/token", data=urlencode(form).encode()) as answer:
        return json.load(answer)


def test_who_signs_in_gives_a_token_for_what_the_space_asks(hub: HubDouble, client: dict[str, str]):
    hub.person = "nils"
    assert client["OAUTH_SCOPES"] == "openid profile manage-repos jobs" and client["OPENID_PROVIDER_URL"] == hub.url
    back = authorize(hub, client)
    assert back["state"] == "st4te"
    given = exchange(hub, client, back["code"])
    signed_in = HfApi(endpoint=hub.url, token=given["access_token"])
    assert signed_in.whoami()["name"] == "nils" and signed_in.whoami()["auth"]["type"] == "oauth"
    signed_in.create_repo("nils/model")
    signed_in.run_job(image="python:3.11", command=["true"])
    with pytest.raises(HfHubHTTPError, match=r"lacks discussion\.write"):
        signed_in.create_discussion("nils/model", "Finished")
    with pytest.raises(urllib.error.HTTPError, match="400"):
        exchange(hub, client, back["code"])  # a code is good once


def test_who_refuses_gives_nothing(hub: HubDouble, client: dict[str, str]):
    assert authorize(hub, client)["error"] == "access_denied"


def test_a_wrong_secret_or_address_is_refused(hub: HubDouble, client: dict[str, str]):
    hub.person = "nils"
    code = authorize(hub, client)["code"]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        exchange(hub, client, code, secret="wrong")
    elsewhere = {"client_id": client["OAUTH_CLIENT_ID"], "redirect_uri": "https://example.com/auth"}
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(f"{hub.url}/oauth/authorize?{urlencode(elsewhere)}")


def test_a_bucket_as_the_storage_of_a_space(hub: HubDouble, api: HfApi, client: dict[str, str]):
    bucket = api.create_bucket("nils/storage", private=True)
    assert api.create_bucket("nils/storage", exist_ok=True).bucket_id == bucket.bucket_id == "nils/storage"
    assert api.bucket_info("nils/storage").private
    api.set_space_volumes(SPACE, [Volume(type="bucket", source="nils/storage", mount_path="/data")])
    assert hub.spaces[SPACE].volumes == [{"type": "bucket", "source": "nils/storage", "mountPath": "/data"}]
    assert api.get_space_runtime(SPACE).volumes[0].mount_path == "/data"
    api.delete_bucket("nils/storage")
    assert hub.buckets == {}
