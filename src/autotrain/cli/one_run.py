"""What `autotrain runs` does with one run: show, logs, stop, rm, resume."""

import argparse
import os
import sys
import time
from collections.abc import Iterable

from autotrain import log
from autotrain.cli.runs_shown import as_json, as_object
from autotrain.errors import ConfigError, HubError, RunFolderError, TrainingError
from autotrain.run_folder import FINISHED, STOPPED, read_state
from autotrain.runs import Entry, Run, look_at
from autotrain.runs.logs import follow, log_file, read_lines
from autotrain.runs.names import find_entry
from autotrain.runs.parameters import parameters_to_resume, raw_parameters
from autotrain.runs.registry import latest
from autotrain.runs.removal import check_removable, folder_bytes, remove_entry, remove_folder
from autotrain.runs.stages import GONE, PAUSED, RESUMABLE, UNKNOWN
from autotrain.runs.stop import stop_if_live
from autotrain.runs.waiting import take_out_unless_begun


def show(args: argparse.Namespace) -> int:
    """Write what is known about a run."""
    one = _now(find_entry(args.run))
    if args.json:
        sys.stdout.write(log.mask(as_json(as_object(one))))
        return 0
    facts = [(name, value) for name, value in _facts(one) if value]
    width = max(len(name) for name, _ in facts)
    sys.stdout.write("".join(f"{name + ':':<{width + 1}}  {log.mask(value)}\n" for name, value in facts))
    return 0


def logs(args: argparse.Namespace) -> int:
    """Write a run's log, with --follow until it ends; then the exit code tells how the run has ended."""
    entry = find_entry(args.run)
    if entry.cloud:
        return _cloud_logs(entry, args)
    if args.follow:
        _write(follow(entry, args.lines))
        return 0 if look_at(latest(entry)).stage == FINISHED or _is_out_of_time(entry) else TrainingError.exit_code
    file = log_file(entry)
    if file is None:
        raise RunFolderError(f"{entry.name}: no log in {entry.folder}, and none of its output was kept")
    _write(read_lines(file, args.lines))
    return 0


def _is_out_of_time(entry: Entry) -> bool:
    """Whether max_hours ended the run, with its model written."""
    state = read_state(entry.folder)
    return state is not None and state.stage == STOPPED


def _cloud_logs(entry: Entry, args: argparse.Namespace) -> int:
    from autotrain.cloud.live import follow_to_end, lines_of

    if not args.follow:
        _write(lines_of(entry, args.lines))
        return 0
    followed = follow_to_end(entry)
    if followed.exit_code is None and followed.reason:
        return HubError.exit_code  # it was said already
    if followed.reason:
        sys.stdout.write(f"{entry.name}: {log.mask(followed.reason)}\n")
    return followed.exit_code or 0


def stop(args: argparse.Namespace) -> int:
    """Stop a run; one that isn't running stays as it is."""
    named = find_entry(args.run)
    entry = take_out_unless_begun(named)
    if entry is None:
        sys.stdout.write(f"{named.name} was taken out of the web page's queue\n")
        return 0
    before = _now(entry)
    if not before.is_live and not (entry.cloud and before.stage == UNKNOWN):
        sys.stdout.write(f"{entry.name} isn't running: {_stage_text(before)}\n")
        return 0
    if entry.cloud:
        from autotrain.cloud.live import stop as stop_in_cloud

        after = stop_in_cloud(entry)
        sys.stdout.write(f"{entry.name}: {entry.cloud.job_id} was told to stop; {_stage_text(after)}{_go_on(after)}\n")
        return 0
    grace_seconds = 0 if args.now else args.grace
    if grace_seconds:
        log.info(f"{entry.name}: asked to save and leave; after {grace_seconds} s it will be ended by force")
    has_left = stop_if_live(entry, grace_seconds)
    after = look_at(entry)
    forced = "" if has_left else "ended by force; "
    sys.stdout.write(f"{entry.name}: {forced}{_stage_text(after)}{_go_on(after)}\n")
    return 0


def remove(args: argparse.Namespace) -> int:
    """Take a run out of the registry; with --folder or --remote delete what it left, asked for first."""
    entry = find_entry(args.run)
    if args.folder and entry.cloud:
        raise ConfigError(f"--folder: {entry.name} ran in the cloud, no folder is here; --remote deletes what it left there")
    if args.remote and not entry.cloud:
        raise ConfigError(f"--remote: {entry.name} ran on this machine; --folder deletes its folder")
    if args.remote and entry.backend.startswith("jobs-"):
        raise ConfigError(
            f"--remote: {entry.name} was a Job, which leaves nothing but its log; leave --remote out "
            "(copies of data and models that it was given are repositories of yours, named autotrain-...: hf repos delete)"
        )
    if _now(entry).is_live:
        raise RunFolderError(f"{entry.name} is running; stop it first: autotrain runs stop {entry.id}")
    if (args.folder or args.remote) and not _delete(entry, args.yes):
        sys.stdout.write("nothing was removed\n")
        return 1
    remove_entry(entry)
    kept = f"; its folder stays: {entry.folder}" if not entry.cloud and entry.folder.exists() else ""
    sys.stdout.write(f"{entry.name} is no longer listed{kept}\n")
    return 0


