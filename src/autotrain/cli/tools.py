"""Tools for a trained model: merge a LoRA adapter into its base model."""

import argparse
from pathlib import Path

from autotrain import log
from autotrain.base_models import find_model
from autotrain.cli.chat import positive_int
from autotrain.cli.targets import nearest_folders
from autotrain.cli.worker import become_worker
from autotrain.errors import ConfigError, ModelError, RunFolderError

_ADAPTER_CONFIG = "adapter_config.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the tools and their options, each in both spellings."""
    parser.set_defaults(print_tools=parser.print_help)
    tools = parser.add_subparsers(dest="tool", metavar="TOOL")
    merge = tools.add_parser(
        "merge-llm-adapter",
        help="merge a LoRA adapter into its base model",
        description="Merge a LoRA adapter into its base model, loaded in its own precision, and check the result.",
        allow_abbrev=False,
    )
    merge.add_argument("--adapter-path", "--adapter_path", required=True, metavar="FOLDER", help="run or adapter folder")
    merge.add_argument(
        "--base-model-path",
        "--base_model_path",
        metavar="MODEL",
        help="base model: hub id, folder, GGUF file or smollm2-135m (default: the one that the adapter names)",
    )
    merge.add_argument(
        "--output-folder",
        "--output_folder",
        metavar="FOLDER",
        help="new folder for the merged model (needed, unless it is pushed; then ADAPTER-merged if left out)",
    )
    merge.add_argument(
        "--pad-to-multiple-of",
        "--pad_to_multiple_of",
        type=positive_int,
        metavar="INT",
        help="round the vocabulary up to a multiple of this",
    )
    merge.add_argument("--token", help="hub token, for a gated base or to push (better: the variable HF_TOKEN)")
    merge.add_argument(
        "--push-to-hub", "--push_to_hub", action="store_true", help="push the merged model, into a private repository"
    )
    merge.add_argument(
        "--repo", metavar="NAME/REPO", help="where --push-to-hub goes (default: yours, named as the output folder)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the chosen tool; without one, print the help and return 1."""
    if args.tool is None:
        args.print_tools()
        return 1
    if args.token:
        log.hide_secret(args.token)
        log.notice("--token can be read by others in the list of processes; rather set the variable HF_TOKEN")
    if args.repo and not args.push_to_hub:
        raise ConfigError("--repo has no effect without --push-to-hub")
    adapter = Path(args.adapter_path)
    _check_adapter(adapter)
    output = _output(args.output_folder, adapter, is_pushed=args.push_to_hub)
    if args.base_model_path:
        _check_base(args.base_model_path)
    repo_id = _repo(args.repo or output.resolve().name, args.token) if args.push_to_hub else None
    request = {name: vars(args)[name] for name in ("adapter_path", "base_model_path", "pad_to_multiple_of")}
    become_worker("merge", {**request, "output_folder": str(output), "repo_id": repo_id}, token=args.token)


def _output(said: str | None, adapter: Path, *, is_pushed: bool) -> Path:
    """A folder in any case: a push that fails must not lose the model.  Raises ConfigError or RunFolderError."""
    if not said and not is_pushed:
        raise ConfigError("--output-folder is needed: a new folder for the merged model; or --push-to-hub")
    folder = Path(said or f"{adapter.resolve().name}-merged")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunFolderError(f"--output-folder: {folder} exists and isn't an empty folder; name another one")
    return folder


def _repo(said: str, token: str | None) -> str:
    """Where it will go, if it can.  Raises ConfigError or HubError before anything is loaded."""
    from autotrain.cli.push import checked, repo_id_of
    from autotrain.hub.client import token_of
    from autotrain.hub.repo import Target

    return checked(Target(repo_id_of(said)), token_of(token)).repo_id


def _check_adapter(folder: Path) -> None:
    if (folder / _ADAPTER_CONFIG).is_file():
        return
    if (folder / "adapter" / _ADAPTER_CONFIG).is_file():
        raise ModelError(f"--adapter-path: {folder} is merged already; its adapter is in {folder / 'adapter'}")
    near = nearest_folders(folder) if not folder.exists() else []
    hint = f"; did you mean {' or '.join(near)}?" if near else "; give the folder of a run that was trained with peft: true"
    what = f"no {_ADAPTER_CONFIG} in {folder}" if folder.is_dir() else f"no folder {folder}"
    raise ModelError(f"--adapter-path: {what}{hint}")


def _check_base(name: str) -> None:
    try:
        find_model(name)
    except ModelError as error:
        raise ModelError(str(error).replace("base_model:", "--base-model-path:", 1)) from error
