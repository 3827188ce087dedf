from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "complaints.whole": "This must be a whole number.",
        "complaints.number": "This must be a number.",
        "complaints.switch": "This must be true or false.",
        "complaints.text": "This must be text.",
        "complaints.at_least": "This must be at least {limit}.",
        "complaints.above": "This must be larger than {limit}.",
        "complaints.at_most": "This must be at most {limit}.",
        "complaints.below": "This must be smaller than {limit}.",
        "complaints.one_of": "This must be one of: {allowed}.",
        "complaints.name": "Letters, digits and hyphens only, at most 50, beginning with a letter or digit.",
        "complaints.block_size": "This must be -1 (automatic), or a number of tokens of at least 2.",
        "complaints.chat_template": "This must be none, zephyr, chatml or tokenizer.",
        "complaints.loss_type": "One or several of the formulas, each once.",
        "complaints.loss_weights": "Give one number for each formula of loss_type.",
        "complaints.too_long": "This ({value}) must not be larger than {bound} ({limit}).",
        "complaints.unknown_name": "There is nothing of this name.",
        "complaints.unknown_name_guess": "There is nothing of this name; did you mean {guess}?",
    }
)
