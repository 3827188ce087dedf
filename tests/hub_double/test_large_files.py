"""Large files: in one piece, in parts, kept once, checked, and read in ranges."""

from pathlib import Path

import pytest
from hub_double import HubDouble
from huggingface_hub import HfApi, HfFileSystem, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

REPO = "nils/model"
WEIGHTS = bytes(range(256)) * 100  # 25600 bytes


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(WEIGHTS)
    return path


def test_a_large_file_goes_up_in_parts(hub: HubDouble, api: HfApi, weights: Path):
    hub.part_bytes = 10_000
    api.create_repo(REPO)
    api.upload_file(repo_id=REPO, path_in_repo="model.safetensors", path_or_fileobj=weights)
    assert hub.files("model", REPO)["model.safetensors"] == WEIGHTS
    assert [len(each.body) for each in hub.sent("PUT", "/lfs/")] == [10_000, 10_000, 5_600]
    assert hub.repositories["model", REPO].head().files["model.safetensors"].is_lfs


def test_a_content_that_the_hub_has_is_not_sent_again(hub: HubDouble, api: HfApi, weights: Path):
    for name in ("nils/one", "nils/two"):
        api.create_repo(name)
        api.upload_file(repo_id=name, path_in_repo="model.safetensors", path_or_fileobj=weights)
    assert len(hub.sent("PUT", "/lfs/")) == 1 and len(hub.sent("POST", "/verify")) == 1


def test_the_download_comes_from_the_storage_without_the_token(hub: HubDouble, api: HfApi, tmp_path: Path):
    hub.add_repo("model", REPO, files={"model.safetensors": WEIGHTS}, private=True)
    path = hf_hub_download(REPO, "model.safetensors", token="hf_nils", endpoint=hub.url, cache_dir=tmp_path / "cache")
    assert Path(path).read_bytes() == WEIGHTS
    (stored,) = hub.sent("GET", "/storage/")
    assert "authorization" not in stored.headers


def test_a_part_of_a_file_can_be_read(hub: HubDouble, api: HfApi):
    hub.add_repo("dataset", "nils/data", files={"weights.bin": WEIGHTS, "plain.txt": "0123456789"})
    files = HfFileSystem(endpoint=hub.url, token="hf_nils", skip_instance_cache=True)
    assert files.cat_file("datasets/nils/data/weights.bin", start=10, end=20) == WEIGHTS[10:20]
    assert files.cat_file("datasets/nils/data/plain.txt", start=-3) == b"789"


def test_an_upload_that_was_damaged_on_the_way_is_refused(hub: HubDouble, api: HfApi):
    import urllib.error
    import urllib.request

    hub.awaited["0" * 64] = 3
    request = urllib.request.Request(f"{hub.url}/lfs/{'0' * 64}", data=b"abc", method="PUT")
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request)


def test_no_room_for_private_files(hub: HubDouble, as_user, weights: Path):
    api = as_user("anna", private_storage_bytes=1000)
    api.create_repo("anna/model", private=True)
    with pytest.raises(HfHubHTTPError, match="Private repository storage limit reached"):
        api.upload_file(repo_id="anna/model", path_in_repo="model.safetensors", path_or_fileobj=weights)
