"""Print all parameters as JSON Schema, or as the reference page."""

import argparse
import json
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `autotrain schema`."""
    parser.add_argument("--markdown", action="store_true", help="the reference page instead of JSON Schema")


def run(args: argparse.Namespace) -> int:
    """Write to standard output."""
    from autotrain.config.surface import json_schema, reference_page

    text = reference_page() if args.markdown else json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    sys.stdout.write(text)
    return 0
