"""Write the job file that trains as a config says under SLURM, on Kubernetes or with SkyPilot, and say how to use it."""

import argparse
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from autotrain import log
from autotrain.cli.machine_options import add_machine_options, machine_options
from autotrain.cli.parser import Parser
from autotrain.config.base import describe
from autotrain.config.load import load_config
from autotrain.config.names import unavailable_trainer
from autotrain.config.notices import ineffective
from autotrain.errors import ConfigError
from autotrain.launch_files.kubernetes import KubernetesOptions
from autotrain.launch_files.skypilot import SkyPilotOptions
from autotrain.launch_files.slurm import SlurmOptions
from autotrain.launch_files.work import JobFile, Options, Work, check
from autotrain.launch_files.write import write

_MACHINES = ("nodes", "devices", "max_restarts")
_HELP = MappingProxyType(
    {"nodes": "machines that train together", "devices": "GPUs of each machine; with --no-gpus, processes (default: 1)"}
)
# Target -> its options; its module has the same name.
_TARGETS: MappingProxyType[str, type[Options]] = MappingProxyType(
    {"slurm": SlurmOptions, "kubernetes": KubernetesOptions, "skypilot": SkyPilotOptions}
)


def add_arguments(parser: Parser) -> None:
    """Declare the targets, and the options that their classes hold."""
    where = parser.add_argument_group("where").add_mutually_exclusive_group()
    for name, title in (("slurm", "SLURM (sbatch)"), ("kubernetes", "Kubernetes"), ("skypilot", "SkyPilot")):
        where.add_argument(
            f"--{name}", dest="target", action="store_const", const=name, help=f"write a job file for {title}"
        )
    group = parser.add_argument_group("what")
    group.add_argument("--config", metavar="FILE_OR_URL", help="the config: .yml, .yaml or .json")
    group.add_argument("--output", metavar="FILE", help="the file to write (default: named after the project)")
    group.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    add_machine_options(parser.add_argument_group("machines; these win over the config"), _MACHINES, _HELP)
    sections: dict[str, Any] = {}
    for name, targets in _options():
        title = "for all" if len(targets) == len(_TARGETS) else f"for {' and '.join(targets)}"
        section = sections.setdefault(title, None) or parser.add_argument_group(title)
        sections[title] = section
        _add(section, name, _TARGETS[targets[0]])


def run(args: argparse.Namespace) -> int:
    """Check the config, write the file, and say what to do with it.  Raises UserErrors before anything is written."""
    if args.target is None:
        raise ConfigError("autotrain launch: for what? --slurm, --kubernetes or --skypilot")
    if not args.config:
        raise ConfigError("autotrain launch: no config given; add --config FILE_OR_URL")
    options = _options_of(args)
    over = machine_options(args, _MACHINES)
    config = load_config(args.config, dry_run=True, options=over)
    check(config.params, config.backend)
    fault = unavailable_trainer(config.params.trainer)
    if fault:
        raise ConfigError(fault)
    module: Any = importlib.import_module(f"autotrain.launch_files.{args.target}")
    file = Path(args.output or f"{config.params.project_name}{module.SUFFIX}")
    made: JobFile = module.job_file(Work(config.params, args.config, Path.cwd(), over), options, file)
    write(made, file, overwrite=args.overwrite)
    for note in (*config.notes, *ineffective(config.params)):
        log.notice(note)
    sys.stdout.write(_told(made, file))
    return 0


def _options() -> Iterator[tuple[str, list[str]]]:
    """Each option with the targets that take it, those for all first."""
    names = dict.fromkeys(name for options in (Options, *_TARGETS.values()) for name in options.model_fields)
    for name in names:
        yield name, [target for target, options in _TARGETS.items() if name in options.model_fields]


def _add(section: Any, name: str, options: type[Options]) -> None:
    field = options.model_fields[name]
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    settings: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS, "help": field.description}
    if isinstance(field.default, bool):
        settings |= {"action": "store_const", "const": not field.default}
    else:
        settings |= {"metavar": extra["metavar"], "action": "append" if isinstance(field.default, tuple) else "store"}
        if field.default:
            settings["help"] = f"{field.description} (default: {field.default})"
    section.add_argument(_spelling(name, options), **settings)


def _spelling(name: str, options: type[Options]) -> str:
    """--no-NAME turns off what is on by default."""
    return f"--{'no-' if options.model_fields[name].default is True else ''}{name.replace('_', '-')}"


def _options_of(args: argparse.Namespace) -> Options:
    """The target's options.  Raises ConfigError for one of another target, or a bad value."""
    wanted, given = _TARGETS[args.target], vars(args)
    for name, targets in _options():
        if name in given and args.target not in targets:
            spelling = _spelling(name, _TARGETS[targets[0]])
            raise ConfigError(f"{spelling} is for {' and '.join(f'--{one}' for one in targets)}, not for --{args.target}")
    names = {name: _spelling(name, wanted) for name in wanted.model_fields}
    try:
        return wanted(**{name: given[name] for name in wanted.model_fields if name in given})
    except ValidationError as error:
        raise describe(error, "autotrain launch", names) from error


def _told(made: JobFile, file: Path) -> str:
    width = max(len(what) for what, _ in made.told) + 1
    lines = [f"wrote {file}: {made.notes[0]}", *made.notes[1:]]
    return "\n".join([*lines, *(f"{what + ':':<{width}}  {command}" for what, command in made.told)]) + "\n"
