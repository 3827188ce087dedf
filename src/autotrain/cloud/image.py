"""The image of a Space: this package at this version, and the command that starts it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import yaml

from autotrain import __version__
from autotrain.cloud.bundle import install_commands, package_files, python_version

PORT = 7860
START_API = ("autotrain", "api", "--port", str(PORT), "--host", "0.0.0.0")
START_APP = ("autotrain", "app", "--port", str(PORT), "--host", "0.0.0.0")

# A Space's program runs as user 1000.  The compiler is for the kernels that are built at first use.
_DOCKERFILE = """\
FROM python:{python}-slim
RUN apt-get update \\
    && apt-get install --yes --no-install-recommends g++ \\
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 user
{storage}USER user
ENV HOME=/home/user \\
    PATH=/home/user/.local/bin:$PATH \\
    PYTHONUNBUFFERED=1 \\
    NVIDIA_VISIBLE_DEVICES=all \\
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /home/user/app
COPY --chown=user . .
{install}
{folder}EXPOSE {port}
CMD [{command}]
"""


def space_files(
    title: str,
    about: str,
    start: Sequence[str],
    extras: Sequence[str],
    model: str,
    front_matter: Mapping[str, object] = MappingProxyType({}),
    storage_folder: str | None = None,
) -> dict[str, bytes]:
    """Path -> content of a docker Space that installs this package and runs `start`.

    extras: of the package.  model: a base model, installed if it is an embedded one.  front_matter: more of it.
    storage_folder: where storage is mounted, and the program runs.
    Raises DeviceError if this package can't be sent elsewhere.
    """
    return {
        **package_files(),
        "README.md": _readme(title, about, front_matter).encode(),
        "Dockerfile": _dockerfile(start, extras, model, storage_folder).encode(),
    }


def _dockerfile(start: Sequence[str], extras: Sequence[str], model: str, storage_folder: str | None) -> str:
    return _DOCKERFILE.format(
        python=python_version(),
        storage=f"RUN mkdir {storage_folder} && chown user {storage_folder}\n" if storage_folder else "",
        install="\n".join(f"RUN {command}" for command in install_commands(extras, model)),
        folder=f"WORKDIR {storage_folder}\n" if storage_folder else "",
        port=PORT,
        command=", ".join(f'"{part}"' for part in start),
    )


def _readme(title: str, about: str, more: Mapping[str, object]) -> str:
    matter = {
        "title": title,
        "emoji": "\N{SEEDLING}",
        "colorFrom": "green",
        "colorTo": "blue",
        "sdk": "docker",
        "app_port": PORT,
        "pinned": False,
        "tags": ["autotrain"],
        **more,
    }
    head = yaml.safe_dump(matter, sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n{about}\n\nMade by AutoTrain {__version__}, an independent implementation.\n"