def resume(args: argparse.Namespace) -> int:
    """Go on from the last checkpoint, from the folder where the run was started; returns the worker's exit code."""
    entry = find_entry(args.run)
    one = _now(entry)
    if one.stage == FINISHED:
        sys.stdout.write(f"{entry.name} is finished, after {one.step} steps; nothing to resume\n")
        return 0
    if one.is_live:
        raise RunFolderError(f"{entry.name} is still running; stop it first: autotrain runs stop {entry.id}")
    if one.stage == UNKNOWN:
        raise RunFolderError(f"{entry.name} can't be resumed: where it stands isn't known: {one.reason}")
    params = parameters_to_resume(entry)
    backend = args.backend or entry.backend
    if args.detach and backend.startswith("local"):
        raise ConfigError(f"--detach: for runs in the cloud; with {backend} write --backend local-ui instead")
    os.chdir(entry.folder.parent)  # relative paths in the parameters begin there
    from autotrain.backends.base import Job
    from autotrain.cli.start import agrees
    from autotrain.project import submit

    job = Job(params, resume=True, detach=args.detach)
    return submit(job, backend, agrees=lambda: args.yes or agrees()).code_for_shell


def _now(entry: Entry) -> Run:
    if not entry.cloud:
        return look_at(entry)
    from autotrain.cloud.live import ask

    return ask(entry)


def _facts(one: Run) -> list[tuple[str, str]]:
    entry, cloud = one.entry, one.entry.cloud
    said = raw_parameters(entry)
    heartbeat = f"{_when(one.heartbeat)} ({max(0.0, time.time() - one.heartbeat):,.0f} s ago)" if one.heartbeat else ""
    file = None if cloud else log_file(entry)
    return [
        ("run", f"{entry.id}, {entry.name}"),
        ("stage", _stage_text(one)),
        ("step", f"{one.step} of {one.total_steps}" if one.total_steps else ""),
        ("training loss", "" if one.loss is None else f"{one.loss:.4f}"),
        ("started", _when(entry.started)),
        ("last sign of life", heartbeat if one.is_live else ""),
        ("base model", str(said.get("model", ""))),
        ("trainer", str(said.get("trainer", ""))),
        ("data", str(said.get("data_path", ""))),
        ("backend", f"{entry.backend}, {cloud.job_id}" if cloud else f"{entry.backend}, process {entry.pid}"),
        ("address", cloud.url if cloud else ""),
        ("result", f"{cloud.repo_id} on the hub" if cloud and cloud.repo_id else ""),
        ("folder", "" if cloud else str(entry.folder)),
        ("log", str(file) if file else ""),
        ("next", _next(one)),
    ]


def _next(one: Run) -> str:
    number = one.entry.id
    if one.stage == PAUSED:
        return f"fg, in the terminal where it was started, goes on; autotrain runs stop {number} saves and ends it"
    if one.is_live:
        return f"autotrain runs logs -f {number}, or autotrain runs stop {number}"
    if one.stage in RESUMABLE:
        return f"autotrain runs resume {number}"
    if one.stage == FINISHED:
        command = "score" if raw_parameters(one.entry).get("trainer") == "reward" else "chat"
        return f"autotrain {command} {one.entry.cloud.repo_id if one.entry.cloud else one.entry.folder}"
    return f"autotrain runs rm {number}" if one.stage == GONE else ""


def _go_on(one: Run) -> str:
    return f"; go on: autotrain runs resume {one.entry.id}" if one.stage in RESUMABLE else ""


def _stage_text(one: Run) -> str:
    where = f" at step {one.step} of {one.total_steps}" if one.total_steps and not one.reason else ""
    return f"{one.stage}{where}" + (f": {one.reason}" if one.reason else "")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _write(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(log.mask(line) + "\n")
        sys.stdout.flush()


def _delete(entry: Entry, yes: bool) -> bool:
    """Delete the folder of a local run, or what one in the cloud left there.  Returns whether that was wanted."""
    if entry.cloud:
        from autotrain.cloud.live import remove as remove_in_cloud

        result = f"; the model in {entry.cloud.repo_id} stays" if entry.cloud.repo_id else ""
        if not _agreed(f"delete {entry.cloud.url or entry.cloud.job_id}{result}", yes):
            return False
        remove_in_cloud(entry)
    elif entry.folder.exists():
        check_removable(entry.folder)
        size = f"{folder_bytes(entry.folder) / 1e6:,.1f} MB"
        if not _agreed(f"delete {entry.folder} ({size}, its model and checkpoints included)", yes):
            return False
        remove_folder(entry.folder)
    return True


def _agreed(what: str, yes: bool) -> bool:
    """Whether the user wants it.  Raises ConfigError where nobody can be asked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError(f"to {what}, add --yes: there's no terminal to ask on")
    return input(f"{what}? [y/N] ").strip().lower() in ("y", "yes")
