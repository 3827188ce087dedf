"""Train, with an option for each parameter.

Every option may be written with hyphens or underscores.  What has no value can be turned off with --no- before its
name; none stands for "no value".
"""

import argparse
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from autotrain import log
from autotrain.cli.parser import Parser
from autotrain.cli.start import add_start_arguments, start
from autotrain.config.base import describe
from autotrain.config.load import Config
from autotrain.config.names import backend_fault
from autotrain.config.surface import GROUPS, Knob, knobs
from autotrain.errors import ConfigError
from autotrain.trainers.clm.names import FOREIGN_NAMES
from autotrain.trainers.clm.params import LLMTrainingParams

_ABBREVIATIONS = {"whole number": "N", "number": "X", "text": "TEXT"}


class _Switch(argparse.Action):
    """True for its options, false for those with `no` before the name."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        setattr(namespace, self.dest, not (option_string or "").startswith(("--no-", "--no_")))


def add_arguments(parser: Parser) -> None:
    """The options of `autotrain llm`, made from the fields of LLMTrainingParams."""
    parser.usage = f"{parser.prog} --train [--model MODEL] [--data-path PATH] [--project-name NAME] [options]"
    group = parser.add_argument_group("what to do")
    group.add_argument("--train", action="store_true", help="train")
    for name in ("deploy", "inference"):
        group.add_argument(f"--{name}", action="store_true", help=argparse.SUPPRESS)
    group.add_argument("--backend", default="local", metavar="NAME", help="where to run (default: local)")
    for title in GROUPS:
        section = parser.add_argument_group(GROUPS[title].lower())
        for knob in knobs():
            if knob.group == title:
                _add(section, knob)
    add_start_arguments(parser)
    parser.renamed = _renamed()


def run(args: argparse.Namespace) -> int:
    """Train, or say why not."""
    if args.deploy or args.inference:
        what = "--deploy" if args.deploy else "--inference"
        raise ConfigError(
            f"autotrain llm {what}: never worked in AutoTrain and isn't here; to use a model: autotrain chat RUN_OR_MODEL, "
            "or autotrain generate RUN_OR_MODEL --prompts FILE"
        )
    if not args.train:
        raise ConfigError("autotrain llm: nothing to do; add --train (all options: autotrain llm --help)")
    fault = backend_fault(args.backend)
    if fault:
        raise ConfigError(f"--backend: {fault}")
    return start(Config(_params(args), args.backend, "options of autotrain llm"), args)


def _params(args: argparse.Namespace) -> LLMTrainingParams:
    """Parameters of the options that were given.  Raises ConfigError, naming options."""
    given = {knob.name: getattr(args, knob.name) for knob in knobs() if hasattr(args, knob.name)}
    if "token" in given:
        log.hide_secret(given["token"])
        log.notice("--token can be read by others in the list of processes; rather set the variable HF_TOKEN")
    try:
        return LLMTrainingParams(**given)
    except ValidationError as error:
        raise describe(error, "autotrain llm", {knob.name: knob.options[0] for knob in knobs()}) from error


def _add(section: Any, knob: Knob) -> None:
    """One field: the hyphened spelling with help, the other without."""
    settings: dict[str, Any] = {"dest": knob.name, "default": argparse.SUPPRESS}
    if knob.kind == "switch":
        settings |= {"action": _Switch, "nargs": 0}
        shown, hidden = _by_spelling([knob.options, knob.off_options])
    else:
        settings |= {"metavar": _metavar(knob)}
        shown, hidden = _by_spelling([knob.options])
    section.add_argument(*shown, **settings, help=_help(knob))
    if hidden:
        section.add_argument(*hidden, **settings, help=argparse.SUPPRESS)


def _by_spelling(pairs: Sequence[tuple[str, ...]]) -> tuple[list[str], list[str]]:
    return [options[0] for options in pairs], [option for options in pairs for option in options[1:]]


def _metavar(knob: Knob) -> str:
    if knob.name == "block_size":
        return "N[,N]"
    return _ABBREVIATIONS[knob.kind]


def _help(knob: Knob) -> str:
    unit = f" {knob.unit}" if knob.unit and knob.default is not None else ""
    details = [f"default: {knob.default_text}{unit}"]
    if not all(choice in knob.help for choice in knob.choices):
        details.insert(0, "one of " + ", ".join(knob.choices))
    if knob.trainers:
        details.insert(0, "only for " + ", ".join(knob.trainers))
    return f"{knob.help.removesuffix('.')} ({'; '.join(details)})".replace("%", "%%")


def _renamed() -> dict[str, str]:
    """Options of other tools -> ours."""
    found: dict[str, str] = {}
    for foreign, ours in FOREIGN_NAMES.items():
        name, _, value = ours.partition(": ")
        found[foreign] = f"--{name.replace('_', '-')}" + (f" {value}" if value else "")
    return found
