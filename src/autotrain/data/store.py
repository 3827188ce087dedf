"""Tokenized examples on disk: memory holds a buffer only, however many rows there are."""

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType

import numpy as np

from autotrain.data.records import Column
from autotrain.types import Counts, Example, Origin, Segment

# parent: -1 is none.  targets: trained tokens that something predicts.
_SEGMENT = np.dtype([("start", "<i8"), ("tokens", "<i4"), ("parent", "<i4"), ("sequence", "<i4"), ("targets", "<i4")])
_EXAMPLE = np.dtype(
    [
        ("segment", "<i8"),
        ("segments", "<i4"),
        ("sequences", "<i4"),
        ("margin", "<f8"),
        ("label", "<f8"),
        ("line", "<i8"),
        ("file", "<i4"),
    ]
)
_ID = np.dtype("<i4")
_COLUMNS = MappingProxyType(
    {
        "ids": _ID,
        "trained": np.dtype("?"),
        "segments": _SEGMENT,
        "examples": _EXAMPLE,
        "num_tokens": np.dtype("<i4"),
        "num_trained": np.dtype("<i4"),
    }
)
_pack_segment = struct.Struct("<qiiii").pack
_pack_example = struct.Struct("<qiiddqi").pack
_pack_number = struct.Struct("<i").pack


