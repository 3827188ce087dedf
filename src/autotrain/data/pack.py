"""Which rows share a block."""

from collections.abc import Sequence


def pack_lengths(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Best-fit decreasing: put each row, longest first, where the least room is left over.

    Returns groups of indices; each index once, each group's lengths adding up to at most `capacity`.
    Raises ValueError for a length that isn't in 1..capacity.
    """
    for index, length in enumerate(lengths):
        if not 1 <= length <= capacity:
            raise ValueError(f"row {index} has {length} tokens; a block holds 1 to {capacity}")
    blocks: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(capacity + 1)]  # blocks, by the room left in them
    some = 0  # bit `room` says that with_room[room] isn't empty
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        fitting = some >> lengths[index]
        if fitting:
            room = lengths[index] + (fitting & -fitting).bit_length() - 1
            block = with_room[room].pop()
            if not with_room[room]:
                some &= ~(1 << room)
            blocks[block].append(index)
        else:
            room, block = capacity, len(blocks)
            blocks.append([index])
        with_room[room - lengths[index]].append(block)
        some |= 1 << (room - lengths[index])
    return sorted(sorted(block) for block in blocks)
