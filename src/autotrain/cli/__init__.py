"""The command `autotrain`.  A command's module is imported only when it is chosen."""

import importlib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from autotrain import __version__, log
from autotrain.errors import AutoTrainError, ConfigError


@dataclass(frozen=True)
class Command:
    """A command: the module with `add_arguments(parser)` and `run(args) -> int`, and one line on it."""

    module: str
    help: str


CONFIG_COMMAND = Command("autotrain.cli.config_run", "Train as a config says.")
COMMANDS = MappingProxyType(
    {
        "llm": Command("autotrain.cli.llm", "train, with options instead of a config"),
        "launch": Command("autotrain.cli.launch", "write a job file for SLURM, Kubernetes or SkyPilot"),
        "inspect": Command("autotrain.cli.inspect", "show what a config would train on, token by token"),
        "chat": Command("autotrain.cli.chat", "talk to a finished run or a model"),
        "generate": Command("autotrain.cli.generate", "answer the prompts of a file"),
        "score": Command("autotrain.cli.score", "score the answers of a file with a reward model"),
        "runs": Command("autotrain.cli.runs", "list runs; show, follow, stop, resume or remove one"),
        "push": Command("autotrain.cli.push", "upload a finished run to the Hugging Face Hub"),
        "tools": Command("autotrain.cli.tools", "merge an adapter into its base model"),
        "api": Command("autotrain.cli.api", "on a machine in the cloud: run what its environment says"),
        "app": Command("autotrain.cli.app", "open the web page: train, watch and use models"),
        "space": Command("autotrain.cli.space", "put AutoTrain's page on a Space of yours"),
        "schema": Command("autotrain.cli.schema", "print all parameters as JSON Schema or Markdown"),
    }
)

_USAGE = "usage: autotrain --config FILE_OR_URL [--dry-run] [--resume] [--overwrite]\n       autotrain COMMAND ..."
_EXAMPLE = """\
A config needs four keys:

    task: llm-sft
    base_model: smollm2-135m
    project_name: my-first-model
    data:
      path: data/train.jsonl
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `autotrain` with `argv` (default: the process's own) and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    log.start_logging()
    log.hide_secret(os.environ.get("HF_TOKEN"))
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal can't write hides nothing else
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except AutoTrainError as error:
        log.error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has left.  What is still buffered must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        sys.stdout.write(help_text())
        return 0 if arguments else 1
    if arguments[0] in ("--version", "-v"):
        sys.stdout.write(f"{__version__}\n")
        return 0
    if arguments[0].startswith("-"):
        return _run("autotrain", CONFIG_COMMAND, arguments)
    name = arguments[0]
    if name in COMMANDS:
        return _run(f"autotrain {name}", COMMANDS[name], arguments[1:])
    from autotrain.cli.refused import refusal

    raise ConfigError(refusal(name, COMMANDS))


def _run(program: str, command: Command, arguments: list[str]) -> int:
    from autotrain.cli.parser import Parser

    module = importlib.import_module(command.module)
    parser = Parser(prog=program, description=module.__doc__)
    module.add_arguments(parser)
    return module.run(parser.parse_args(arguments))


def help_text() -> str:
    """What `autotrain --help` prints."""
    commands = "\n".join(f"  {name:<10} {command.help}" for name, command in COMMANDS.items())
    options = "\n".join(
        (
            "  --config FILE_OR_URL   train as a config says (.yml, .yaml, .json)",
            "  --dry-run              show the resolved parameters and what would run, and stop",
            "  --resume               go on from the last checkpoint",
            "  --overwrite            replace the run in the project folder",
            "  --version, -v          show the version",
            "  --help, -h             show this help; also after a command",
        )
    )
    return (
        f"AutoTrain {__version__}: fine-tune a language model from a CSV or JSONL file\n\n"
        f"{_USAGE}\n\noptions:\n{options}\n\ncommands:\n{commands}\n\n{_EXAMPLE}"
    )
