"""Answers scored by a reward model, read and rendered as in training."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from autotrain import log
from autotrain.base_models import ModelSource
from autotrain.data.columns import column_names
from autotrain.data.lengths import Lengths
from autotrain.data.read import BARE, BadRow, read_rows
from autotrain.data.report import TOO_LONG, RowsReport
from autotrain.data.samples import Source, open_split
from autotrain.data.store import ExampleStore
from autotrain.data.tokenize import tokenize_split
from autotrain.data.tokenizer import load_tokenizer
from autotrain.errors import DataError, ModelError
from autotrain.models.load import model_limit, read_model_config
from autotrain.models.precision import choose_device, choose_precision
from autotrain.models.score import ScorePolicy
from autotrain.output import bases
from autotrain.output.evaluate_reward import wilson_interval
from autotrain.output.scores import scores_of
from autotrain.output.targets import Target, find_target
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.types import Origin, Row

ANSWER_COLUMNS = ("answer", "completion", "response", "output")
_TOKENS_AT_ONCE = 4096
_LONGEST = 2**20  # tokens, for a model that sets no limit
_NUM_PEEKED_ROWS = 100


@dataclass(frozen=True)
class Answers:
    """A file of answers whose form is known: single ones (source.kind "text") or pairs."""

    path: Path
    params: LLMTrainingParams
    source: Source


def open_answers(path: Path, target: Target | None = None) -> Answers:
    """Recognise the columns of a file: prompt and answer, messages, or chosen and rejected (prompt optional).

    target: the model, whose training decides whether prompts are a user's turns.  Raises DataError.
    """
    if not path.is_file():
        raise DataError(f"no file {path}; give a file with answers (.csv, .jsonl, .json, .parquet)")
    columns = column_names(list(islice((row for row in read_rows(path) if isinstance(row, Row)), _NUM_PEEKED_ROWS)))
    fields: dict[str, Any] = {"data_path": str(path), "skip_bad_rows": True, "train_on_prompt": True, "trainer": "sft"}
    if target is not None and target.is_chat is not None:
        fields["chat_template"] = "tokenizer" if target.is_chat else "none"
    is_pairs = "chosen" in columns and "rejected" in columns
    if is_pairs:
        fields["trainer"] = "reward"
    elif answer := next((name for name in ANSWER_COLUMNS if name in columns), None):
        fields |= {"text_column": answer, "prompt_text_column": "prompt"}
    elif BARE not in columns and not {"messages", "conversations", "conversation", "text"} & set(columns):
        raise DataError(
            f"{path}: nothing to score was recognised; columns: {', '.join(columns) or 'none'}. "
            f"Expected prompt and {' or '.join(ANSWER_COLUMNS[:2])}, messages, or prompt, chosen and rejected"
        )
    params = LLMTrainingParams(**fields)
    return Answers(path, params, open_split(params, "train", "pair" if is_pairs else "text"))


def load_scorer(name: str, *, token: str | None = None) -> "Scorer":
    """Load a reward model: a run folder, an adapter, a model folder or a hub id.  Raises ModelError, RunFolderError."""
    target = find_target(name)
    if target.folder is not None and not target.has_scores:
        raise ModelError(f"{name} is no reward model and gives no scores; train one with task: llm-reward")
    config = read_model_config(target.model, token)
    if target.adapter is None and (config.num_labels != 1 or "SequenceClassification" not in str(config.architectures)):
        raise ModelError(f"{name} is no reward model with one score; train one with task: llm-reward")
    device = choose_device()
    precision = choose_precision(LLMTrainingParams(mixed_precision="auto"), device)
    model: Any = bases.load_base(target.model, dtype=precision.compute, token=token, has_scores=True)
    if target.adapter is not None:
        tokenizer = bases.load_tokenizer(target.folder, target.model, token)
        bases.set_pad(model, tokenizer)
        model = bases.attach(model, bases.read_adapter(target.adapter), len(tokenizer))
    policy = ScorePolicy(model.to(device).requires_grad_(False), precision).eval()
    return Scorer(policy, target, model_limit(config) or _LONGEST)


@dataclass(frozen=True)
class Scorer:
    """A reward model at work.  longest: tokens of prompt and answer that it takes."""

    policy: ScorePolicy
    target: Target
    longest: int

    def lines(self, answers: Answers) -> Iterator[dict[str, Any]]:
        """Each row of the file, in order, with its `score`, or `chosen_score` and `rejected_score`; held one at a time.

        A row that can't be scored has a `problem` instead.  Says in the end how many were scored, and of pairs how often
        the chosen answer got the higher score.
        """
        with closing(_Problems()) as problems, closing(self._load(answers, problems)) as store:
            scored = scores_of(self.policy, store, _TOKENS_AT_ONCE)
            tally = _Tally(str(answers.path))
            upcoming = next(scored, None)
            for row in read_rows(answers.path):
                cells = {} if isinstance(row, BadRow) else dict(row.cells)
                cells = cells.get(BARE, cells) if isinstance(cells.get(BARE), dict) else cells
                line: dict[str, Any] = {("messages" if name == BARE else name): cell for name, cell in cells.items()}
                if upcoming is not None and store.origin(upcoming[0]) == row.origin:
                    line |= _scores(upcoming[1]) if row.origin not in problems.of else {}
                    upcoming = next(scored, None)
                if row.origin in problems.of:
                    line |= {"row": str(row.origin), "problem": problems.of[row.origin]}
                tally.add(line)
                yield line
            tally.tell()

    def score(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """As `lines`, for rows at hand: prompt and answer, messages, or prompt, chosen and rejected."""
        with tempfile.TemporaryDirectory(prefix="autotrain-") as folder:
            path = Path(folder) / "answers.jsonl"
            path.write_text("".join(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
            return list(self.lines(open_answers(path, self.target)))

    def _load(self, answers: Answers, problems: "_Problems") -> ExampleStore:
        folder = self.target.folder
        has_tokenizer = folder is not None and (folder / bases.TOKENIZER_CONFIG).is_file()
        source = ModelSource(str(folder)) if has_tokenizer else self.target.model
        loaded = load_tokenizer(answers.params, source, needs_chat=answers.source.is_conversation)
        lengths = Lengths(self.longest, (self.longest,), self.longest)
        return tokenize_split(answers.params, answers.source, loaded, lengths, problems)


def score_file(name: str, path: Path, *, token: str | None = None) -> Iterator[dict[str, Any]]:
    """Load the reward model `name` and score the answers in a file.  Raises UserErrors."""
    answers = open_answers(path, find_target(name))
    yield from load_scorer(name, token=token).lines(answers)


class _Problems(RowsReport):
    """Also keeps, by row, why it isn't scored: a cut answer can't be judged either."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[Origin, str] = {}

    def left_out(self, split: str, origin: Origin, reason: str, detail: str = "") -> None:
        self.of[origin] = detail or reason
        super().left_out(split, origin, reason, detail)

    def cut(self, split: str, origin: Origin, tokens_kept: int, tokens_cut: int) -> None:
        self.of[origin] = f"{TOO_LONG.split()[0]} than the {tokens_kept} tokens that the model takes"
        super().cut(split, origin, tokens_kept, tokens_cut)


def _scores(values: np.ndarray) -> dict[str, float]:
    names: Iterable[str] = ("score",) if len(values) == 1 else ("chosen_score", "rejected_score")
    return {name: float(value) for name, value in zip(names, values, strict=True)}


@dataclass
class _Tally:
    """What is said in the end."""

    name: str
    num_rows: int = 0
    num_problems: int = 0
    num_pairs: int = 0
    num_right: int = 0

    def add(self, line: Mapping[str, Any]) -> None:
        self.num_rows += 1
        self.num_problems += "problem" in line
        if "chosen_score" in line:
            self.num_pairs += 1
            self.num_right += line["chosen_score"] > line["rejected_score"]

    def tell(self) -> None:
        problems = f"; {self.num_problems} could not be, each has a 'problem'" if self.num_problems else ""
        log.info(f"{self.num_rows - self.num_problems} of {self.num_rows} rows of {self.name} are scored{problems}")
        if self.num_pairs:
            low, high = wilson_interval(self.num_right, self.num_pairs)
            log.info(
                f"the chosen answer scores higher in {self.num_right} of {self.num_pairs} pairs: "
                f"accuracy {self.num_right / self.num_pairs:.3f} (95 % interval {low:.3f} to {high:.3f})"
            )
