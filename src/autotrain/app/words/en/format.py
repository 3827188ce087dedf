from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "format.days": "{count} d",
        "format.hours": "{count} h",
        "format.minutes": "{count} min",
        "format.seconds": "{count} s",
        "format.today": "today, {clock}",
    }
)
