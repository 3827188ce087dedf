"""How a run is named on the command line: by its number, its name, or its folder."""

from collections.abc import Sequence
from pathlib import Path

from autotrain.config.base import nearest
from autotrain.errors import RunFolderError
from autotrain.run_folder import is_run
from autotrain.runs.registry import Entry, adopt, entries


def find_entry(said: str) -> Entry:
    """The run that `said` names.  A run folder that isn't registered is registered.

    Raises RunFolderError if there's none or more than one.
    """
    known = entries()
    found = _named(said, known)
    folder = Path(said).expanduser().absolute()
    if not found and is_run(folder):
        adopt(folder)
        found = _named(said, entries())
    if not found:
        raise RunFolderError(_not_found(said, known))
    if len(found) > 1:
        several = "; ".join(f"{one.id} ({one.name}) in {one.cloud.url if one.cloud else one.folder}" for one in found)
        how = "the folder" if any(str(one.id) == said for one in found) else "the number"
        raise RunFolderError(f"{said} may be any of {len(found)} runs; give {how}: {several}")
    return found[0]


def _named(said: str, known: Sequence[Entry]) -> list[Entry]:
    """By number or name, else by folder.  A number that is also another run's name names both."""
    folder = Path(said).expanduser().absolute()
    return [one for one in known if said in (str(one.id), one.name)] or [
        one for one in known if one.folder == folder and not one.cloud
    ]


def _not_found(said: str, known: Sequence[Entry]) -> str:
    if not known:
        return f"no run {said}: there are no runs yet"
    guess = nearest(said, [one.name for one in known])
    hint = f"; did you mean {guess}?" if guess else ""
    return f"no run {said}{hint}; give a number or a name from the list of autotrain runs, or a run's folder"
