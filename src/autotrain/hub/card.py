"""A model card's lines of code, as they are for those who find the model on the hub."""

import re

# The comment that a card puts behind the folder's name, and by which that line is known.
PLACE = "where this README.md lies"
_FOLDER = re.compile(rf'^folder = "(?P<name>[^"\n]*)"  # {PLACE}$', re.MULTILINE)
_COMMAND = re.compile(r"^(?=autotrain (?:chat|score) )", re.MULTILINE)


def with_address(card: str, repo_id: str, revision: str | None = None) -> str:
    """The card with the repository's name in its lines; a card without such lines stays as it is.

    revision: the branch, if it isn't the main one.  The command then works on a download.
    """
    found = _FOLDER.search(card)
    if found is None:
        return card
    if revision is None:
        line = f'folder = "{repo_id}"  # on the hub, or where you downloaded it'
    else:
        line = (
            f'from huggingface_hub import snapshot_download\nfolder = snapshot_download("{repo_id}", revision="{revision}")'
        )
    branch = f" --revision {revision}" if revision else ""
    download = f"hf download {repo_id}{branch} --local-dir {found['name']}\n"
    return _COMMAND.sub(lambda _: download, _FOLDER.sub(lambda _: line, card), count=1)
