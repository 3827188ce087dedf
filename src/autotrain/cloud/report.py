"""How a machine in the cloud tells how a run ended: in the last line of its log, and in a discussion on its Space.

The log reaches whoever follows; the discussion stays for those who look later.
"""

import json
import re
from dataclasses import asdict, dataclass

FINISHED, FAILED, STOPPED = "finished", "failed", "stopped"
_END_OF_LOG = "autotrain-end: "
_TITLES = {
    FINISHED: "Your training has finished",
    FAILED: "Your training has failed",
    STOPPED: "Your training was stopped",
}


@dataclass(frozen=True)
class End:
    """stage: finished, failed or stopped.  exit_code: as the worker's.  reason: "" if all went well.

    url: where the model is, "" if nothing was pushed.
    """

    stage: str
    exit_code: int
    reason: str = ""
    url: str = ""


def end_line(end: End, run: str = "") -> str:
    """The line that ends the log of the run with the id `run`, without a line end."""
    return _END_OF_LOG + json.dumps({**asdict(end), "run": run}, ensure_ascii=False)


def read_end_line(line: str, run: str | None = None) -> End | None:
    """What `end_line` wrote, or None if `line` isn't such a line, or if it is one of another run than `run`."""
    _, marker, text = line.partition(_END_OF_LOG)
    if not marker:
        return None
    try:
        said = json.loads(text)
        told_run, end = said.pop("run", ""), End(**said)
    except (ValueError, TypeError, AttributeError):
        return None
    return end if end.stage in _TITLES and run in (None, told_run) else None


def discussion_title(end: End, run: str) -> str:
    """Title of the discussion that a Space opens at the end of the run with the id `run`."""
    return f"{_TITLES[end.stage]} (run {run})"


def read_discussion_title(title: str, run: str) -> str | None:
    """The stage that a discussion's title tells of `run`, or None if it is about something else."""
    found = re.fullmatch(r"(.*) \(run (.*)\)", title)
    if not found or found[2] != run:
        return None
    return next((stage for stage, words in _TITLES.items() if words == found[1]), None)


def discussion_text(end: End, project: str) -> str:
    """What the discussion says."""
    if end.stage == FINISHED:
        what = f"`{project}` is trained."
    elif end.stage == STOPPED:
        what = f"`{project}` was stopped before its end."
    else:
        what = f"`{project}` failed (exit code {end.exit_code})."
    lines = [what]
    if end.reason:
        lines += ["", "```", end.reason.replace("```", "'''"), "```"]
    if end.url:
        lines += ["", f"The model is at {end.url}"]
    return "\n".join([*lines, "", "This Space can be deleted; the model is a repository of its own."]) + "\n"


def read_discussion_reason(text: str) -> str:
    """The reason in `discussion_text`'s result, or ""."""
    found = re.search(r"```\n(.*?)\n```", text, re.DOTALL)
    return found[1] if found else ""
