"""Sizes as a person would say them."""

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def size_text(num_bytes: int) -> str:
    """Such as `1.2 MB`, in steps of 1000."""
    size, unit = float(num_bytes), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{num_bytes} {_UNITS[0]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
