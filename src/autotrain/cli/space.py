"""Put AutoTrain's web page on a Space of yours: private, with sign-in and storage."""

import argparse
import sys

from autotrain import log
from autotrain.cli.start import agrees
from autotrain.errors import ConfigError

DEFAULT_HARDWARE = "cpu-basic"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `create NAME` and its options."""
    parser.set_defaults(print_actions=parser.print_help)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    text = "make the Space, or bring it to this version"
    create = actions.add_parser("create", help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False)
    create.add_argument("name", metavar="NAME", help="name of the Space; OWNER/NAME for an organisation's")
    create.add_argument(
        "--hardware", default=DEFAULT_HARDWARE, metavar="NAME", help=f"such as t4-small (default: {DEFAULT_HARDWARE})"
    )
    create.add_argument("--no-storage", action="store_true", help="nothing outlives a restart: no bucket is made")
    create.add_argument("--dry-run", action="store_true", help="show what would be made and billed, and stop")
    create.add_argument("--yes", action="store_true", help="don't ask on the terminal")


def run(args: argparse.Namespace) -> int:
    """Make it, or show what would be made; without an action, print the help and return 1.  Raises UserErrors."""
    if args.action is None:
        args.print_actions()
        return 1
    from huggingface_hub.utils import validate_repo_id

    from autotrain.cloud.hardware import SPACE_FLAVORS, SPACES
    from autotrain.cloud.page_space import PageSpace
    from autotrain.config.names import nearest_machine
    from autotrain.hub.client import explained

    hardware = args.hardware.removeprefix(SPACES)
    if hardware not in SPACE_FLAVORS:
        guess = nearest_machine(hardware, SPACE_FLAVORS)
        hint = f"did you mean {guess}?" if guess else f"there are {', '.join(SPACE_FLAVORS)}"
        raise ConfigError(f"--hardware: no Space's hardware '{args.hardware}'; {hint}")
    if args.name.count("/") > 1:
        raise ConfigError(f"space create: '{args.name}' must be NAME or OWNER/NAME")
    with explained("space create"):
        validate_repo_id(args.name)
    space = PageSpace(args.name, f"{SPACES}{hardware}", stores=not args.no_storage)
    if args.dry_run:
        sys.stdout.write(f"{space.bill()}\n")
        return 0
    log.info(space.confirmation())
    if not (args.yes or agrees()):
        log.info("nothing was made")
        return 0
    sys.stdout.write(f"{space.create()}\n")
    return 0
