"""Manifests for Kubernetes without an operator: an Indexed Job, whose pods are the machines, and a headless Service.

The Service gives pod 0 the name under which the others find it.  A pod that was lost is made anew and goes on from the
last checkpoint.  Secrets are named and never written.
"""

import re
import shlex
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import field_validator

from autotrain.config.written import config_text
from autotrain.errors import ConfigError
from autotrain.launch_files.text import yaml_text
from autotrain.launch_files.work import JobFile, Name, Options, Work, described, local_paths, option, plain_name

SUFFIX = ".kubernetes.yaml"
SECONDS_TO_SAVE = 300
_CONFIG_FOLDER = "/etc/autotrain"
_RANK = {"fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}
# Exit codes that another try doesn't change: the user can mend it; trained, but not uploaded.
_FINAL_CODES = [2, 3]


class KubernetesOptions(Options):
    """What only Kubernetes takes."""

    image: Name | None = option(None, "container image with autotrain in it", "IMAGE")
    namespace: Name | None = option(None, "namespace (default: that of kubectl)", "NAME")
    storage: Name | None = option(None, "claim of a volume, for the result and for local data", "CLAIM")
    storage_path: str = option("/storage", "where the volume is mounted, and where relative paths start", "PATH")
    storage_size: int | None = option(None, "also make the claim, of this size in GB", "GB", gt=0)
    storage_class: Name | None = option(None, "storage class of that claim", "NAME")
    secret: Name = option("autotrain", "secret with HF_TOKEN and other variables", "NAME")

    @field_validator("storage_path")
    @classmethod
    def _check_path(cls, path: str) -> str:
        if not re.fullmatch(r"(?:/[\w.-]+)+", path) or ".." in PurePosixPath(path).parts:
            raise ValueError("an absolute path, such as /storage")
        return path


def job_file(work: Work, options: KubernetesOptions, file: Path) -> JobFile:
    """The manifests and what to do with them.  Raises ConfigError for what can't work in a pod."""
    _check(work, options)
    name, devices = plain_name(work.name, "in Kubernetes").lower(), work.devices(options.gpus)
    documents = [
        *([_claim(work, options)] if options.storage_size else []),
        _object("v1", "ConfigMap", name, options, data={"config.yml": config_text(work.params, "local")}),
        *([_service(name, options)] if work.nodes > 1 else []),
        _job(work, options, name, devices),
    ]
    kubectl = f"kubectl --namespace {options.namespace}" if options.namespace else "kubectl"
    manifest = shlex.quote(str(file))
    token = f'{kubectl} create secret generic {options.secret} --from-literal=HF_TOKEN="$HF_TOKEN"'
    first = f"{name}-0" if work.nodes > 1 else name
    return JobFile(
        text=yaml_text([f"{work.name} on Kubernetes; written by autotrain launch"], *documents),
        notes=_notes(work, options, described(work, devices, options.gpus)),
        told=(
            ("secret", f"{token}    (once; {'needed to upload' if _pushes(work) else 'for gated models and uploads'})"),
            ("submit", f"{kubectl} apply -f {manifest}"),
            ("follow", f"{kubectl} logs -f -l batch.kubernetes.io/job-name={name},{_INDEX_LABEL}=0    (pod {first})"),
            ("stop", f"{kubectl} delete job {name}    (saves first)"),
            ("resume", f"{kubectl} delete job {name} --ignore-not-found && {kubectl} apply -f {manifest}"),
        ),
    )


_INDEX_LABEL = "batch.kubernetes.io/job-completion-index"


def _check(work: Work, options: KubernetesOptions) -> None:
    if options.image is None:
        raise ConfigError(
            "--image is needed: a container image with autotrain in it; docs/launch-files.md says how to make one"
        )
    if options.storage is None:
        for option_name in ("storage_size", "storage_class"):
            if getattr(options, option_name) is not None:
                raise ConfigError(f"--{option_name.replace('_', '-')} has no effect without --storage CLAIM")
        if not work.params.push_to_hub:
            raise ConfigError(
                "a pod's disk is lost with it, and the model too: name a volume with --storage CLAIM, or upload the result "
                "with hub.push_to_hub: true"
            )
    elif options.storage_class is not None and options.storage_size is None:
        raise ConfigError("--storage-class has no effect without --storage-size: the claim is there already")
    for key, path in local_paths(work.params).items():
        _check_path(key, path, options)


def _check_path(key: str, path: str, options: KubernetesOptions) -> None:
    """Raises ConfigError for a path that no pod can read."""
    if options.storage is None:
        raise ConfigError(
            f"{key}: {path} lies on this machine, where no pod can read it; put it on a volume and name that with "
            "--storage CLAIM, or upload it to the hub"
        )
    pure = PurePosixPath(path)
    is_inside = pure.is_relative_to(options.storage_path) if pure.is_absolute() else not path.startswith("~")
    if not is_inside or ".." in pure.parts:
        raise ConfigError(
            f"{key}: {path} is nowhere in a pod, which has only the volume at {options.storage_path}; write "
            f"{options.storage_path}/..., or a path relative to it; --storage-path mounts it elsewhere"
        )


def _notes(work: Work, options: KubernetesOptions, size: str) -> tuple[str, ...]:
    on_volume = [f"  {PurePosixPath(options.storage_path) / path}" for path in local_paths(work.params).values()]
    if not options.storage:
        return (f"{size}; the result goes to the hub",)
    result = f"{size}; the result goes to {options.storage_path}/{work.name} on the claim {options.storage}"
    shared = work.nodes > 1 and not options.storage_size
    several = ("the claim must be one that several machines can mount (ReadWriteMany)",) if shared else ()
    return (f"{result}, where there must be:", *on_volume, *several) if on_volume else (result, *several)


def _pushes(work: Work) -> bool:
    return work.params.push_to_hub or work.params.push_checkpoints


def _object(version: str, kind: str, name: str, options: KubernetesOptions, **content: Any) -> dict[str, Any]:
    namespace = {"namespace": options.namespace} if options.namespace else {}
    labels = {"app.kubernetes.io/name": "autotrain", "app.kubernetes.io/instance": name}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **namespace, "labels": labels}, **content}


