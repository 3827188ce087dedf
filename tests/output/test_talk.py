"""Several answers from one model at once: each the same as alone, whole characters only, and stopped for itself."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autotrain.errors import DataError, ModelError
from autotrain.models.precision import FP32
from autotrain.output.generate import AnswerSettings, LoadedModel, answer, load_base_beside, load_for_generation
from autotrain.output.pieces import Pieces, tidy
from autotrain.output.save import save_result
from autotrain.output.talk import CUT, STOPPED, Question, Reply, Talker

Train = Callable[..., Any]
HOT = AnswerSettings(max_new_tokens=30, temperature=1.5, top_p=0.95)


@pytest.fixture(autouse=True)
def in_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Near ties of a random model would otherwise hang on 16-bit rounding."""
    monkeypatch.setattr("autotrain.models.precision._fast_precision", lambda device: FP32)


@pytest.fixture
def hand_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers take turns after each token, not only after a while."""
    monkeypatch.setattr("autotrain.output.turns._SLICE_SECONDS", 0.0)


def save_run(trained: Any, folder: Path) -> str:
    save_result(trained.policy, trained.loaded, trained.params, trained.source, folder)
    trained.params.save(folder)
    return str(folder)


def ask(text: str, settings: AnswerSettings = HOT, **fields: Any) -> Question:
    return Question([{"role": "user", "content": text}], settings, **fields)


def all_at_once(talker: Talker, questions: list[Question]) -> list[Reply]:
    replies: dict[int, Reply] = {}

    def reply(number: int) -> None:
        replies[number] = talker.reply(questions[number], lambda text: None, threading.Event())

    threads = [threading.Thread(target=reply, args=(number,)) for number in range(len(questions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    return [replies[number] for number in range(len(questions))]


def alone(loaded: LoadedModel, question: Question) -> str:
    torch.manual_seed(question.seed)
    return tidy(answer(loaded, question.messages, question.settings, of_base=question.of_base))


@pytest.mark.usefixtures("hand_round")
@pytest.mark.parametrize("peft", [True, False])
def test_answers_that_take_turns_are_those_of_each_alone(base: Path, train: Train, tmp_path: Path, peft: bool) -> None:
    name = save_run(train(base, peft=peft), tmp_path / "my-run")
    questions = [
        ask("hello", seed=1),
        ask("hello", seed=1, of_base=True),
        ask("hello", seed=2),
        ask("who are you?", AnswerSettings(30), of_base=True),
        ask("who are you?", AnswerSettings(30)),
    ]
    loaded = load_for_generation(name)
    talker = Talker(loaded, lambda: load_base_beside(name, len(loaded.tokenizer)))
    replies = all_at_once(talker, questions)
    expected = [alone(load_for_generation(name, base=True), question) for question in questions]
    assert [reply.text for reply in replies] == expected
    assert len(set(expected)) == len(questions)


def test_an_adapter_needs_no_second_model_for_the_base(base: Path, train: Train, tmp_path: Path) -> None:
    def never() -> Any:
        raise AssertionError("a second model was loaded")

    talker = Talker(load_for_generation(save_run(train(base), tmp_path / "my-run")), never)
    assert all_at_once(talker, [ask("hello", of_base=True)])[0].num_tokens > 0


def test_a_base_that_is_gone_is_named_and_the_tuned_model_answers_on(base: Path, train: Train, tmp_path: Path) -> None:
    name = save_run(train(base, peft=False), tmp_path / "my-run")
    base.rename(tmp_path / "elsewhere")
    loaded = load_for_generation(name)
    talker = Talker(loaded, lambda: load_base_beside(name, len(loaded.tokenizer)))
    with pytest.raises(ModelError, match="isn't known"):
        talker.reply(ask("hello", of_base=True), lambda text: None, threading.Event())
    assert all_at_once(talker, [ask("hello")])[0].num_tokens > 0


def test_a_stop_ends_one_answer_and_keeps_what_was_said(base: Path) -> None:
    talker, stop, said = Talker(load_for_generation(str(base))), threading.Event(), list[str]()

    def on_text(text: str) -> None:
        said.append(text)
        stop.set()

    reply = talker.reply(ask("hello", AnswerSettings(200)), on_text, stop)
    assert reply.reason == STOPPED
    assert 0 < reply.num_tokens < 200
    assert "".join(said).strip() == reply.text
    assert all_at_once(talker, [ask("hello", AnswerSettings(5))])[0].reason == CUT


def test_a_stop_reaches_into_a_step(base: Path) -> None:
    loaded, stop = load_for_generation(str(base)), threading.Event()
    reached: list[int] = []
    talker = Talker(loaded)
    loaded.model.model.layers[0].register_forward_pre_hook(lambda module, inputs: stop.set())
    loaded.model.model.layers[1].register_forward_hook(lambda module, inputs, output: reached.append(1))
    reply = talker.reply(ask("hello"), lambda text: None, stop)
    assert (reply.reason, reply.num_tokens, reached) == (STOPPED, 0, [])


def test_oldest_turns_go_and_then_the_answer_gets_shorter(base: Path, train: Train, tmp_path: Path) -> None:
    loaded = load_for_generation(save_run(train(base), tmp_path / "my-run"))  # takes 256 tokens
    turns = [{"role": role, "content": "a b c d e f " * 6} for role in ("user", "assistant") * 3]
    question = Question([*turns, {"role": "user", "content": "hello"}], AnswerSettings(100), system="a system message")
    reply = all_at_once(Talker(loaded), [question])[0]
    assert reply.num_forgotten in (2, 4)
    assert reply.num_prompt_tokens + 100 <= 256
    longer = all_at_once(Talker(loaded), [ask("a b c d e f " * 14, AnswerSettings(200))])[0]
    assert longer.num_prompt_tokens + longer.num_tokens <= 256
    assert longer.num_tokens < 200


def test_a_message_beyond_the_models_limit_is_refused_with_both_numbers(base: Path) -> None:
    with pytest.raises(DataError, match=r"tokens .* takes 256 at most.*shorten"):
        Talker(load_for_generation(str(base))).reply(ask("a b c d e f " * 400), lambda text: None, threading.Event())


def test_pieces_never_break_a_character(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotrain.output.pieces._INTERVAL_SECONDS", 0.0)
    tokenizer = load_for_generation(str(base)).tokenizer
    text = "你好，世界 😀👩‍🚀 née"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]  # bytes: a character is several tokens
    said: list[str] = []
    pieces = Pieces(tokenizer, said.append)
    for number in range(1, len(ids) + 1):
        pieces.show(ids[:number])
    assert pieces.end(ids) == text
    assert "".join(said) == text
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(said)
    assert len(said) > 10
    cut = Pieces(tokenizer, said.append)
    assert cut.end(tokenizer("ab 你", add_special_tokens=False)["input_ids"][:-1]) == "ab"  # in the midst of a character
