"""What all commands that start a run have in common."""

import argparse
import sys

from autotrain import log
from autotrain.config.load import Config
from autotrain.errors import ConfigError


def add_start_arguments(parser: argparse.ArgumentParser) -> None:
    """--dry-run, --resume, --overwrite, --detach and --yes."""
    group = parser.add_argument_group("how it is run")
    group.add_argument("--dry-run", action="store_true", help="show the resolved parameters and what would run, and stop")
    group.add_argument("--dry_run", action="store_true", help=argparse.SUPPRESS)
    group.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    group.add_argument("--overwrite", action="store_true", help="replace the run in the project folder")
    group.add_argument("--detach", action="store_true", help="cloud, Ray: don't wait for the run; follow it with runs logs")
    group.add_argument("--yes", action="store_true", help="cloud: start without asking on the terminal")


def start(config: Config, args: argparse.Namespace) -> int:
    """Run, or with --dry-run show, what a config says; returns the worker's exit code."""
    from autotrain.backends.base import Job

    if args.resume and args.overwrite:
        raise ConfigError("--resume goes on with a run and --overwrite starts it anew; give one of them")
    if args.detach and config.backend.startswith("local"):
        what_to_do = "leave it out, nobody waits" if config.backend == "local-ui" else "write backend: local-ui instead"
        raise ConfigError(f"--detach: for runs in the cloud; with backend {config.backend} {what_to_do}")
    job = Job(config.params, resume=args.resume, overwrite=args.overwrite, detach=args.detach)
    for note in config.notes:
        log.notice(note)
    if args.dry_run:
        from autotrain.cli.dry_run import report

        sys.stdout.write(report(job, config))
        return 0
    from autotrain.project import submit, warn_of_autotrain_advanced

    warn_of_autotrain_advanced()
    outcome = submit(job, config.backend, agrees=lambda: args.yes or agrees())
    return outcome.code_for_shell


def agrees() -> bool:
    """Ask, where somebody is there to answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    sys.stderr.write("start it? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