class ExampleStore:
    """Examples in temporary files without a name: they go away with `close` or with the process, even if it's killed.

    With `folder`, those that `save` wrote there; files: the names of the files that the rows come from, in order.
    """

    def __init__(self, folder: Path | None = None, files: Sequence[str] = (), fingerprint: str | None = None) -> None:
        self._columns = {name: Column(dtype, folder and folder / name) for name, dtype in _COLUMNS.items()}
        self._ids, self._trained = self._columns["ids"], self._columns["trained"]
        self._segments, self._examples = self._columns["segments"], self._columns["examples"]
        self._num_tokens, self._num_trained = self._columns["num_tokens"], self._columns["num_trained"]
        self._files = {file: number for number, file in enumerate(files)}
        self._digest = hashlib.sha256()
        self._fingerprint = fingerprint

    def append(self, example: Example, origin: Origin) -> None:
        """Add an example at the end."""
        if not example.segments or any(len(segment.ids) == 0 for segment in example.segments):
            raise ValueError(f"{origin}: an example needs segments, and each segment tokens")
        first_segment = len(self._segments)
        num_tokens = num_trained = 0
        for segment in example.segments:
            length, targets = len(segment.ids), num_targets(segment)
            ids = np.ascontiguousarray(segment.ids, dtype=np.int32).tobytes()
            trained = np.ascontiguousarray(segment.trained, dtype=np.bool_).tobytes()
            parent = -1 if segment.parent is None else segment.parent
            self._digest.update(b"%d %d %d|" % (length, parent, segment.sequence) + ids + trained)
            self._segments.append(_pack_segment(len(self._ids), length, parent, segment.sequence, targets))
            self._ids.append(ids)
            self._trained.append(trained)
            num_tokens += length
            num_trained += targets
        file = self._files.setdefault(origin.file, len(self._files))
        num_segments, num_sequences = len(example.segments), example.num_sequences
        self._examples.append(
            _pack_example(first_segment, num_segments, num_sequences, example.margin, example.label, origin.line, file)
        )
        self._digest.update(b"%d %r %r\n" % (num_sequences, example.margin, example.label))
        self._num_tokens.append(_pack_number(num_tokens))
        self._num_trained.append(_pack_number(num_trained))

    def append_rows(self, ids: Sequence[np.ndarray], trained: Sequence[np.ndarray], origins: Sequence[Origin]) -> None:
        """Add examples of one segment each: the same as `append` of one after the other, and several times as fast.

        ids: of each (length,) int32, not empty.  trained: of each (length,) bool.
        """
        all_ids, all_trained = np.concatenate(ids), np.concatenate(trained)
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        if not lengths.all():
            raise ValueError(f"{origins[int(np.argmin(lengths))]}: an example needs tokens")
        ends = np.cumsum(lengths)
        starts = ends - lengths
        segments, examples = np.zeros(len(ids), _SEGMENT), np.zeros(len(ids), _EXAMPLE)
        segments["start"], segments["tokens"], segments["parent"] = starts + len(self._ids), lengths, -1
        segments["targets"] = np.add.reduceat(all_trained, starts, dtype=np.int64) - all_trained[starts]
        examples["segment"] = np.arange(len(ids)) + len(self._segments)
        examples["segments"] = examples["sequences"] = 1
        examples["line"] = [origin.line for origin in origins]
        examples["file"] = [self._files.setdefault(origin.file, len(self._files)) for origin in origins]
        raw_ids, raw_trained = all_ids.astype(_ID, copy=False).tobytes(), all_trained.tobytes()
        self._digest.update(
            b"".join(
                b"%d -1 0|%b%b1 0.0 0.0\n" % (end - start, raw_ids[4 * start : 4 * end], raw_trained[start:end])
                for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
            )
        )
        self._ids.append(raw_ids)
        self._trained.append(raw_trained)
        self._segments.append(segments.tobytes())
        self._examples.append(examples.tobytes())
        self._num_tokens.append(segments["tokens"].tobytes())
        self._num_trained.append(segments["targets"].tobytes())

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        (first, num_segments, num_sequences, margin, label, _, _) = self._examples.values[index].item()
        rows = self._segments.values[first : first + num_segments].tolist()
        start, end = rows[0][0], rows[-1][0] + rows[-1][1]
        ids, trained = self._ids.read(start, end), self._trained.read(start, end)
        segments = tuple(
            Segment(
                ids[begin - start : begin - start + length],
                trained[begin - start : begin - start + length],
                None if parent < 0 else parent,
                sequence,
            )
            for begin, length, parent, sequence, _ in rows
        )
        return Example(segments, num_sequences, margin, label)

    def origin(self, index: int) -> Origin:
        """Where the row (of a block: its first row) comes from."""
        record = self._examples.values[index]
        return Origin(self.files[int(record["file"])], int(record["line"]))

    @property
    def files(self) -> tuple[str, ...]:
        """The files that the rows come from."""
        return tuple(self._files)

    @property
    def num_tokens(self) -> np.ndarray:
        """(examples,) int32: tokens of each example."""
        return self._num_tokens.values

    @property
    def num_trained(self) -> np.ndarray:
        """(examples,) int32: predictions that each example is trained on."""
        return self._num_trained.values

    def counts(self, indices: Sequence[int]) -> Counts:
        """The divisors of a loss over these examples, without reading a token."""
        examples, segments = self._examples.values[np.asarray(indices, np.int64)], self._segments.values
        if not len(examples):
            return Counts(0, 0, 0)
        lengths = examples["segments"].astype(np.int64)
        # The numbers of all segments of these examples: from each example's first one on.
        before = np.cumsum(lengths) - lengths
        numbers = np.repeat(examples["segment"] - before, lengths) + np.arange(int(lengths.sum()))
        of_these = segments[numbers]
        by_sequence = np.bincount(of_these["sequence"], weights=of_these["targets"]).astype(np.int64).tolist()
        return Counts(sum(by_sequence), int(examples["sequences"].sum()), len(examples), tuple(by_sequence))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the tokens of all examples, what is trained on, and what the data say about them, in order."""
        return self._fingerprint or self._digest.hexdigest()

    def save(self, folder: Path) -> dict[str, int]:
        """Write everything into files in `folder`, which is there; returns their sizes in bytes."""
        for name, column in self._columns.items():
            column.save(folder / name)
        return {name: len(column) * column.dtype.itemsize for name, column in self._columns.items()}

    @property
    def num_bytes(self) -> int:
        """What `save` would write."""
        return sum(len(column) * column.dtype.itemsize for column in self._columns.values())

    def close(self) -> None:
        """Give the files' space back."""
        for column in self._columns.values():
            column.close()

    def __enter__(self) -> "ExampleStore":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def num_targets(segment: Segment) -> int:
    """Trained tokens that something predicts: nothing predicts the first token of a root."""
    return int(np.count_nonzero(segment.trained if segment.parent is not None else segment.trained[1:]))
