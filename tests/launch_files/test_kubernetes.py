"""The manifests: valid by Kubernetes' own schemas, and pods that find each other, the config and the data."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from autotrain.config.document import parse_document
from autotrain.config.load import interpret

IMAGE = "registry.example.com/autotrain:1"
# The oldest with all that is used (podFailurePolicy is stable, the label of the index is there), and later ones.
VERSIONS = ("1.31", "1.34")


def made(launch, folder: Path, *arguments: str, config: str = "c.yml") -> dict[str, Any]:
    """Kind -> object."""
    launch("--kubernetes", "--config", config, "--image", IMAGE, *arguments)
    documents = list(yaml.safe_load_all((folder / "my-model.kubernetes.yaml").read_text()))
    return {document["kind"]: document for document in documents}


def pod(objects: dict[str, Any]) -> dict[str, Any]:
    return objects["Job"]["spec"]["template"]["spec"]


SHAPES = [
    ("c.yml", ["--storage", "results"]),
    ("c.yml", ["--storage", "results", "--nodes", "4", "--devices", "8", "--max-restarts", "2", "--namespace", "lab"]),
    ("c.yml", ["--storage", "results", "--storage-size", "200", "--storage-class", "fast", "--cpus", "8", "--memory", "64"]),
    ("hub.yml", ["--nodes", "2"]),
    ("hub.yml", ["--no-gpus"]),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("config", "arguments"), SHAPES, ids=[" ".join(arguments) for _, arguments in SHAPES])
def test_kubernetes_own_schemas_take_it(launch, folder: Path, config: str, arguments: list[str], version: str):
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate isn't installed (extra dev)")
    objects = made(launch, folder, *arguments, config=config)
    for document in objects.values():
        validator.validate(document, version, strict=True)
    objects["Job"]["spec"]["template"]["spec"]["containers"][0]["imagee"] = "i"  # the schemas do see a slip
    with pytest.raises(validator.ValidationError):
        validator.validate(objects["Job"], version, strict=True)


def test_a_pod_for_each_machine_finds_the_first_by_name(launch, folder: Path):
    objects = made(launch, folder, "--storage", "results", "--nodes", "2", "--devices", "8", "--port", "30000")
    job, service = objects["Job"], objects["Service"]
    assert (job["spec"]["completionMode"], job["spec"]["completions"], job["spec"]["parallelism"]) == ("Indexed", 2, 2)
    assert service["spec"]["clusterIP"] == "None" and service["spec"]["publishNotReadyAddresses"]
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
    assert pod(objects)["subdomain"] == service["metadata"]["name"]
    container = pod(objects)["containers"][0]
    command = container["command"]
    assert command[command.index("--master") + 1] == "my-model-0.my-model:30000"
    assert command[command.index("--node-rank") + 1] == "$(NODE_RANK)"
    rank = container["env"][0]
    assert rank["name"] == "NODE_RANK" and "job-completion-index" in rank["valueFrom"]["fieldRef"]["fieldPath"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "8"}


def test_the_command_is_one_that_autotrain_takes(launch, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """As the kubelet fills it in, with the config of the ConfigMap."""
    from autotrain.cli import main

    objects = made(launch, folder, "--storage", "results", "--nodes", "2", "--devices", "8", "--max-restarts", "3")
    (folder / "mounted.yml").write_text(objects["ConfigMap"]["data"]["config.yml"])
    filled = [word.replace("$(NODE_RANK)", "1") for word in pod(objects)["containers"][0]["command"]]
    filled[filled.index("--config") + 1] = "mounted.yml"
    assert filled[0] == "autotrain" and main([*filled[1:], "--dry-run"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)["params"]
    assert (shown["nodes"], shown["node_rank"], shown["devices"], shown["max_restarts"]) == (2, 1, 8, 3)
    assert shown["master"] == "my-model-0.my-model:29500"


def test_one_machine_needs_no_service(launch, folder: Path):
    objects = made(launch, folder, "--storage", "results")
    assert set(objects) == {"ConfigMap", "Job"}
    assert "--master" not in pod(objects)["containers"][0]["command"] and "subdomain" not in pod(objects)


def test_the_config_is_the_users_without_the_token(launch, folder: Path):
    text = made(launch, folder, config="hub.yml")["ConfigMap"]["data"]["config.yml"]
    params = interpret(parse_document(text, "config.yml"), dry_run=False, environment={}).params
    assert (params.model, params.data_path, params.peft, params.username) == (
        "some-org/base-8b",
        "some-org/rows",
        True,
        "me",
    )
    assert params.push_to_hub and params.token is None


def test_the_secret_is_named_and_needed_only_to_upload(launch, folder: Path):
    kept = made(launch, folder, "--storage", "results", "--secret", "mine")
    assert pod(kept)["containers"][0]["envFrom"] == [{"secretRef": {"name": "mine", "optional": True}}]
    pushed = made(launch, folder, "--overwrite", config="hub.yml")
    assert pod(pushed)["containers"][0]["envFrom"][0]["secretRef"]["optional"] is False


def test_every_mount_has_its_volume_and_shared_memory_is_large(launch, folder: Path):
    spec = pod(made(launch, folder, "--storage", "results", "--storage-path", "/data/lab"))
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert set(mounts) == set(volumes) and mounts["shared-memory"] == "/dev/shm"
    assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory"}
    assert volumes["storage"]["persistentVolumeClaim"] == {"claimName": "results"}
    assert spec["containers"][0]["workingDir"] == mounts["storage"] == "/data/lab"


@pytest.mark.parametrize(("nodes", "mode"), [("1", "ReadWriteOnce"), ("2", "ReadWriteMany")])
def test_a_claim_is_made_where_its_size_is_said(launch, folder: Path, nodes: str, mode: str):
    claim = made(launch, folder, "--storage", "results", "--storage-size", "50", "--nodes", nodes)["PersistentVolumeClaim"]
    assert claim["metadata"]["name"] == "results" and claim["spec"]["accessModes"] == [mode]
    assert claim["spec"]["resources"]["requests"]["storage"] == "50Gi"


def test_lost_pods_come_back_and_go_on_and_mistakes_end_the_job(launch, folder: Path):
    objects = made(launch, folder, "--storage", "results", "--nodes", "2", "--max-restarts", "3")
    spec = objects["Job"]["spec"]
    assert spec["backoffLimit"] == 6  # 2 machines x 3
    assert pod(objects)["restartPolicy"] == "Never" and pod(objects)["containers"][0]["command"][-1] == "--resume"
    failed, disrupted = spec["podFailurePolicy"]["rules"]
    assert failed["action"] == "FailJob" and failed["onExitCodes"]["values"] == [2, 3]
    assert disrupted["action"] == "Ignore" and disrupted["onPodConditions"][0]["type"] == "DisruptionTarget"


@pytest.mark.parametrize(
    ("project", "name"), [("My-Model", "my-model"), ("7B", "run-7b"), ("A" * 50, "a" * 50), ("x-", "x")]
)
def test_names_are_such_as_kubernetes_takes(launch, folder: Path, project: str, name: str):
    (folder / "n.yml").write_text((folder / "hub.yml").read_text().replace("my-model", project))
    launch("--kubernetes", "--config", "n.yml", "--image", IMAGE, "--nodes", "2", "--output", "job.yaml")
    objects = {one["kind"]: one for one in yaml.safe_load_all((folder / "job.yaml").read_text())}
    assert {one["metadata"]["name"] for one in objects.values()} == {name}
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", f"{name}-1")  # the host name of a pod


def test_it_says_what_to_put_where_and_what_to_type(launch):
    printed = launch(
        "--kubernetes", "--config", "c.yml", "--image", IMAGE, "--storage", "s", "--nodes", "2", "--namespace", "lab"
    )
    assert "\n  /storage/rows\n" in printed and "ReadWriteMany" in printed
    for command in (
        "create secret generic autotrain",
        "apply -f my-model.kubernetes.yaml",
        "logs -f -l ",
        "delete job my-model",
    ):
        assert f"kubectl --namespace lab {command}" in printed
