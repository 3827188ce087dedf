"""Each failure on purpose, once, against the real client: what it raises, and what is there afterwards."""

import socket
import threading
import time

import pytest
from hub_double import HubDouble
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

REPO = "nils/model"
WEIGHTS = bytes(range(256)) * 4000  # 1 MB


pytestmark = pytest.mark.usefixtures("hurried")


@pytest.fixture
def repository(hub: HubDouble, api: HfApi) -> str:
    api.create_repo(REPO)
    return REPO


def upload(api: HfApi, content: bytes = b"text", name: str = "a.txt") -> None:
    api.upload_file(repo_id=REPO, path_in_repo=name, path_or_fileobj=content)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "401"),
        (403, "403 Forbidden"),
        (409, "409"),
        (500, "Internal Error"),
    ],
)
def test_a_status_reaches_the_client_once(hub: HubDouble, api: HfApi, repository: str, status: int, message: str):
    hub.fail("POST", "/commit/", status=status)
    with pytest.raises(HfHubHTTPError, match=message) as raised:
        upload(api)
    assert raised.value.response.status_code == status and "a.txt" not in hub.files("model", REPO)
    upload(api)
    assert hub.files("model", REPO)["a.txt"] == b"text"


def test_a_missing_repository(hub: HubDouble, api: HfApi, repository: str):
    hub.fail("GET", "/api/models/", status=404)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info(REPO)
    assert api.model_info(REPO).id == REPO


def test_a_code_and_a_message_of_choice(hub: HubDouble, api: HfApi, repository: str):
    hub.fail("GET", "/api/models/", status=403, code="GatedRepo", message="Accept the licence first.")
    with pytest.raises(GatedRepoError, match="Accept the licence first"):
        api.model_info(REPO)


def test_too_many_requests_are_tried_again_after_the_time_that_the_hub_names(
    hub: HubDouble, api: HfApi, repository: str, hurried: list[float]
):
    hub.fail("POST", "/preupload/", status=429, seconds=7)
    upload(api)
    assert hurried == [8.0] and hub.files("model", REPO)["a.txt"] == b"text"


def test_too_many_requests_for_ever_end_in_an_error(hub: HubDouble, api: HfApi, repository: str):
    hub.fail("POST", "/preupload/", status=429, times=None)
    with pytest.raises(HfHubHTTPError, match="429 Too Many Requests"):
        upload(api)


def test_an_upload_that_is_cut_halfway_is_sent_again(hub: HubDouble, api: HfApi, repository: str):
    hub.fail("PUT", "/lfs/", status="cut")
    upload(api, WEIGHTS, "model.safetensors")
    assert hub.files("model", REPO)["model.safetensors"] == WEIGHTS
    cut, whole = hub.sent("PUT", "/lfs/")
    assert cut.status == "cut" and len(cut.body) < len(WEIGHTS) == len(whole.body)


def test_the_second_part_of_three_is_cut(hub: HubDouble, api: HfApi, repository: str):
    hub.part_bytes = 400_000
    hub.fail("PUT", "/lfs/", status="cut", after=1)
    upload(api, WEIGHTS, "model.safetensors")
    assert hub.files("model", REPO)["model.safetensors"] == WEIGHTS
    assert [each.status for each in hub.sent("PUT", "/lfs/")] == [200, "cut", 200, 200]


def test_an_upload_that_is_cut_for_ever_leaves_the_repository_as_it_was(hub: HubDouble, api: HfApi, repository: str):
    hub.fail("PUT", "/lfs/", status="cut", times=None)
    with pytest.raises(RuntimeError, match=r"Error while uploading 'model.safetensors'"):
        upload(api, WEIGHTS, "model.safetensors")
    assert set(hub.files("model", REPO)) == {".gitattributes"}


def test_a_lost_answer_leaves_the_commit_made(hub: HubDouble, api: HfApi, repository: str):
    import httpx2

    hub.fail("POST", "/commit/", status="lost")
    with pytest.raises(httpx2.RemoteProtocolError):
        upload(api)
    assert hub.files("model", REPO)["a.txt"] == b"text"


def test_a_download_that_is_cut_halfway_goes_on_where_it_was(
    hub: HubDouble, api: HfApi, repository: str, tmp_path, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100_000)  # so that something of it has come
    upload(api, WEIGHTS, "model.safetensors")
    hub.fail("GET", "/storage/", status="cut")
    path = hf_hub_download(REPO, "model.safetensors", endpoint=hub.url, cache_dir=tmp_path / "cache")
    with open(path, "rb") as file:
        assert file.read() == WEIGHTS
    assert [each.status for each in hub.sent("GET", "/storage/")] == [200, 206]


def test_a_slow_answer_is_the_right_one_later(hub: HubDouble, api: HfApi, repository: str):
    hub.fail("GET", "/api/models/", status="slow", seconds=0.3)
    start = time.monotonic()
    assert api.model_info(REPO).id == REPO and time.monotonic() - start >= 0.3


def test_a_slow_answer_comes_when_the_test_says_so(hub: HubDouble, api: HfApi, repository: str):
    held = hub.fail("GET", "/api/models/", status="slow", seconds=300)
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(api.model_info(REPO).id))
    asking.start()
    while not hub.sent("GET", "/api/models/"):
        time.sleep(0.01)
    assert answers == []
    held.over.set()
    asking.join(timeout=120)
    assert answers == [REPO]


@pytest.mark.parametrize("length", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_a_client_that_goes_in_the_middle_is_no_fault_of_the_double(hub: HubDouble, repository: str, length: str):
    with socket.create_connection(hub.url.removeprefix("http://").split(":")) as client:
        client.sendall(f"POST /api/models/{REPO}/commit/main HTTP/1.1\r\n{length}\r\n\r\n".encode())
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert hub.faults == []


def test_a_failure_waits_for_its_turn(hub: HubDouble, api: HfApi, repository: str):
    hub.fail("GET", "/api/models/", status=500, after=1, times=1)
    assert api.model_info(REPO).id == REPO
    with pytest.raises(HfHubHTTPError):
        api.model_info(REPO)
    assert api.model_info(REPO).id == REPO


def test_an_address_that_the_double_does_not_know_is_not_found(hub: HubDouble):
    import urllib.error
    import urllib.request

    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{hub.url}/api/unheard-of")
    assert hub.faults == []
