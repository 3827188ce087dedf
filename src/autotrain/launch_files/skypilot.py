"""A task for SkyPilot: machines of a cloud, with this package, the config and local data sent along.

Secrets are named and never written.
"""

import re
import shlex
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import field_validator

from autotrain.cloud.bundle import extras_for, install_commands, package_files
from autotrain.cloud.hardware import Hardware
from autotrain.config.written import config_text
from autotrain.errors import ConfigError
from autotrain.launch_files.text import yaml_text
from autotrain.launch_files.work import (
    PACKAGE,
    JobFile,
    Line,
    Name,
    Options,
    Work,
    described,
    local_paths,
    option,
    plain_name,
)

SUFFIX = ".skypilot.yaml"
# On the machines, in the user's home.
_FOLDER = "~/autotrain"
_CONFIG = "config.yml"


class SkyPilotOptions(Options):
    """What only SkyPilot takes."""

    accelerators: str | None = option(None, "GPUs of each machine, such as H100:8 (sky show-gpus lists them)", "GPU:N")
    cloud: Name | None = option(None, "where, such as aws or aws/us-east-1 (default: the cheapest)", "CLOUD")
    spot: bool = option(False, "cheaper machines that may be taken away at any time")
    image: Name | None = option(None, "container image with autotrain in it, instead of sending this package", "IMAGE")
    setup: tuple[Line, ...] = option((), "line of shell to run before, once a machine", "LINE")

    @field_validator("accelerators")
    @classmethod
    def _check_accelerators(cls, said: str | None) -> str | None:
        if said is not None and not re.fullmatch(r"[A-Za-z][\w-]*(?::[1-9]\d*)?", said):
            raise ValueError("a GPU and how many, such as H100:8")
        return said


def job_file(work: Work, options: SkyPilotOptions, file: Path) -> JobFile:
    """The task and what to do with it.  Raises ConfigError for what can't work on a machine of a cloud."""
    devices, accelerators = _devices(work, options)
    _check_spot(work, options)
    beside = file.with_name(f"{file.name.removesuffix(SUFFIX)}-files")
    name, task = plain_name(work.name, "in SkyPilot"), shlex.quote(str(file))
    secrets = _secrets(work)
    given = "".join(f" --secret {one}" for one in secrets)
    sky, start = ("sky jobs", f"sky jobs launch -n {name}") if options.spot else ("sky", f"sky launch -c {name}")
    goes_on = f"{start} {task}{given}"
    done = (
        ()
        if options.spot
        else (
            ("result", f"scp -r {name}:autotrain/{work.name} ."),
            ("give back", f"sky down {name}    (deletes the machines and what is on them)"),
        )
    )
    return JobFile(
        text=yaml_text(
            [f"{work.name} on SkyPilot; written by autotrain launch"], _task(work, options, devices, accelerators, beside)
        ),
        notes=(f"{described(work, devices, options.gpus)}; sent along: {', '.join(map(str, _sent(work, beside)))}",),
        told=(
            ("submit", goes_on),
            ("follow", f"{sky} logs -n {name}" if options.spot else f"sky logs {name}"),
            ("stop", f"{sky} cancel -n {name}" if options.spot else f"sky cancel {name} --all"),
            ("resume", goes_on),
            *done,
        ),
        beside=beside,
        files={
            _CONFIG: config_text(work.params, "local").encode(),
            **({} if options.image else {f"{PACKAGE}/{path}": text for path, text in package_files().items()}),
        },
    )


def _devices(work: Work, options: SkyPilotOptions) -> tuple[int | None, str | None]:
    """Devices of each machine, and what to ask the cloud for."""
    if not options.gpus:
        if options.accelerators:
            raise ConfigError("--accelerators asks for GPUs and --no-gpus for none; give one of them")
        return work.devices(gpus=False), None
    if options.accelerators is None:
        raise ConfigError("--accelerators is needed: a GPU and how many, such as H100:8 or A10G:1; or --no-gpus")
    gpu, _, said = options.accelerators.partition(":")
    count = int(said) if said else work.devices(gpus=True) or 1
    wanted = work.params.devices
    if wanted and wanted > count:
        raise ConfigError(f"--accelerators: {options.accelerators} are {count} a machine, and devices says {wanted}")
    return wanted or count, f"{gpu}:{count}"


