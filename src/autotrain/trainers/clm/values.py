"""How a parameter's value is read from what a user may write for it; faults are ValueErrors, which pydantic reports."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from autotrain.config.base import nearest
from autotrain.trainers.clm.names import ASKED_FAST_PATHS, FAST_PATHS


def field(default: Any, help: str, *, group: str, trainers: tuple[str, ...] = (), unit: str = "", **limits: Any) -> Any:
    """A pydantic field; `trainers` empty means all of them use it."""
    extra: dict[str, Any] = {"group": group}
    if trainers:
        extra["trainers"] = list(trainers)
    if unit:
        extra["unit"] = unit
    return Field(default, description=help, json_schema_extra=extra, **limits)


def _none_if_said(value: Any) -> Any:
    """`none`, `null`, `no` and an empty string mean None, as in AutoTrain's page; YAML reads a bare `no` as False."""
    if value is False:
        return None
    return None if isinstance(value, str) and value.strip().lower() in ("none", "null", "no", "") else value


def _lower(value: Any) -> Any:
    if value is False:
        return "no"  # YAML reads a bare `no` so
    return value.strip().lower() if isinstance(value, str) else value


def _block_size(value: Any) -> Any:
    """One size, or several: a list, or text such as "256,512"."""
    if isinstance(value, str) and "," in value:
        value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple):
        try:
            return sorted({int(size) for size in value})
        except (TypeError, ValueError):
            raise ValueError("must be a number of tokens, or a list of them") from None
    return value


def _listed(value: Any) -> Any:
    """Text such as "0.8,0.2" as a list of its parts, and a number as a list of one."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [value] if isinstance(value, int | float) else value


def _one_or_several(value: Any) -> Any:
    """A name, or several: a list, or text such as "sigmoid,ipo"."""
    names = [name.strip().lower() if isinstance(name, str) else name for name in _listed(value) or ()]
    return names[0] if len(names) == 1 else names


def _joined(value: Any) -> Any:
    """A list of names as text with commas between."""
    if value is False:
        return "none"
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
        return ",".join(value)
    return value


Optional = BeforeValidator(_none_if_said)
Lower = BeforeValidator(_lower)
Finite = Annotated[float, Field(allow_inf_nan=False)]
Sizes = BeforeValidator(_block_size)
Joined = BeforeValidator(_joined)
Listed = BeforeValidator(_listed)
OneOrSeveral = BeforeValidator(_one_or_several)


def known(name: str, names: frozenset[str], short: Mapping[str, str] = MappingProxyType({})) -> str:
    """`name` in its full form.  short: other spellings of names."""
    name = name.strip().lower()
    name = short.get(name, name)
    if name not in names:
        guess = nearest(name, names)
        hint = f"did you mean '{guess}'?" if guess else f"allowed: {', '.join(sorted(names))}"
        raise ValueError(f"no such name; {hint}")
    return name


def fast_path_names(value: str) -> frozenset[str]:
    """The names that a checked `fast_paths` switches on."""
    if value == "auto":
        return frozenset(FAST_PATHS)
    return frozenset() if value == "none" else frozenset(value.split(","))


def joined_fast_paths(value: str) -> str:
    """auto, none, or known names with commas between and nothing else.  Raises ValueError for any other."""
    names = [part.strip().lower() for part in value.split(",") if part.strip()]
    if names in (["auto"], ["none"]):
        return names[0]
    known = (*FAST_PATHS, *ASKED_FAST_PATHS)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"must be auto, none, or of {', '.join(known)} with commas between")
    return ",".join(name for name in known if name in names)
