# ruff: noqa: E501 (a template line is easier to read whole)
"""Every trained character is proven to be the assistant's, whatever the template does."""

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from autotrain.data.chat import ChatTemplate
from autotrain.data.encode import SpanEncoder
from autotrain.data.marked import Encoded, Marked
from autotrain.data.messages import RowProblem
from autotrain.data.templates import CHATML, ZEPHYR

# Small templates of our own that behave as the known ones do.
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim "
    "+ '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
ALTERNATING = (
    "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}{% set system = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}"
    "{% else %}{% set rest = messages %}{% set system = '' %}{% endif %}"
    "{% for m in rest %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}{{ bos_token + '[INST] ' + (system if loop.first else '') + m.content | trim + ' [/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content | trim + ' ' + eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}{% set role = 'model' if m.role == 'assistant' else m.role %}"
    "{{ '<start_of_turn>' + role + '\n' + m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
# Earlier turns lose their thoughts; the last one always has a block of them.
QWEN3 = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% set said = m.content.split('</think>')[-1].lstrip('\n') %}"
    "{% if loop.last %}{% set thought = m.content.split('</think>')[0].split('<think>')[-1].strip('\n') if '</think>' in m.content else '' %}"
    "{{ '<|im_start|>assistant\n<think>\n' + thought + '\n</think>\n\n' + said }}{% else %}{{ '<|im_start|>assistant\n' + said }}{% endif %}"
    "{{ '<|im_end|>\n' }}{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PHI3 = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
# The prompt opens a thought that the rendering of an answer doesn't have.
R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<|User|>' + m.content }}{% else %}"
    "{{ '<|Assistant|>' + m.content.split('</think>')[-1] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|Assistant|><think>\n' }}{% endif %}"
)
NO_PROMPT = "{% for m in messages %}{{ '### ' + m.role + ': ' + m.content + '\n' }}{% endfor %}"
TOOLS = (
    "{% if tools %}{{ '<|im_start|>system\n# Tools\n' }}{% for t in tools %}{{ t | tojson + '\n' }}{% endfor %}{{ '<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{% if m.role == 'tool' %}{{ '<|im_start|>user\n<tool_response>\n' + m.content + '\n</tool_response><|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content }}{% for c in m.tool_calls or [] %}{{ '\n<tool_call>\n' + c.function | tojson "
    "+ '\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = (
    "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>", "<end_of_turn>",
    "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|User|>", "<|Assistant|>",
)  # fmt: skip

ONE_TURN = [("user", "what is two plus two?"), ("assistant", "four")]
TWO_TURNS = [*ONE_TURN, ("user", "and then?"), ("assistant", "the fox sleeps")]
SYSTEM = [("system", "be brief"), *TWO_TURNS]


def talk(turns: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in turns]


@pytest.fixture
def template_of(make_tokenizer):
    def make(source: str) -> ChatTemplate:
        tokenizer = make_tokenizer(SPECIAL, bos="<s>")
        tokenizer.chat_template = source
        return ChatTemplate(tokenizer)

    return make


def trained(template: ChatTemplate, turns: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> list[str]:
    rendered = template.render_spans(turns, tools or [])
    return [rendered.text[first:last] for first, last in rendered.spans]


@pytest.mark.parametrize(
    ("source", "turns", "expected"),
    [
        (CHATML, SYSTEM, ["four<|im_end|>\n", "the fox sleeps<|im_end|>\n"]),
        (ZEPHYR, SYSTEM, ["four</s>\n", "the fox sleeps</s>\n"]),
        (LLAMA3, SYSTEM, ["four<|eot_id|>", "the fox sleeps<|eot_id|>"]),
        (ALTERNATING, SYSTEM, [" four </s>", " the fox sleeps </s>"]),
        (ALTERNATING, TWO_TURNS, [" four </s>", " the fox sleeps </s>"]),
        (GEMMA, TWO_TURNS, ["four<end_of_turn>\n", "the fox sleeps<end_of_turn>\n"]),
        (QWEN3, TWO_TURNS, ["four<|im_end|>\n", "<think>\n\n</think>\n\nthe fox sleeps<|im_end|>\n"]),
        (PHI3, TWO_TURNS, ["four<|end|>\n", "the fox sleeps<|end|>\n</s>"]),
        (R1, TWO_TURNS, ["four</s>", "the fox sleeps</s>"]),
        (NO_PROMPT, TWO_TURNS, ["### assistant: four\n", "### assistant: the fox sleeps\n"]),
    ],
)
def test_what_follows_the_header_is_trained_on(template_of, source, turns, expected):
    assert trained(template_of(source), talk(turns)) == expected


def test_thoughts_that_the_template_strips_from_earlier_turns_arent_looked_for(template_of):
    turns = talk(
        [
            ("user", "q"),
            ("assistant", "<think>\nold\n</think>\n\nfour"),
            ("user", "q2"),
            ("assistant", "<think>\nnew\n</think>\n\nx"),
        ]
    )
    assert trained(template_of(QWEN3), turns) == ["four<|im_end|>\n", "<think>\nnew\n</think>\n\nx<|im_end|>\n"]


def test_equal_answers_are_told_apart(template_of):
    turns = talk([("user", "four"), ("assistant", "four"), ("user", "four"), ("assistant", "four")])
    for source in (CHATML, QWEN3, PHI3):
        template = template_of(source)
        rendered = template.render_spans(turns)
        assert [rendered.text[a:b].count("four") for a, b in rendered.spans] == [1, 1]
        assert "user" not in "".join(rendered.text[a:b] for a, b in rendered.spans)


def test_a_conversation_may_begin_with_the_assistant(template_of):
    turns = talk([("assistant", "hello there"), ("user", "hi"), ("assistant", "four")])
    for source in (CHATML, LLAMA3):
        assert [text[:4] for text in trained(template_of(source), turns)] == ["hell", "four"]


def test_tool_calls_are_trained_on_and_tool_results_arent(template_of):
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 2}}}
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "add"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "4"},
        {"role": "assistant", "content": "four"},
    ]
    tools = [{"type": "function", "function": {"name": "add"}}]
    template = template_of(TOOLS)
    expected = '\n<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call><|im_end|>\n'
    assert trained(template, template.shown(turns, tools), tools) == [expected, "four<|im_end|>\n"]
    assert '"name": "add"' in template.render(turns, tools).split("<|im_end|>")[0]


