"""Text that is a dialogue already: hh-rlhf's, or what some chat template rendered."""

import re

from autotrain.data.messages import Message

_HH_START = re.compile(r"\s*Human:")
_HH_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_HH_ROLES = {"Human": "user", "Assistant": "assistant"}
# What opens an assistant's turn: hh-rlhf, ChatML, Llama 3 and 4, Zephyr and Phi, Gemma, Llama 2 and Mistral, DeepSeek,
# Alpaca, Vicuna.
_HEADERS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:^|\n\n)Assistant:",
        r"<\|im_start\|>assistant\n",
        r"<\|(?:start_header_id|header_start)\|>assistant<\|(?:end_header_id|header_end)\|>\n\n",
        r"<\|assistant\|>\n?",
        r"<start_of_turn>model\n",
        r"\[/INST\]",
        r"<\|Assistant\|>",
        r"### (?:Response|Assistant):\n?",
        r"\bASSISTANT:",
    )
)


def answer_start(text: str) -> int:
    """Where the last answer begins, right after its header; 0 if the text has no header that is known.

    The kind of header that comes first in the text is the one that counts.
    """
    first = [(match.start(), header) for header in _HEADERS if (match := header.search(text))]
    if not first:
        return 0
    _, header = min(first, key=lambda found: found[0])
    return max(match.end() for match in header.finditer(text))


def is_hh(text: str) -> bool:
    """Whether the text is a dialogue as in hh-rlhf: Human: and Assistant: at the beginning of paragraphs."""
    return bool(_HH_START.match(text)) and "\n\nAssistant:" in text


def hh_turns(text: str) -> list[Message]:
    """The turns of a text for which is_hh holds."""
    _, *parts = _HH_TURN.split(text.strip())
    turns: list[Message] = [
        {"role": _HH_ROLES[name], "content": said.strip()} for name, said in zip(parts[::2], parts[1::2], strict=True)
    ]
    return turns


def ends_with_question(text: str) -> bool:
    """Whether a dialogue as in hh-rlhf ends with the human's turn."""
    turns = _HH_TURN.findall(text.strip())
    return is_hh(text) and turns[-1] == "Human"
