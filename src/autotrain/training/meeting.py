"""The processes of a run find each other: who is which, and the process group through which they talk."""

import fcntl
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from autotrain.errors import Interrupted, PeerError, TrainingError, UserError
from autotrain.training.place import Place
from autotrain.training.pulse import Pulse, open_store

_LOOK_SECONDS = 0.2
_SIOCGIFADDR = 0x8915  # Linux: the address of a network interface


@dataclass(frozen=True)
class Met:
    """rank: of this process among `total`, machine by machine."""

    rank: int
    total: int
    pulse: Pulse


@contextmanager
def meet(place: Place, device: torch.device, hang_seconds: float, on_failure: Callable[[str], None]) -> Generator[Met]:
    """Wait for all processes, which may take as long as the slowest machine's data, and form the process group.

    on_failure: hears why this process is ended when another one failed.
    Raises TrainingError if one of them fails meanwhile, UserError or Interrupted where that can't be helped.
    """
    store = open_store(place.host, place.port)
    prefix = _prefix(place)
    rank, total = _ranks(store, prefix, place)
    if place.nodes > 1:
        _name_interface(place)
    with Pulse(place.host, place.port, prefix, rank, total, hang_seconds, on_failure) as pulse:
        _wait_for_all(store, prefix, total, pulse)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "cpu:gloo",
            store=dist.PrefixStore(f"{prefix}/group", store),
            rank=rank,
            world_size=total,
            # Whoever hangs is noticed, and named, by the pulse before this.
            timeout=timedelta(seconds=hang_seconds + 120),
            device_id=device if device.type == "cuda" else None,
        )
        try:
            yield Met(rank, total, pulse)
        finally:
            dist.destroy_process_group()


@contextmanager
def lost_store_told() -> Generator[None]:
    """Machine 0's launcher, which keeps the store, may be gone before all have met."""
    try:
        yield
    except dist.DistError as error:
        raise PeerError("machine 0, through which the processes find each other, can't be reached any more") from error


def _prefix(place: Place) -> str:
    """Of names in the store: what is of an earlier start isn't read."""
    return f"autotrain/{place.restart}"


def tell_ending(place: Place, code: int, reason: str) -> None:
    """Tell machines that may still wait for this process how it ended."""
    try:
        store = open_store(place.host, place.port)
        store.set(f"{_prefix(place)}/ended", json.dumps([code, f"machine {place.node}: {reason}"]))
    except (RuntimeError, dist.DistError):
        return  # there is nobody to tell


def _heed_ending(store: dist.Store, prefix: str) -> None:
    """Raise what another machine has told."""
    name = f"{prefix}/ended"
    if not store.check([name]):
        return
    code, reason = json.loads(store.get(name))
    if code == UserError.exit_code:
        raise UserError(reason)
    if code > 128:
        raise Interrupted(reason, code - 128)
    raise PeerError(reason)


def _ranks(store: dist.Store, prefix: str, place: Place) -> tuple[int, int]:
    """Machine after machine, in the order that the user numbered them in, however many devices each has."""
    if place.leads_node:
        store.set(f"{prefix}/size/{place.node}", str(place.num_local))
    names = [f"{prefix}/size/{node}" for node in range(place.nodes)]
    while not store.check(names):
        _heed_ending(store, prefix)
        time.sleep(_LOOK_SECONDS)
    sizes = [int(store.get(name)) for name in names]
    if sum(sizes) != place.total:
        raise TrainingError(
            f"machines {', '.join(map(str, range(place.nodes)))} brought {sizes} processes, {place.total} were expected; "
            "give each machine a node_rank of its own, from 0"
        )
    return sum(sizes[: place.node]) + place.local, place.total


def _wait_for_all(store: dist.Store, prefix: str, total: int, pulse: Pulse) -> None:
    store.add(f"{prefix}/ready", 1)
    while store.add(f"{prefix}/ready", 0) < total:
        _heed_ending(store, prefix)
        failure = pulse.failure_now()
        if failure:
            raise PeerError(failure)
        pulse.tick()
        time.sleep(_LOOK_SECONDS)


def _name_interface(place: Place) -> None:
    """Tell gloo and NCCL the network interface that leads to the other machines, unless the user did."""
    names = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
    if any(name in os.environ for name in names):
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as talk:
        try:
            talk.connect((place.host, place.port))  # sends nothing
            own = talk.getsockname()[0]
            interfaces = [name for _, name in socket.if_nameindex() if _address_of(talk, name) == own]
        except OSError:
            return  # they find one by themselves
    # Where machine 0 reaches itself it sees the loopback, unless the name given for it is its address outside.
    if interfaces:
        os.environ.update(dict.fromkeys(names, interfaces[0]))


def _address_of(talk: socket.socket, interface: str) -> str | None:
    try:
        found = fcntl.ioctl(talk.fileno(), _SIOCGIFADDR, struct.pack("256s", interface[:15].encode()))
    except OSError:
        return None
    return socket.inet_ntoa(found[20:24])


# What gloo and NCCL say, in words of their own, when the other side is gone or doesn't answer.
_LOST = (
    "connection closed",
    "connection reset",
    "connection refused",
    "broken pipe",
    "timed out",
    "timeout",
    "socket",
    "nccl",
)


def is_lost_connection(error: RuntimeError) -> bool:
    """Whether an error comes from another process's end rather than from this one's work."""
    if isinstance(error, dist.DistError):
        return True
    text = str(error).lower()
    return ("gloo" in text or "nccl" in text or "distributed" in text) and any(word in text for word in _LOST)
