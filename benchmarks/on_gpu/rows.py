"""Rows of random token ids, always the same ones: texts, and pairs whose answers share a prompt."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

PAD, END = 0, 1  # ids that no row contains but as padding, and as the end of an answer


@dataclass(frozen=True)
class Row:
    """prompt: not trained on.  answers: one, or the chosen and the rejected one."""

    prompt: Sequence[int]
    answers: Sequence[Sequence[int]]

    @property
    def num_tokens(self) -> int:
        """Tokens without padding, the prompt once."""
        return len(self.prompt) + sum(map(len, self.answers))

    @property
    def sizes(self) -> tuple[int, int, int]:
        """(tokens, targets, keys seen by all tokens together)."""
        before = len(self.prompt)
        seen = _triangle(before) + sum(len(answer) * before + _triangle(len(answer)) for answer in self.answers)
        return self.num_tokens, sum(map(len, self.answers)), seen


def _triangle(length: int) -> int:
    return length * (length + 1) // 2


def make_rows(trainer: str, num_rows: int, vocabulary: int, *, longest: int, seed: int = 0) -> list[Row]:
    """Rows of up to `longest` tokens a path, most of them much shorter, as in chats."""
    draw = random.Random(f"{trainer} {seed}")
    num_answers = 2 if trainer == "dpo" else 1
    rows: list[Row] = []
    for _ in range(num_rows):
        length = min(longest, max(8, int(draw.lognormvariate(0, 0.7) * longest / 3)))
        prompt = max(2, int(length * draw.uniform(0.3, 0.8)))
        lengths = [max(2, int((length - prompt) * draw.uniform(0.6, 1.0))) for _ in range(num_answers)]
        rows.append(Row(_ids(draw, prompt, vocabulary), [[*_ids(draw, size - 1, vocabulary), END] for size in lengths]))
    return rows


def _ids(draw: random.Random, length: int, vocabulary: int) -> list[int]:
    return [draw.randrange(END + 1, vocabulary) for _ in range(length)]
