from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "settings.title": "设置",
        "settings.about": "关于",
        "settings.version": "AutoTrain {version}",
        "settings.workspace": "训练记录和数据保存在 {folder}",
    }
)
