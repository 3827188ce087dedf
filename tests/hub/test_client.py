"""Whose token, and every error of the hub in one sentence."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autotrain import log
from autotrain.errors import HubError
from autotrain.hub import client
from autotrain.hub.client import Account, account, explained, fault_of, open_api, token_of


def test_the_explicit_token_comes_first_then_the_variable_then_the_login(hub, monkeypatch):
    assert token_of() is None
    from huggingface_hub import constants

    (hub.root.parent / "huggingface").mkdir(exist_ok=True)
    with open(constants.HF_TOKEN_PATH, "w") as file:
        file.write("hf_login")
    assert token_of() == "hf_login"
    monkeypatch.setenv("HF_TOKEN", "hf_variable")
    assert (token_of(), token_of("hf_explicit")) == ("hf_variable", "hf_explicit")


def test_a_token_that_was_used_is_masked_in_logs():
    token_of("no-usual-shape-of-a-token")
    assert log.mask("it is no-usual-shape-of-a-token.") == "it is ****."


def test_an_account_knows_its_organisations_and_the_role_of_its_token(hub):
    hub.add_user("ann", token="hf_ann", role="read", orgs={"acme": "admin"}, can_pay=False)
    found = account(open_api("hf_ann"))
    assert (found.name, dict(found.organisations), found.role, found.can_pay) == ("ann", {"acme": "admin"}, "read", False)


ANN = Account("ann", {"acme": "write", "watchers": "read"})


@pytest.mark.parametrize(
    ("owner", "namespace", "said"),
    [
        (ANN, "ann", None),
        (ANN, "acme", None),
        (ANN, "others", "who is not in others; possible names: ann, acme, watchers"),
        (ANN, "watchers", "has the role 'read' in watchers"),
        (Account("ann", role="read"), "ann", "may only read"),
        (Account("ann", role="fineGrained"), "ann", "lacks the permission repo.write for ann"),
        (Account("ann", role="fineGrained", scopes={"ann": frozenset({"repo.write"})}), "ann", None),
        (Account("ann", role="fineGrained", scopes={"": frozenset({"repo.write"})}), "ann", None),
    ],
)
def test_what_a_token_may_not_do_is_known_without_trying(owner: Account, namespace: str, said: str | None):
    refusal = owner.refusal("repo.write", namespace)
    assert refusal is None if said is None else said in str(refusal)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "doesn't accept the token"),
        (403, "give the token write access at https://huggingface.co/settings/tokens"),
        (404, "isn't on the hub, or this token may not see it"),
        (409, "the hub refuses it (409"),
        (429, "too many requests"),
        (500, "a fault of its own (500"),
        ("cut", "can't be reached"),
    ],
)
def test_each_failure_of_the_hub_is_one_sentence_with_what_to_do(hub, hurried, status, said):
    hub.add_user("ann", token="hf_ann")
    hub.add_repo("model", "ann/it")
    hub.fail("GET", "/api/models/ann/it", status=status, times=None)
    with pytest.raises(HubError) as raised, explained("looking"):
        open_api("hf_ann").model_info("ann/it")
    assert str(raised.value).startswith("looking: ") and said in str(raised.value)
    assert "\n" not in str(raised.value) and "Traceback" not in str(raised.value)


def test_an_answer_that_lacks_what_the_client_reads_is_no_fault_of_ours(hub, hurried):
    hub.add_user("ann", token="hf_ann")
    hub.fail("POST", "/api/repos/create", 409)  # without the address of what is there already
    with pytest.raises(HubError, match="making it: the hub's answer can't be understood"), explained("making it"):
        open_api("hf_ann").create_repo("ann/it", exist_ok=True)


def test_a_full_account_is_told_where_room_is_made(hub, hurried):
    hub.add_user("ann", token="hf_ann")
    hub.fail("POST", "/api/repos/create", 403, message="Private storage quota exceeded")
    with pytest.raises(HubError, match=r"no room for it .*https://huggingface.co/settings/storage"), explained("making it"):
        open_api("hf_ann").create_repo("ann/it")


def test_a_gated_repository_says_where_to_accept_its_terms(hub):
    hub.add_repo("model", "meta/llama", files={"config.json": "{}"}, gated=True)
    hub.add_user("ann", token="hf_ann")
    with pytest.raises(HubError, match=r"accept its terms at https://huggingface\.co/meta/llama"), explained("base_model"):
        open_api("hf_ann").hf_hub_download("meta/llama", "config.json")


def test_a_hub_that_isnt_there_is_told_from_one_that_refuses(hub, hurried, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match=r"the hub at http://127\.0\.0\.1:9 can't be reached .* check the connection"):
        account(open_api("hf_ann"))
    monkeypatch.setenv("HF_ENDPOINT", "huggingface.co")
    with pytest.raises(HubError, match=r"HF_ENDPOINT: .huggingface\.co. is no address"):
        open_api("hf_ann")


def test_errors_of_others_pass_unchanged():
    with pytest.raises(FileNotFoundError), explained("reading"):
        Path("/nowhere/to/be/found").read_text()
    assert fault_of(ValueError("our own")) is None


def test_no_request_waits_forever(hub):
    from huggingface_hub import get_session

    open_api(None)
    assert get_session().timeout.read == 120


def test_of_two_that_ask_at_once_none_closes_the_connection_of_the_other(hub, monkeypatch):
    """The client's settings are made once, and making them closes what is open."""
    made: list[object] = []

    def slowly(factory: object) -> None:
        time.sleep(0.2)
        made.append(factory)

    monkeypatch.setattr("huggingface_hub.set_client_factory", slowly)
    client._bound_requests.cache_clear()
    with ThreadPoolExecutor(4) as threads:
        assert [api.token for api in threads.map(open_api, ["hf_a", "hf_b", "hf_c"])] == ["hf_a", "hf_b", "hf_c"]
    assert len(made) == 1
    client._bound_requests.cache_clear()  # what was made here isn't in use