def _check_spot(work: Work, options: SkyPilotOptions) -> None:
    if options.spot and not (work.params.push_checkpoints and work.params.push_to_hub):
        raise ConfigError(
            "--spot: such machines are lost at any time, with all that is on them; set hub.push_checkpoints: true and "
            "hub.push_to_hub: true, then another machine goes on"
        )


def _resources(options: SkyPilotOptions, accelerators: str | None) -> dict[str, Any]:
    said = {
        "accelerators": accelerators,
        "infra": options.cloud,
        "use_spot": options.spot or None,
        "image_id": f"docker:{options.image}" if options.image else None,
        "cpus": f"{options.cpus}+" if options.cpus else None,
        "memory": f"{options.memory}+" if options.memory else None,
    }
    return {key: value for key, value in said.items() if value is not None}


def _task(
    work: Work, options: SkyPilotOptions, devices: int | None, accelerators: str | None, beside: Path
) -> dict[str, Any]:
    package = {} if options.image else {f"{_FOLDER}/{PACKAGE}": str(work.folder / beside / PACKAGE)}
    secrets = _secrets(work)
    setup = _setup(work, options, devices)
    return {
        "name": plain_name(work.name, "in SkyPilot"),
        "num_nodes": work.nodes,
        "resources": _resources(options, accelerators),
        "file_mounts": {f"{_FOLDER}/{_CONFIG}": str(work.folder / beside / _CONFIG), **package, **_mounts(work)},
        **({"secrets": dict.fromkeys(secrets)} if secrets else {}),
        **({"setup": setup} if setup else {}),
        "run": _run(work, options, devices),
    }


def _setup(work: Work, options: SkyPilotOptions, devices: int | None) -> str:
    lines = list(options.setup)
    if not options.image:
        machine = Hardware("skypilot", 0, 0, "", devices or 0 if options.gpus else 0, 0, None, None)
        lines += install_commands(extras_for(work.params, machine), work.params.model, f"./{PACKAGE}")
    return "\n".join([f"cd {_FOLDER}", "set -e", *lines]) + "\n" if lines else ""


def _run(work: Work, options: SkyPilotOptions, devices: int | None) -> str:
    command = shlex.join(work.words(_CONFIG, devices))
    if work.nodes > 1:
        command += f' --node-rank "$SKYPILOT_NODE_RANK" --master "$(head -n 1 <<< "$SKYPILOT_NODE_IPS"):{options.port}"'
    return f"cd {_FOLDER}\nexec {command} --resume\n"


def _secrets(work: Work) -> list[str]:
    """Names of the variables that the job needs and a file must not hold."""
    params = work.params
    needs_token = params.push_to_hub or params.push_checkpoints or params.token is not None
    return [*(["HF_TOKEN"] if needs_token else []), *(["WANDB_API_KEY"] if "wandb" in params.trackers else [])]


def _mounts(work: Work) -> dict[str, str]:
    """Path there -> path here, of local data and models."""
    found: dict[str, str] = {}
    for key, path in local_paths(work.params).items():
        here, pure = work.folder / Path(path).expanduser(), PurePosixPath(path)
        if not here.exists():
            raise ConfigError(f"{key}: no file or folder {path} here, so it can't be sent along")
        if ".." in pure.parts:
            raise ConfigError(f"{key}: {path} leads out of this folder, which the machine hasn't; write it without ..")
        found[path if pure.is_absolute() or path.startswith("~") else f"{_FOLDER}/{pure}"] = str(here)
    return found


def _sent(work: Work, beside: Path) -> list[object]:
    return [f"{beside}/", *local_paths(work.params).values()]