def test_tool_calls_become_text_where_the_template_has_no_place_for_them(template_of):
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 2}}}
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "add"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]
    template = template_of(CHATML)
    (text,) = trained(template, template.shown(turns))
    assert json.loads(text.removesuffix("<|im_end|>\n")) == {"name": "add", "arguments": {"a": 2}}


def test_a_role_that_the_template_refuses_gives_its_own_message(template_of):
    with pytest.raises(RowProblem, match=r"the chat template refuses the conversation: no system role"):
        template_of(GEMMA).render_spans(talk(SYSTEM))
    with pytest.raises(RowProblem, match=r"roles must alternate"):
        template_of(ALTERNATING).render_spans(talk([*ONE_TURN, ("assistant", "again")]))


def test_what_cant_be_proven_stops(template_of):
    shuffling = "{% for m in messages | reverse %}{{ m.content }}{% endfor %}{{ messages | length }}"
    with pytest.raises(RowProblem, match=r"it can't be proven which part .*message 4.*train_on_prompt: true"):
        template_of(shuffling).render_spans(talk(TWO_TURNS))


def test_an_assistant_turn_that_leaves_no_trace_stops(template_of):
    users_only = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    with pytest.raises(RowProblem, match=r"it can't be proven"):
        template_of(users_only).render_spans(talk(ONE_TURN))


@pytest.mark.parametrize("source", [CHATML, ZEPHYR, LLAMA3, ALTERNATING, GEMMA, QWEN3, PHI3, R1, NO_PROMPT])
@pytest.mark.parametrize(
    "turns", [ONE_TURN, TWO_TURNS, [("user", "é 漢 🦊"), ("assistant", "  🦊 é\n\n"), ("user", "x"), ("assistant", "漢")]]
)
def test_ids_are_those_of_apply_chat_template_and_the_trained_ones_decode_to_the_spans(make_tokenizer, source, turns):
    tokenizer = make_tokenizer(SPECIAL, bos="<s>")
    tokenizer.chat_template = source
    template = ChatTemplate(tokenizer)
    rendered = template.render_spans(talk(turns))
    (encoded,) = SpanEncoder(tokenizer).encode([Marked(rendered.text, rendered.spans)])
    assert isinstance(encoded, Encoded)
    assert tokenizer.decode(encoded.ids[encoded.trained]) == "".join(rendered.text[a:b] for a, b in rendered.spans)
    assert tokenizer.decode(encoded.ids) == rendered.text
    if source != NO_PROMPT:  # there a space is cut off the answer, so that ids differ
        whole = tokenizer.apply_chat_template(talk(turns), tokenize=True, return_dict=False)
        assert encoded.ids.tolist() == whole


def test_a_token_across_a_border_is_cut_there(tokenizer):
    text = "answer: the fox"
    start = text.index("the")  # " the" is one token
    assert len(tokenizer(" the")["input_ids"]) == 1
    (encoded,) = SpanEncoder(tokenizer).encode([Marked(text, ((start, len(text)),))])
    assert isinstance(encoded, Encoded)
    assert tokenizer.decode(encoded.ids[~encoded.trained]) == "answer: "
    assert tokenizer.decode(encoded.ids[encoded.trained]) == "the fox"


