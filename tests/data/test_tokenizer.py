"""Templates and special tokens: what the tokenizer owns is used, what it lacks is added and trained."""

import pytest

from autotrain.base_models import ModelSource
from autotrain.data.templates import BOS, CHATML, check_chat_template
from autotrain.data.tokenizer import load_tokenizer
from autotrain.errors import ConfigError, ModelError
from autotrain.trainers.clm.params import LLMTrainingParams


@pytest.fixture
def load_saved(make_tokenizer, tmp_path):
    """Save a tokenizer with these special tokens and load it with these parameters."""

    def load(special=(), *, bos=None, needs_chat=True, own_template=None, **fields):
        tokenizer = make_tokenizer(special, bos=bos)
        tokenizer.chat_template = own_template
        tokenizer.save_pretrained(tmp_path)
        return load_tokenizer(LLMTrainingParams(**fields), ModelSource(str(tmp_path)), needs_chat=needs_chat), len(tokenizer)

    return load


def test_chatml_uses_the_tokens_that_the_tokenizer_owns(load_saved):
    loaded, size = load_saved(("<|im_start|>", "<|im_end|>"), chat_template="chatml")
    assert (loaded.new_token_ids, len(loaded.tokenizer), loaded.template) == ((), size, "chatml")
    assert loaded.tokenizer.eos_token == "<|im_end|>"
    assert loaded.eos_token_id == loaded.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert loaded.tokenizer.chat_template == CHATML


def test_defect_12_chatml_adds_only_what_is_missing(load_saved):
    loaded, size = load_saved(("<|im_start|>",), chat_template="chatml")
    assert loaded.new_token_ids == (size,)
    assert loaded.tokenizer.convert_ids_to_tokens(size) == "<|im_end|>"
    assert loaded.tokenizer("<|im_end|>", add_special_tokens=False)["input_ids"] == [size]


def test_zephyr_ends_turns_with_the_tokenizers_own_eos_token(load_saved):
    loaded, size = load_saved(chat_template="zephyr")
    assert loaded.new_token_ids == (size, size + 1, size + 2)  # the three tags; </s> is there
    assert loaded.tokenizer.eos_token == "</s>"


def test_plain_text_adds_nothing(load_saved):
    loaded, size = load_saved(needs_chat=False)
    assert (loaded.template, loaded.new_token_ids, len(loaded.tokenizer)) == (None, (), size)
    assert loaded.tokenizer.pad_token == loaded.tokenizer.eos_token == "</s>"


def test_without_a_template_of_its_own_chatml_is_used(load_saved):
    loaded, size = load_saved(chat_template="tokenizer")
    assert loaded.template == "chatml"
    assert loaded.new_token_ids == (size, size + 1)


def test_own_template_tells_which_token_ends_a_turn(load_saved):
    own = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|eot|>' }}{% endfor %}"
    loaded, _ = load_saved(("<|eot|>",), own_template=own)
    eot, eos = loaded.tokenizer.convert_tokens_to_ids(["<|eot|>", "</s>"])
    assert (loaded.template, loaded.eos_token_id, loaded.stop_token_ids) == ("tokenizer", eot, (eot, eos))


def test_jinja_file_is_installed(load_saved, write):
    path = write("my.jinja", "{% for m in messages %}{{ m.role + ': ' + m.content + eos_token }}{% endfor %}")
    loaded, _ = load_saved(chat_template=str(path))
    assert loaded.template == "jinja"
    text = loaded.tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert text == "user: hi</s>"


def test_a_file_that_is_no_jinja_is_refused_with_its_line(load_saved, write):
    path = write("my.jinja", "{% for m in messages %}\n{{ m.content }\n{% endfor %}")
    with pytest.raises(ConfigError, match=r"my\.jinja:2: not valid Jinja: unexpected '}'"):
        load_saved(chat_template=str(path))


def test_bos_is_rendered_once_where_it_is_the_tokenizers_habit(load_saved):
    loaded, _ = load_saved(bos="<s>", chat_template="chatml")
    assert loaded.tokenizer.chat_template == BOS + CHATML
    ids = loaded.tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=True, return_dict=False)
    bos = loaded.tokenizer.bos_token_id
    assert (ids[0], ids.count(bos), loaded.prefix_ids) == (bos, 1, (bos,))


def test_missing_template_file_is_refused():
    params = LLMTrainingParams.model_construct(chat_template="gone.jinja")
    with pytest.raises(ConfigError, match=r"data\.chat_template: no file gone\.jinja"):
        check_chat_template(params)


def test_padding_side_reaches_the_tokenizer(load_saved):
    assert load_saved(padding="left")[0].tokenizer.padding_side == "left"


def test_missing_tokenizer_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match=r"the tokenizer of .* can't be loaded"):
        load_tokenizer(LLMTrainingParams(), ModelSource(str(tmp_path)), needs_chat=False)


def test_embedded_model_owns_all_that_its_template_needs(smollm2):
    assert (smollm2.template, smollm2.new_token_ids, smollm2.prefix_ids) == ("tokenizer", (), ())
    assert smollm2.stop_token_ids == (2,)
