from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "token.trained": "learnt: the model is trained to write this",
        "token.read": "only read",
    }
)