def test_no_trained_token_is_on_both_sides_of_a_border_for_any_border(tokenizer):
    text = "the quick  brown 🦊 fox\n\njumps é"
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            (encoded,) = SpanEncoder(tokenizer).encode([Marked(text, ((start, end),))])
            assert isinstance(encoded, Encoded)
            assert tokenizer.decode(encoded.ids[encoded.trained]) == text[start:end]


def test_templates_of_our_own_render_the_contracts_strings(template_of):
    turns = talk([("system", "S"), ("user", "U"), ("assistant", "A"), ("tool", "T")])
    assert template_of(CHATML).render(turns, prompt=True) == (
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
        "<|im_start|>tool\nT<|im_end|>\n<|im_start|>assistant\n"
    )
    assert template_of(ZEPHYR).render(turns, prompt=True) == (
        "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\nA</s>\n<|assistant|>\n"
    )
    assert not re.search("system", template_of(ZEPHYR).render(talk(ONE_TURN)))


@pytest.mark.parametrize("source", [CHATML, ALTERNATING])
def test_sentencepiece_like_tokenizers_give_the_same_ids_as_at_inference(source):
    tokenizer = metaspace_tokenizer()
    tokenizer.chat_template = source
    rendered = ChatTemplate(tokenizer).render_spans(talk(TWO_TURNS))
    (encoded,) = SpanEncoder(tokenizer).encode([Marked(rendered.text, rendered.spans)])
    assert isinstance(encoded, Encoded)
    assert encoded.ids.tolist() == tokenizer.apply_chat_template(talk(TWO_TURNS), tokenize=True, return_dict=False)
    pieces = [rendered.text[a:b] for a, b in rendered.spans]
    assert tokenizer.decode(encoded.ids[encoded.trained]) == "".join(pieces).lstrip()


def metaspace_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = [AddedToken(name, special=True, normalized=False) for name in ("<unk>", "<s>", "</s>", *SPECIAL)]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special + [f"<0x{byte:02X}>" for byte in range(256)], show_progress=False
    )
    tokenizer.train_from_iterator(["the quick brown fox [INST] what is two [/INST] four"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


class WithoutOffsets:
    """A tokenizer that is slow: it knows ids, and not where they stand in the text."""

    is_fast = False

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self.decode = tokenizer.decode

    def __call__(self, text: str, **options: Any) -> Any:
        assert "return_offsets_mapping" not in options
        return self._tokenizer(text, **options)


def test_tokenizers_without_offsets_are_given_the_pieces(tokenizer):
    tokenizer.chat_template = CHATML
    rendered = ChatTemplate(tokenizer).render_spans(talk(SYSTEM))
    marked = Marked(rendered.text, rendered.spans)
    (fast,) = SpanEncoder(tokenizer).encode([marked])
    (slow,) = SpanEncoder(WithoutOffsets(tokenizer)).encode([marked])
    assert isinstance(fast, Encoded) and isinstance(slow, Encoded)
    assert slow.ids.tolist() == fast.ids.tolist()
    assert slow.trained.tolist() == fast.trained.tolist()


words = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(lambda text: text.strip())


@pytest.mark.parametrize("source", [CHATML, LLAMA3, ALTERNATING, GEMMA, QWEN3, PHI3, R1])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(says=st.lists(words, min_size=2, max_size=6).filter(lambda says: len(says) % 2 == 0))
def test_whatever_is_said_each_span_holds_the_answer_and_no_question(template_of, source, says):
    turns = [("assistant" if number % 2 else "user", f"<<{number}>>{text}") for number, text in enumerate(says)]
    spans = trained(template_of(source), talk(turns))
    assert len(spans) == len(says) // 2
    for number, span in enumerate(spans):
        assert turns[2 * number + 1][1].strip() in span
        assert re.findall(r"<<(\d+)>>", span) == re.findall(r"<<(\d+)>>", turns[2 * number + 1][1])


anything = st.text(max_size=12) | st.sampled_from(["", " ", "\n a\n ", "<|im_end|>", "</think>", "{{ x }}", "assistant\n"])


@pytest.mark.parametrize("source", [CHATML, ZEPHYR, LLAMA3, ALTERNATING, GEMMA, QWEN3, PHI3, R1, NO_PROMPT, TOOLS])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=st.lists(st.tuples(st.sampled_from(["user", "assistant", "system"]), anything), min_size=1, max_size=5))
def test_a_template_taken_apart_gives_what_rendering_gives(template_of, source, turns):
    """Its plain twin is the proof by rendering again."""
    template, messages = template_of(source), talk(turns)

    def outcome(ask):
        try:
            return ask()
        except RowProblem as problem:
            return problem.detail

    assert outcome(lambda: template.render_text(messages)) == outcome(lambda: template.render(messages))
    assert outcome(lambda: template.render_spans(messages)) == outcome(lambda: template._prove_spans(messages, ()))
    if turns[-1][0] == "assistant":
        assert outcome(lambda: template.render_answer(messages)) == outcome(lambda: template._prove_answer(messages, ()))
