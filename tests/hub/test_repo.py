"""What can't work is refused before training."""

import pytest

from autotrain.errors import HubError, Interrupted
from autotrain.hub.repo import Target, check_push, make_target, told_if_left_empty
from autotrain.log import collect_notices

TOKEN = "hf_AnnsOwnSecretToken"


def test_a_result_goes_to_a_private_repository_of_the_user_named_as_the_project(ann, params):
    assert check_push(params()) == Target("ann/my-run", private=True, revision=None)
    assert check_push(params(username="acme", hub_private=False, hub_revision="v2")) == Target("acme/my-run", False, "v2")


def test_checking_changes_nothing_on_the_hub(ann, params):
    check_push(params())
    assert ann.repositories == {}
    ann.add_repo("model", "ann/my-run", files={"README.md": "old"}, private=True)
    check_push(params())
    assert ann.files("model", "ann/my-run") == {"README.md": b"old"}
    assert len(ann.repositories["model", "ann/my-run"].commits) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"username": "others"}, "who is not in others; possible names: ann, acme, watchers"),
        ({"username": "watchers"}, "has the role 'read' in watchers"),
        ({"project_name": "zwei--namen"}, "Cannot have -- or .. in repo_id"),
        ({"project_name": "größer"}, "Repo id must use alphanumeric chars"),
        ({"hub_revision": "no branch"}, "'no branch' can't be the name of a branch"),
        ({"hub_revision": "refs/pr/1"}, "'refs/pr/1' can't be the name of a branch"),
        ({"token": "hf_Mistyped"}, "doesn't accept the token"),
    ],
)
def test_what_cant_work_is_refused_with_the_reason(ann, params, fields, said):
    with pytest.raises(HubError) as raised:
        check_push(params(**fields))
    assert said in str(raised.value) and TOKEN not in str(raised.value)
    assert ann.repositories == {}


def test_without_a_token_it_says_how_to_get_one(hub, params):
    with pytest.raises(HubError, match=r"there is no token; set HF_TOKEN or hub\.token, or run: hf auth login"):
        check_push(params(token=None))


@pytest.mark.parametrize("scopes", [{"ann": ["repo.content.read"]}, {"acme": ["repo.write"]}])
def test_a_token_without_the_scope_names_it(hub, params, scopes):
    hub.add_user("ann", token=TOKEN, role="fineGrained", orgs={"acme": "write"}, scopes=scopes)
    with pytest.raises(HubError, match=r"lacks the permission repo\.write for ann"):
        check_push(params())


def test_a_fine_grained_token_with_the_scope_is_enough(hub, params):
    hub.add_user("ann", token=TOKEN, role="fineGrained", scopes={"ann": ["repo.write", "repo.content.read"]})
    assert make_target(params(), 1000).repo_id == "ann/my-run"


def test_a_repository_that_only_a_trial_shows_to_be_closed_is_refused_before_training(ann, params):
    ann.add_repo("model", "ann/my-run", private=True)
    ann.fail("POST", "/preupload/", status=403, message="Blocked by your organisation's policy")
    with pytest.raises(HubError, match="Blocked by your organisation's policy"):
        check_push(params())


def test_a_repository_of_the_other_kind_is_refused_only_where_the_user_insists(ann, params):
    ann.add_repo("model", "ann/my-run", private=False)
    assert check_push(params()).repo_id == "ann/my-run"
    with pytest.raises(HubError, match="is there already and is public, not private"):
        check_push(params(hub_private=True))


def test_issues_206_163_766_a_repository_that_is_there_is_used_again(ann, params):
    """Regression: "You already created this model repo", hours after the start (#206, #163, #766, #815)."""
    for _ in range(2):
        assert make_target(params(), 1000) == Target("ann/my-run")


def test_the_last_check_makes_the_repository_and_the_branch(ann, params):
    make_target(params(hub_revision="v2"), 1000)
    repository = ann.repositories["model", "ann/my-run"]
    assert repository.private and "v2" in repository.branches


def test_a_repository_that_was_made_just_now_is_told_from_one_that_was_there(ann, params):
    assert make_target(params(), 1000).is_new
    assert not make_target(params(), 1000).is_new
    ann.fail("POST", "/api/repos/create", status=409)  # somebody made it meanwhile
    assert not make_target(params(project_name="other"), 1000).is_new


def test_after_a_failure_it_is_said_that_an_empty_repository_stays():
    with (
        collect_notices() as said,
        pytest.raises(ZeroDivisionError),
        told_if_left_empty(Target("ann/my-run", is_new=True)),
    ):
        raise ZeroDivisionError
    assert "ann/my-run was made on the hub for the result, and stays there without one" in said[0]
    assert "hf repos delete ann/my-run" in said[0]


@pytest.mark.parametrize("target", [None, Target("ann/my-run")])
def test_nothing_is_said_of_a_repository_that_we_did_not_make(target):
    with collect_notices() as said, pytest.raises(ZeroDivisionError), told_if_left_empty(target):
        raise ZeroDivisionError
    assert said == []


def test_nothing_is_said_when_the_run_goes_on_later():
    with collect_notices() as said, pytest.raises(Interrupted), told_if_left_empty(Target("ann/my-run", is_new=True)):
        raise Interrupted("saved", 15)
    assert said == []


def test_a_full_account_is_refused_before_training(hub, params):
    hub.add_user("ann", token=TOKEN, private_storage_bytes=10**9)
    make_target(params(), 10**8)
    with (
        collect_notices() as said,
        pytest.raises(HubError, match=r"room for 6\.0 GB in ann/my-run.*storage limit reached"),
    ):
        make_target(params(), 6 * 10**9)
    assert said == []  # it was there before
    with collect_notices() as said, pytest.raises(HubError):
        make_target(params(project_name="other"), 6 * 10**9)
    assert "ann/other was made on the hub for the result, and stays there without one" in said[0]
