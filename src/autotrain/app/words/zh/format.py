from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "format.days": "{count} 天",
        "format.hours": "{count} 小时",
        "format.minutes": "{count} 分",
        "format.seconds": "{count} 秒",
        "format.today": "今天 {clock}",
    }
)
