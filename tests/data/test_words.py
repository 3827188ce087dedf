"""Looking up words gives the ids and the marks that the library gives; where that can't be known, it isn't done."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from autotrain.data.encode import SpanEncoder
from autotrain.data.marked import Encoded, Marked
from autotrain.data.words import WordEncoder, cuts_at_spaces

QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CORPUS = [
    "the quick brown fox jumps over the lazy dog and then the dog sleeps in the warm sun",
    "what is two plus two? it's 4.  yes\n\n  it is\tso, isn't it: f(x) = x + 1;\n    return x",
    "one.\n/two.\n/three\nfour,\nfive;\n\n/six\n",
    "caf\u00e9 cre\u0300me na\u00efve \u4f60\u597d \U0001f600 \u00a0 non-breaking",
]


def make(pre_tokenizer, *, normalizer=None, added=(), **options):
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["</s>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
    fast.add_tokens(list(added))
    return fast


def byte_level(**options):
    return pre_tokenizers.ByteLevel(**{"add_prefix_space": False, **options})


def split(rule, behavior="isolated"):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(rule), behavior), byte_level(use_regex=False)])


GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

KNOWN = {
    "gpt2": lambda: make(byte_level()),
    "digits": lambda: make(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level()])),
    "qwen2": lambda: make(split(QWEN2), normalizer=normalizers.NFC()),
    "overlapping tokens": lambda: make(byte_level(), added=["<|im_start|>x", "x1", "1,", "''"]),
    "gpt4o": lambda: make(split(GPT4O)),
    "llama3": lambda: make(split(QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|"))),
}
odd = " \n\t.,/'x1\0\u00a0\u3000\u0301\u00e9\u4f60\U0001f600\u0300"
longer = ("  ", "\n ", " \n", "<|im_start|>", "<|im_end|>\n", "'s", "</s>", "12345", " fox", "\x1c ", "\r\n", ".\n/")
pieces = st.sampled_from([*CORPUS, *odd, *longer])
texts = st.lists(pieces | st.text(max_size=4), max_size=12).map("".join)


@pytest.fixture(scope="module", params=KNOWN)
def known(request):
    return KNOWN[request.param]()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_ids_and_marks_are_those_of_the_library(known, data):
    assert cuts_at_spaces(known)
    some = []
    for text in data.draw(st.lists(texts, min_size=1, max_size=4)):
        borders = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=4)))
        borders = borders[: len(borders) // 2 * 2]
        some.append(Marked(text, tuple(zip(borders[::2], borders[1::2], strict=True)) or ((0, len(text)),)))
    encoder = SpanEncoder(known)
    words = WordEncoder(known)
    words.encode([Marked("<|im_start|> <|im_end|> x1 </s>", ())])  # from now on these are cut out
    for marked, ours, theirs in zip(some, words.encode(some), encoder._encode_whole(some), strict=True):
        if ours is None:  # a token across a border: the library's pieces are taken
            continue
        assert isinstance(theirs, Encoded)
        assert ours.ids.tolist() == theirs.ids.tolist() == known(marked.text, add_special_tokens=False)["input_ids"]
        assert ours.trained.tolist() == theirs.trained.tolist()


UNKNOWN = {
    "a space put before": lambda: make(byte_level(add_prefix_space=True)),
    "words and spaces together": lambda: make(split(r"\S+ \S+|.")),
    "what is cut is dropped": lambda: make(split(QWEN2, "removed")),
    "nothing cut": lambda: make(byte_level(use_regex=False)),
    "metaspace": lambda: make(pre_tokenizers.Metaspace()),
    "letters changed": lambda: make(byte_level(), normalizer=normalizers.NFKC()),
    "chance": lambda: make(byte_level(), dropout=0.1),
    "a token that takes the space before it": lambda: make(byte_level(), added=[AddedToken("<mask>", lstrip=True)]),
    "a token with a space in it": lambda: make(byte_level(), added=[AddedToken("the end")]),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_tokenizers_are_left_to_the_library(name):
    assert not cuts_at_spaces(UNKNOWN[name]())


def test_text_without_spaces_is_left_to_the_library_from_the_second_window_on():
    encoder = SpanEncoder(KNOWN["gpt2"]())
    texts = [Marked(f"{number:03}" * 50, ((0, 150),)) for number in range(100)]
    encoder.encode(texts)
    assert encoder._words is None


def test_a_lookup_that_disagrees_with_the_library_is_given_up(monkeypatch):
    wrong = Encoded(np.zeros(1, np.int32), np.ones(1, np.bool_))
    monkeypatch.setattr(WordEncoder, "encode", lambda self, texts: [wrong] * len(texts))
    tokenizer = KNOWN["gpt2"]()
    encoder = SpanEncoder(tokenizer)
    (encoded,) = encoder.encode([Marked("the fox", ((0, 7),))])
    assert encoded.ids.tolist() == tokenizer("the fox")["input_ids"]
    assert encoder._words is None


def test_words_are_forgotten_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr("autotrain.data.words._MAX_WORDS", 50)
    tokenizer = KNOWN["gpt2"]()
    encoder = WordEncoder(tokenizer)
    for start in range(0, 400, 40):
        text = " ".join(map(str, range(start, start + 40)))
        (encoded,) = encoder.encode([Marked(text, ((0, len(text)),))])
        assert encoded.ids.tolist() == tokenizer(text)["input_ids"]
    assert len(encoder._words) < 100
