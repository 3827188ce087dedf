"""Which charts a run gets."""

from autotrain.app.components.panels import panels_of_run, panels_of_several

SFT = ("epoch", "loss", "grad_norm", "learning_rate", "tokens", "seconds", "memory_bytes", "tokens_per_second", "step")
PAIRS = ("rewards/accuracies", "rewards/margins", "rewards/chosen", "rewards/rejected")


def ids(panels):
    return [panel.id for panel in panels]


def test_each_kind_of_metric_has_a_chart_and_counters_have_none():
    assert ids(panels_of_run(1, SFT)) == ["loss", "learning_rate", "grad_norm", "speed", "memory"]


def test_validation_is_drawn_beside_training():
    (loss,) = panels_of_run(1, ("loss", "eval_loss", "eval_seconds"))
    assert [(line.metric, line.label, line.dash) for line in loss.lines] == [
        ("loss", "training", 0),
        ("eval_loss", "validation", 1),
    ]


def test_a_run_with_pairs_also_shows_margins_accuracies_and_rewards():
    panels = panels_of_run(1, (*SFT, *PAIRS))
    assert ids(panels)[:4] == ["loss", "accuracies", "margins", "rewards"]
    assert panels[1].format == "percent"
    assert [line.metric for line in panels[3].lines] == ["rewards/chosen", "rewards/rejected"]


def test_a_metric_that_nobody_foresaw_is_shown_too():
    (panel,) = panels_of_run(1, ("surprise",))
    assert panel.title == "surprise" and panel.lines[0].metric == "surprise"


def test_several_runs_share_a_chart_for_each_metric():
    panels = panels_of_several({3: "one", 5: "two"}, ("loss", "eval_loss", "epoch"))
    assert [panel.title for panel in panels] == ["Loss – training", "Loss – validation"]
    assert [(line.run, line.label, line.colour, line.dash) for line in panels[0].lines] == [
        (3, "one", 0, 0),
        (5, "two", 1, 1),
    ]
    assert len({panel.id for panel in panels}) == 2
