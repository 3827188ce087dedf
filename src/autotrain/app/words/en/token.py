from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "token.better": "better answer: shall come out on top",
        "token.worse": "worse answer: shall lose",
        "token.trained": "learnt: the model is trained to write this",
        "token.read": "only read",
    }
)
