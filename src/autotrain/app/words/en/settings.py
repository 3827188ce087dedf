from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "settings.title": "Settings",
        "settings.about": "About",
        "settings.version": "AutoTrain {version}",
        "settings.workspace": "Runs and data lie in {folder}",
    }
)
