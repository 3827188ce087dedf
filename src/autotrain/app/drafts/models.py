"""Base models to choose from: those that come along, those of whoever runs the server, the workspace's own, the hub's."""

import asyncio
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from autotrain.app.workspace import Workspace
from autotrain.base_models import EMBEDDED, find_model, is_reward_model
from autotrain.errors import HubError, ModelError
from autotrain.hub.client import explained, open_api
from autotrain.hub.look import check_base
from autotrain.run_folder import is_run

NUM_FOUND = 12
HUB_SECONDS = 10.0
EMBEDDED_HERE, CUSTOM, RUN, FOLDER, ON_HUB = "embedded", "custom", "run", "folder", "hub"


@dataclass(frozen=True)
class Offer:
    """name: as the parameter `model` takes it.  source: where it is from.  downloads: of a hub model."""

    name: str
    title: str
    source: str
    downloads: int = 0


def offered_models(workspace: Workspace, custom: tuple[str, ...]) -> list[Offer]:
    """Without asking anybody."""
    embedded = [Offer(name, name, EMBEDDED_HERE) for name, (package, *_) in EMBEDDED.items() if find_spec(package)]
    return [*embedded, *(Offer(name, name, CUSTOM) for name in custom), *_in_workspace(workspace)]


def _in_workspace(workspace: Workspace) -> list[Offer]:
    found: list[Offer] = []
    for folder in sorted(workspace.root.glob("*/")) if workspace.root.is_dir() else ():
        if folder == workspace.datasets or folder.is_symlink() or is_reward_model(folder):
            continue
        source = RUN if is_run(folder) else FOLDER
        if (folder / "config.json").is_file():
            found.append(Offer(str(folder), folder.name, source))
        else:
            found += [Offer(str(file), f"{folder.name}/{file.name}", source) for file in sorted(folder.glob("*.gguf"))]
    found += [Offer(str(file), file.name, FOLDER) for file in sorted(_files(workspace.root))]
    return found


def _files(root: Path) -> list[Path]:
    return [file for file in root.glob("*.gguf") if not file.is_symlink()] if root.is_dir() else []


async def search_hub(text: str, token: SecretStr | None) -> list[Offer]:
    """Models on the hub that continue text, the most used first.  Raises HubError if it can't be asked."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(_search, text, token), HUB_SECONDS)
    except TimeoutError:
        raise HubError("the hub doesn't answer; check the connection") from None


async def check_model(name: str, token: SecretStr | None) -> None:
    """Raises AutoTrainError if the model can't be had.  token: the hub's, of whoever asks; a model may be theirs alone."""
    await asyncio.to_thread(_check, name, token)


def _check(name: str, token: SecretStr | None) -> None:
    source = find_model(name)
    if source.gguf_file or Path(source.path).is_dir() or token is None:
        return check_base(source)
    try:
        with explained(name):
            files = {file.rfilename for file in open_api(token.get_secret_value()).model_info(name).siblings or ()}
    except HubError:
        return check_base(source)  # perhaps it is in this machine's cache; otherwise it says what is wrong
    if files and "config.json" not in files:
        raise ModelError(f"base_model: {name} on the hub has no config.json, so it is no model that can be trained")
    source.check_weights(files)


def _search(text: str, token: SecretStr | None) -> list[Offer]:
    api = open_api(token.get_secret_value() if token else None)
    with explained("search on the hub"):
        models: list[Any] = list(
            api.list_models(search=text, pipeline_tag="text-generation", sort="downloads", limit=NUM_FOUND)
        )
    return [Offer(str(one.id), str(one.id), ON_HUB, int(one.downloads or 0)) for one in models]
