"""Tokenized examples on disk: memory holds offsets only, however many rows there are."""

import tempfile
import weakref
from array import array
from types import TracebackType
from typing import IO

import numpy as np

from autotrain.types import Example, Origin, Segment


class ExampleStore:
    """Examples in temporary files without a name: they go away with `close` or with the process, even if it's killed."""

    def __init__(self) -> None:
        self._ids_file, self._trained_file = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        self._finish = weakref.finalize(self, _close, self._ids_file, self._trained_file)
        self._ids: np.ndarray | None = None
        self._trained: np.ndarray | None = None
        self._token_starts = array("q", [0])  # per segment, and the end
        self._parents = array("i")  # per segment; -1 is none
        self._sequences = array("i")
        self._segment_starts = array("q", [0])  # per example, and the end
        self._num_sequences = array("i")
        self._num_trained = array("i")
        self._margins = array("d")
        self._labels = array("d")
        self._files: dict[str, int] = {}
        self._origin_files = array("i")
        self._origin_lines = array("q")

    def append(self, example: Example, origin: Origin) -> None:
        """Add an example at the end."""
        if not example.segments or any(len(segment.ids) == 0 for segment in example.segments):
            raise ValueError(f"{origin}: an example needs segments, and each segment tokens")
        for segment in example.segments:
            self._ids_file.write(np.ascontiguousarray(segment.ids, dtype=np.int32).tobytes())
            self._trained_file.write(np.ascontiguousarray(segment.trained, dtype=np.bool_).tobytes())
            self._token_starts.append(self._token_starts[-1] + len(segment.ids))
            self._parents.append(-1 if segment.parent is None else segment.parent)
            self._sequences.append(segment.sequence)
        self._segment_starts.append(len(self._parents))
        self._num_sequences.append(example.num_sequences)
        self._num_trained.append(sum(num_targets(segment) for segment in example.segments))
        self._margins.append(example.margin)
        self._labels.append(example.label)
        self._origin_files.append(self._files.setdefault(origin.file, len(self._files)))
        self._origin_lines.append(origin.line)
        self._ids = self._trained = None

    def __len__(self) -> int:
        return len(self._num_sequences)

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        ids, trained = self._map()
        segments: list[Segment] = []
        for number in range(self._segment_starts[index], self._segment_starts[index + 1]):
            start, end = self._token_starts[number], self._token_starts[number + 1]
            parent = self._parents[number]
            segments.append(
                Segment(
                    np.array(ids[start:end]),
                    np.array(trained[start:end]),
                    None if parent < 0 else parent,
                    self._sequences[number],
                )
            )
        return Example(tuple(segments), self._num_sequences[index], self._margins[index], self._labels[index])

    def origin(self, index: int) -> Origin:
        """Where the row (of a block: its first row) comes from."""
        files = list(self._files)
        return Origin(files[self._origin_files[index]], self._origin_lines[index])

    @property
    def num_tokens(self) -> np.ndarray:
        """(examples,) int32: tokens of each example."""
        token_starts = np.frombuffer(self._token_starts, dtype=np.int64)[np.frombuffer(self._segment_starts, dtype=np.int64)]
        return np.diff(token_starts).astype(np.int32)

    @property
    def num_trained(self) -> np.ndarray:
        """(examples,) int32: predictions that each example is trained on."""
        return np.array(self._num_trained, dtype=np.int32)

    def close(self) -> None:
        """Give the files' space back."""
        self._ids = self._trained = None
        self._finish()

    def __enter__(self) -> "ExampleStore":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _map(self) -> tuple[np.ndarray, np.ndarray]:
        if self._ids is None or self._trained is None:
            self._ids_file.flush()
            self._trained_file.flush()
            self._ids = np.memmap(self._ids_file, dtype=np.int32, mode="r")
            self._trained = np.memmap(self._trained_file, dtype=np.bool_, mode="r")
        return self._ids, self._trained


def _close(*files: IO[bytes]) -> None:
    for file in files:
        file.close()


def num_targets(segment: Segment) -> int:
    """Trained tokens that something predicts: nothing predicts the first token of a root."""
    return int(np.count_nonzero(segment.trained if segment.parent is not None else segment.trained[1:]))