def _claim(work: Work, options: KubernetesOptions) -> dict[str, Any]:
    storage_class = {"storageClassName": options.storage_class} if options.storage_class else {}
    spec = {
        "accessModes": ["ReadWriteMany" if work.nodes > 1 else "ReadWriteOnce"],
        **storage_class,
        "resources": {"requests": {"storage": f"{options.storage_size}Gi"}},
    }
    return _object("v1", "PersistentVolumeClaim", str(options.storage), options, spec=spec)


def _service(name: str, options: KubernetesOptions) -> dict[str, Any]:
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {"batch.kubernetes.io/job-name": name},
        "ports": [{"name": "meeting", "port": options.port}],
    }
    return _object("v1", "Service", name, options, spec=spec)


def _volume(options: KubernetesOptions) -> dict[str, Any]:
    """The claim's volume, or a disk that is lost with the pod."""
    return {"persistentVolumeClaim": {"claimName": options.storage}} if options.storage else {"emptyDir": {}}


def _job(work: Work, options: KubernetesOptions, name: str, devices: int | None) -> dict[str, Any]:
    pod = {
        **({"subdomain": name} if work.nodes > 1 else {}),
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": SECONDS_TO_SAVE,
        "containers": [_container(work, options, name, devices)],
        "volumes": [
            {"name": "config", "configMap": {"name": name}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
            {"name": "storage", **_volume(options)},
        ],
    }
    spec = {
        "completionMode": "Indexed",
        "completions": work.nodes,
        "parallelism": work.nodes,
        "backoffLimit": work.nodes * work.params.max_restarts,
        "podFailurePolicy": {
            "rules": [
                {"action": "FailJob", "onExitCodes": {"operator": "In", "values": _FINAL_CODES}},
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            ]
        },
        "template": {"metadata": {"labels": {"app.kubernetes.io/name": "autotrain"}}, "spec": pod},
    }
    return _object("batch/v1", "Job", name, options, spec=spec)


def _container(work: Work, options: KubernetesOptions, name: str, devices: int | None) -> dict[str, Any]:
    command = work.words(f"{_CONFIG_FOLDER}/config.yml", devices)
    if work.nodes > 1:
        command += ["--node-rank", "$(NODE_RANK)", "--master", f"{name}-0.{name}:{options.port}"]
    amounts = {"nvidia.com/gpu": str(devices)} if options.gpus else {}
    amounts |= {"cpu": str(options.cpus)} if options.cpus else {}
    amounts |= {"memory": f"{options.memory}Gi"} if options.memory else {}
    return {
        "name": "autotrain",
        "image": options.image,
        "command": [*command, "--resume"],
        "workingDir": options.storage_path,
        **({"env": [{"name": "NODE_RANK", "valueFrom": _RANK}]} if work.nodes > 1 else {}),
        "envFrom": [{"secretRef": {"name": options.secret, "optional": not _pushes(work)}}],
        **({"resources": {"limits": amounts}} if amounts else {}),
        "volumeMounts": [
            {"name": "config", "mountPath": _CONFIG_FOLDER, "readOnly": True},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
            {"name": "storage", "mountPath": options.storage_path},
        ],
    }
