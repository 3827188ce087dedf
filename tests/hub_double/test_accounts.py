"""Who may do what: tokens, organisations, private and gated repositories, with the errors that the client makes of it."""

import pytest
from hub_double import HubDouble
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError


def test_whoami_tells_the_name_the_organisations_and_the_role_of_the_token(hub: HubDouble, as_user):
    told = as_user("anna", role="fineGrained", orgs={"acme": "read"}, can_pay=False).whoami()
    assert (told["name"], told["canPay"], told["orgs"][0]["name"], told["orgs"][0]["roleInOrg"]) == (
        "anna", False, "acme", "read",
    )  # fmt: skip
    token = told["auth"]["accessToken"]
    assert token["role"] == "fineGrained"
    assert token["fineGrained"]["scoped"][0]["permissions"] == ["repo.content.read", "repo.write"]


def test_a_wrong_token_is_told_apart_from_none(hub: HubDouble):
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        HfApi(endpoint=hub.url, token="hf_wrong").whoami()
    assert hub.requests[-1].headers["authorization"] == "user:?" and hub.requests[-1].status == 401
    with pytest.raises(RepositoryNotFoundError, match="401"):
        HfApi(endpoint=hub.url, token=False).model_info("nils/none")


@pytest.mark.parametrize(
    ("account", "message"),
    [
        ({"role": "read"}, "this is a read token"),
        ({"role": "fineGrained", "scopes": ["repo.content.read"]}, "lacks repo.write"),
    ],
)
def test_a_token_that_may_only_read_makes_nothing(hub: HubDouble, as_user, account: dict, message: str):
    with pytest.raises(HfHubHTTPError, match=f"(?s)403 Forbidden.*{message}"):
        as_user("anna", **account).create_repo("anna/model")
    assert not hub.exists("model", "anna/model")


def test_organisations_are_open_to_members_whose_role_allows_it(hub: HubDouble, as_user):
    as_user("anna", orgs=["acme"]).create_repo("acme/model")
    with pytest.raises(HfHubHTTPError, match=r"(?s)403.*not a member"):
        as_user("otto").create_repo("acme/other")
    with pytest.raises(HfHubHTTPError, match=r"(?s)403.*role in .acme. is read"):
        as_user("ida", orgs={"acme": "read"}).create_repo("acme/other")
    assert hub.exists("model", "acme/model")


def test_a_private_repository_is_not_there_for_others(hub: HubDouble, api: HfApi, as_user):
    api.create_repo("nils/secret", private=True)
    with pytest.raises(RepositoryNotFoundError, match="404"):
        as_user("anna").model_info("nils/secret")
    with pytest.raises(RepositoryNotFoundError, match="401"):
        HfApi(endpoint=hub.url, token=False).model_info("nils/secret")
    assert api.model_info("nils/secret").private


def test_a_gated_model_opens_for_those_who_were_let_in(hub: HubDouble, as_user, tmp_path):
    hub.add_repo("model", "acme/gated", files={"config.json": "{}", "README.md": "card"}, gated=True)
    as_user("anna")

    def fetch(name: str, token: str | bool = "hf_anna") -> str:
        return hf_hub_download("acme/gated", name, token=token, endpoint=hub.url, cache_dir=tmp_path / "cache")

    assert fetch("README.md", token=False)
    with pytest.raises(GatedRepoError, match="not in the authorized list"):
        fetch("config.json")
    with pytest.raises(GatedRepoError, match="Please log in"):
        fetch("config.json", token=False)
    hub.grant("model", "acme/gated", "anna")
    assert fetch("config.json")


def test_a_fine_grained_token_needs_its_own_permission_for_gated_models(hub: HubDouble, as_user, tmp_path):
    hub.add_repo("model", "acme/gated", files={"config.json": "{}"}, gated="auto")
    api = as_user("anna", role="fineGrained")
    hub.grant("model", "acme/gated", "anna")
    with pytest.raises(GatedRepoError, match="fine-grained token settings"):
        api.auth_check("acme/gated")
    as_user("anna", role="fineGrained", can_read_gated=True).auth_check("acme/gated")


def test_write_permission_can_be_asked_for(hub: HubDouble, api: HfApi, as_user):
    api.create_repo("nils/model")
    api.auth_check("nils/model", write=True)
    with pytest.raises(HfHubHTTPError, match="403"):
        as_user("anna").auth_check("nils/model", write=True)


def test_people_and_organisations_can_be_looked_up(hub: HubDouble, api: HfApi):
    assert api.get_user_overview("nils").username == "nils" and api.get_organization_overview("acme").name == "acme"
    with pytest.raises(HfHubHTTPError, match="404"):
        api.get_user_overview("nobody")


def test_no_token_is_kept_in_what_the_double_remembers(hub: HubDouble, api: HfApi):
    api.create_repo("nils/model")
    assert hub.requests[-1].headers["authorization"] == "user:nils" and hub.places_with("hf_nils") == []
    api.upload_file(repo_id="nils/model", path_in_repo="run.json", path_or_fileobj=b'{"token": "hf_nils"}')
    sent = [f"POST /api/models/nils/model/{step}/main" for step in ("commit", "preupload")]  # as base64
    assert hub.places_with("hf_nils") == [*sent, "model nils/model: run.json"]


def test_what_was_sent_and_refused_is_looked_through_too(hub: HubDouble, api: HfApi):
    api.create_repo("nils/model")
    hub.fail("POST", "/commit/", status=403)
    with pytest.raises(HfHubHTTPError):
        api.upload_file(repo_id="nils/model", path_in_repo="a.txt", path_or_fileobj=b"x" * 600 + b"hf_nils")
    assert hub.places_with("hf_nils") == ["POST /api/models/nils/model/commit/main"]
