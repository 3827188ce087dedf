"""Commands that AutoTrain had, and what to use instead."""

from collections.abc import Iterable, Sequence
from types import MappingProxyType

from autotrain.config.base import nearest
from autotrain.config.names import OTHER_TASKS, TASKS

_INSTEAD = MappingProxyType(
    {
        "setup": "not kept from AutoTrain; make setup installs everything, and another torch than pip's default is chosen "
        "by make setup TORCH_SPEC=...",
        "spacerunner": "running scripts on a Space is not part of this project; use the hub's own jobs: hf jobs run",
    }
)
_APP_OPTIONS = MappingProxyType(
    {
        "--share": "share it through a tunnel of your own, such as ssh -L 7860:localhost:7860 HOST",
        "--colab": "in a notebook use AutoTrainProject from Python",
    }
)


def app_refusal(options: Sequence[str]) -> str | None:
    """Why `autotrain app` doesn't take one of `options`, or None."""
    found = next((option for option in options if option in _APP_OPTIONS), None)
    return f"autotrain app {found}: not kept from AutoTrain; {_APP_OPTIONS[found]}" if found else None


def refusal(name: str, commands: Iterable[str]) -> str:
    """Why there is no command `name`, and what to use."""
    if name in _INSTEAD:
        return f"autotrain {name}: {_INSTEAD[name]}"
    known = ", ".join(commands)
    if name in OTHER_TASKS:
        return f"autotrain {name}: this project trains language models only; commands: {known}"
    if name in TASKS:
        return f"autotrain {name}: that is a task, not a command; write task: {name} in a config, or autotrain llm --train"
    if name.lower().endswith((".yml", ".yaml", ".json")):
        return f"autotrain {name}: unknown command; to train as a config says: autotrain --config {name}"
    guess = nearest(name, commands)
    return (
        f"autotrain {name}: unknown command"
        + (f"; did you mean autotrain {guess}?" if guess else "")
        + f"; commands: {known}"
    )
