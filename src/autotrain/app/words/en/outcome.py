from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "outcome.title": "What came out",
        "outcome.better": "It got better: on data that it didn't learn from, the loss fell from {before} to {after} ({change}).",
        "outcome.worse": "It did not get better: on data that it didn't learn from, the loss went from {before} to {after} ({change}). Try fewer epochs (passes over the data), a lower learning rate, or more data.",
        "outcome.unknown": "The loss on the training data went from {before} (first step) to {after} (last step). Whether it also got better on new questions isn't known: that needs validation data.",
        "outcome.done": "It is done.",
        "outcome.pairs": "In {share} of the validation pairs it prefers the better answer.",
    }
)
