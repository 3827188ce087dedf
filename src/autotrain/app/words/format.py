"""Numbers, sizes, times and durations as a reader writes them."""

import time
from math import isfinite

from autotrain.app.words import CHINESE, language, t

_SIZES = ("B", "KB", "MB", "GB", "TB")


def number(value: float, digits: int = 4) -> str:
    """With `digits` significant ones, and commas between thousands: 1,234,567; 0.1234; 3.2e-05."""
    if not isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"


def size(num_bytes: float) -> str:
    """12.3 MB."""
    for unit in _SIZES[:-1]:
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.3g} {_SIZES[-1]}"


def duration(seconds: float) -> str:
    """The two largest units: 2 h 5 min, 3 min 20 s, 12 s."""
    whole = max(0, round(seconds))
    days, hours, minutes, rest = whole // 86_400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    parts = [(days, "format.days"), (hours, "format.hours"), (minutes, "format.minutes"), (rest, "format.seconds")]
    first = next((at for at, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(t(unit, count=count) for count, unit in parts[first : first + 2] if count or not whole)


def moment(seconds: float) -> str:
    """A time of day today, with the date before.  seconds: since the epoch."""
    then, now = time.localtime(seconds), time.localtime()
    clock = time.strftime("%H:%M", then)
    if then[:3] == now[:3]:
        return t("format.today", clock=clock)
    if language() == CHINESE:
        return f"{then.tm_year}年{then.tm_mon}月{then.tm_mday}日 {clock}"
    return f"{time.strftime('%d %b %Y', then)}, {clock}"
