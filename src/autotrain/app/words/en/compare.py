from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "compare.title": "Compare runs",
        "compare.hint": "The address of this page can be kept or passed on: it shows the same runs again.",
        "compare.too_few": "There must be two to six runs: tick them in the list.",
        "compare.missing": "Some of these runs are no longer in the list.",
        "compare.results": "What came out",
        "compare.without": "leave out",
        "compare.without_run": "Leave out {name}",
        "compare.steps": "Steps",
        "compare.steps_hint": "One step is one change of the model",
        "compare.loss": "Loss",
        "compare.loss_hint": "On the training data, last; lower is better",
        "compare.eval_loss": "Validation loss",
        "compare.eval_loss_hint": "On data it didn't learn from, best; lower is better. Only comparable with the same data and method",
        "compare.accuracy": "Pairs ranked right",
        "compare.accuracy_hint": "How often it prefers the better answer, last",
        "compare.time": "Time",
        "compare.time_hint": "Of the training steps alone",
        "compare.parameters": "Settings that differ",
        "compare.all_parameters": "Show all settings",
        "compare.none_differ": "All settings are the same.",
        "compare.unknown": "The settings of some runs aren't known any more.",
        "compare.curves": "Curves",
        "compare.answers": "Sample answers",
        "compare.answer_of": "{name}, after step {step}",
    }
)
