"""About how long a run in the cloud takes: its operations over what the machine's makers say it does at most.

A rough figure from what is known without running anything, and it names what it assumes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from autotrain.cloud.hardware import Hardware
from autotrain.cloud.model_size import config_here, config_on_hub, num_weights
from autotrain.cloud.upload import TRAIN, SplitFile
from autotrain.config.data_files import HubSplit, locate
from autotrain.hub.client import hub_errors
from autotrain.hub.look import PATIENCE_SECONDS
from autotrain.trainers.clm.params import REFERRING, LLMTrainingParams

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# The day of the figures below, the makers' for dense products.
PEAKS_DATE = "2026-11-28"
# GPU -> 10^12 operations a second in half precision (what a GPU has of fp16 and bf16), and in float32.
_PEAKS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "T4": (65.0, 8.1),
        "L4": (121.0, 30.3),
        "A10G": (70.0, 31.5),
        "L40S": (362.0, 91.6),
        "A100": (312.0, 19.5),
        "H200": (989.0, 67.0),
        "RTX PRO 6000": (504.0, 125.0),
    }
)
_PEAK_OF_CPU = 0.05  # of one vCPU, half a core with vectors of 8 numbers at 3 GHz
# Of that peak a run is assumed to get.
SHARE = 0.3
START_HOURS = 0.2  # installing and loading
BYTES_A_TOKEN = 4.0
# Of a compressed column's bytes.
_PARQUET = 2.0


@dataclass(frozen=True)
class Hours:
    """about: hours from the machine's start until the model is trained, None if that can't be known.

    why: what `about` assumes, or what isn't known.
    """

    about: float | None
    why: str


def hours_here(params: LLMTrainingParams, hardware: Hardware, splits: Sequence[SplitFile]) -> Hours:
    """By what lies on this machine; nobody is asked.  splits: the run's local data, or none."""
    hours = estimate_hours(params, hardware, config_here(params.model), bytes_of_files(splits))
    return hours if hours.about is not None else Hours(None, f"{hours.why}; at the start the hub is asked")


def hours_by_hub(api: "HfApi", params: LLMTrainingParams, hardware: Hardware, splits: Sequence[SplitFile]) -> Hours:
    """The same where the hub may be asked for what isn't here."""
    num_bytes = bytes_of_files(splits) if splits else bytes_on_hub(api, params)
    return estimate_hours(params, hardware, config_on_hub(api, params.model), num_bytes)


def estimate_hours(
    params: LLMTrainingParams, hardware: Hardware, config: Mapping[str, Any] | None, data_bytes: float | None
) -> Hours:
    """config: of the base model.  data_bytes: text that is trained on in one epoch.  None: not known."""
    weights = num_weights(config) if config is not None else None
    if weights is None:
        why = "no config.json of it" if config is None else "its kind isn't one that we can count"
        return Hours(None, f"the size of {params.model} isn't known ({why})")
    if data_bytes is None:
        return Hours(None, f"the size of the data {params.data_path}, split {params.train_split}, isn't known")
    tokens = data_bytes / BYTES_A_TOKEN
    devices = min(params.devices or hardware.num_gpus, hardware.num_gpus) or 1
    peak, precision = _peak(params, hardware)
    operations = tokens * params.epochs * weights * _operations_a_weight(params)
    hours = operations / (devices * peak * 1e12 * SHARE) / 3600 + START_HOURS
    times = f"{devices} x " if devices > 1 else ""
    return Hours(
        hours,
        f"{_count(tokens)} tokens ({BYTES_A_TOKEN:g} bytes of data each) x {params.epochs} "
        f"epoch{'s' if params.epochs > 1 else ''}, {_count(weights)} weights{' with LoRA' if params.peft else ''}, at "
        f"{SHARE:.0%} of {times}{peak:g} TFLOPS ({precision}, by its maker, {PEAKS_DATE}), "
        f"{START_HOURS * 60:.0f} min to start",
    )


def bytes_of_files(splits: Sequence[SplitFile]) -> float | None:
    """Text in the local file that is trained on; None if there is none."""
    train = next((one for one in splits if one.split == TRAIN), None)
    if train is None:
        return None
    return train.num_bytes * (_PARQUET if train.path.suffix.lower() == ".parquet" else 1.0)


def bytes_on_hub(api: "HfApi", params: LLMTrainingParams) -> float | None:
    """Text of the data set's split by its card, or by the one file that is named like it; None if neither tells."""
    where = locate(params.data_path, params.train_split)
    if not isinstance(where, HubSplit):
        return None
    try:
        info = api.dataset_info(where.name, files_metadata=True, timeout=PATIENCE_SECONDS)
    except hub_errors():
        return None  # why is found and told by other checks
    said = _by_card((info.card_data.to_dict() if info.card_data else {}).get("dataset_info"), where)
    if said is not None:
        return said
    files = [file for file in info.siblings or () if where.split in file.rfilename.rpartition("/")[2]]
    known = [file.size * (_PARQUET if file.rfilename.endswith(".parquet") else 1.0) for file in files if file.size]
    return known[0] if len(known) == 1 else None


def _by_card(told: Any, where: HubSplit) -> float | None:
    """told: `dataset_info` of a card, which anybody may have written."""
    configs = _records(told)
    chosen = [one for one in configs if one.get("config_name", "default") == (where.config or "default")]
    if not chosen and len(configs) == 1 and where.config is None:
        chosen = configs
    sizes = [
        split.get("num_bytes") for one in chosen for split in _records(one.get("splits")) if split.get("name") == where.split
    ]
    return float(sizes[0]) if sizes and isinstance(sizes[0], int | float) else None


def _records(told: Any) -> list[dict[str, Any]]:
    """The records in `told`, which may be one, a list, or anything else."""
    several: list[Any] = told if isinstance(told, list) else [told]
    return [one for one in several if isinstance(one, dict)]


def _operations_a_weight(params: LLMTrainingParams) -> int:
    """Of a token: 2 forward, 2 back through the layers, 2 for weights that are trained, 2 more for a reference."""
    return 4 + (0 if params.peft else 2) + (2 if params.trainer in REFERRING else 0)


def _peak(params: LLMTrainingParams, hardware: Hardware) -> tuple[float, str]:
    """10^12 operations a second of one GPU, or of all processors, and their precision."""
    if not hardware.has_gpu:
        return _PEAK_OF_CPU * hardware.num_cpus, "float32 on processors"
    half, full = _PEAKS[hardware.gpu]
    is_half = params.mixed_precision is not None
    return (half, "half precision") if is_half else (full, "float32, as mixed_precision is none")


def _count(number: float) -> str:
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.0f}"
