"""config.json, for readers that look for settings where transformers 4 had them."""

import json
from pathlib import Path

from autotrain.run_folder import write_json


def name_rotary_settings(folder: Path) -> None:
    """Write `rope_theta` and `rope_scaling` beside `rope_parameters` in the config.json of a model folder.

    Older readers know those names only, and without them take a default: the model then loads and talks nonsense.
    Settings that differ from layer to layer had no common form, and stay as they are.
    """
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    rotary = config.get("rope_parameters")
    if not isinstance(rotary, dict) or "rope_theta" not in rotary:
        return
    scaling = {name: value for name, value in rotary.items() if name != "rope_theta"}
    config.setdefault("rope_theta", rotary["rope_theta"])
    if scaling.get("rope_type", "default") != "default":
        config.setdefault("rope_scaling", scaling)
    write_json(path, config)
