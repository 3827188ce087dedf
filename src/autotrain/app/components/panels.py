"""Which chart shows which metrics, in which order, with which words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from autotrain.app.words import t

EVAL = "eval_"
ACCURACY = "rewards/accuracies"
# What a row holds beside what is worth a curve.
_NO_CURVES = frozenset({"step", "epoch", "tokens", "seconds", "eval_seconds"})
_ONLY_TRAINING = frozenset({"learning_rate", "grad_norm", "tokens_per_second", "memory_bytes"})
# A panel and its metrics, each with its validation twin; the words are `plot.<panel>` and `plot.<panel>_hint`.
_PANELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "loss": ("loss",),
        "accuracies": ("rewards/accuracies",),
        "margins": ("rewards/margins",),
        "rewards": ("rewards/chosen", "rewards/rejected"),
        "learning_rate": ("learning_rate",),
        "grad_norm": ("grad_norm",),
        "speed": ("tokens_per_second",),
        "memory": ("memory_bytes",),
        "logps": ("logps/chosen", "logps/rejected"),
        "nll": ("nll_loss",),
        "odds": ("log_odds_chosen",),
        "ratio": ("log_odds_ratio",),
        "kl": ("kl",),
    }
)
_FORMATS: Mapping[str, str] = MappingProxyType({"accuracies": "percent", "speed": "whole", "memory": "bytes"})


@dataclass(frozen=True)
class Line:
    """A curve: a metric of a run.  colour, dash: numbers of the palette and of the kinds of line."""

    run: int
    metric: str
    label: str
    colour: int = 0
    dash: int = 0


@dataclass(frozen=True)
class Panel:
    """A chart.  format: number, percent, bytes or whole."""

    id: str
    title: str
    hint: str
    format: str
    lines: Sequence[Line]


def panels_of_run(run: int, metrics: Iterable[str]) -> list[Panel]:
    """A chart for each kind of metric that the run has; training beside validation."""
    found = set(metrics)
    return [
        _panel(name, [_line_of_run(run, metric, at) for at, metric in enumerate(_with_twins(known)) if metric in found])
        for name, known in _kinds(found).items()
    ]


def panels_of_several(runs: Mapping[int, str], metrics: Iterable[str]) -> list[Panel]:
    """A chart for each metric, with a curve a run.  runs: number -> name."""
    found = set(metrics)
    panels: list[Panel] = []
    for name, known in _kinds(found).items():
        for metric in (one for one in _with_twins(known) if one in found):
            lines = [Line(run, metric, label, at, at) for at, (run, label) in enumerate(runs.items())]
            panels.append(_panel(name, lines, metric))
    return panels


def all_metrics() -> list[str]:
    """Names that a run may have, for a page that is open before it has logged any."""
    return [metric for known in _PANELS.values() for metric in _with_twins(known)]


def _kinds(found: set[str]) -> dict[str, tuple[str, ...]]:
    """Panels with metrics among `found`; a metric that isn't known gets a panel of its own."""
    known = {metric for metrics in _PANELS.values() for metric in metrics}
    bases = {metric.removeprefix(EVAL) for metric in found - _NO_CURVES}
    kinds = {name: metrics for name, metrics in _PANELS.items() if bases & set(metrics)}
    return kinds | {metric: (metric,) for metric in sorted(bases - known)}


def _with_twins(metrics: Sequence[str]) -> list[str]:
    return [name for metric in metrics for name in (metric, EVAL + metric)]


def _panel(name: str, lines: Sequence[Line], metric: str = "") -> Panel:
    """metric: of a panel that shows one metric of several runs."""
    is_known = name in _PANELS
    title = t(f"plot.{name}") if is_known else name
    if metric:
        kind = t("plot.validation") if metric.startswith(EVAL) else t("plot.training")
        kind = "" if metric in _ONLY_TRAINING else kind
        part = _part(metric) if is_known and len(_PANELS[name]) > 1 else ""
        title = " – ".join(word for word in (title, part, kind) if word)
    hint = t(f"plot.{name}_hint") if is_known else t("plot.other_hint")
    panel_id = (metric or name).replace("/", "-")
    return Panel(panel_id, title, hint, _FORMATS.get(name, "number"), lines)


def _line_of_run(run: int, metric: str, at: int) -> Line:
    is_validation = metric.startswith(EVAL)
    has_twin = metric.removeprefix(EVAL) not in _ONLY_TRAINING
    kind = t("plot.validation") if is_validation else t("plot.training") if has_twin else t("plot.last")
    part = _part(metric)
    return Line(run, metric, f"{part}, {kind}" if part else kind, colour=at, dash=1 if is_validation else 0)


def _part(metric: str) -> str:
    """Better or worse answer, of metrics that have one curve for each."""
    end = metric.rpartition("/")[2]
    return t(f"plot.{end}") if end in ("chosen", "rejected") else ""
