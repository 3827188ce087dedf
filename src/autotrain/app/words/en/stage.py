from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "stage.waiting": "Waiting",
        "stage.starting": "Starting",
        "stage.training": "Training",
        "stage.finishing": "Finishing",
        "stage.running": "Running",
        "stage.paused": "Paused",
        "stage.finished": "Finished",
        "stage.interrupted": "Stopped, saved",
        "stage.stopped": "Stopped",
        "stage.failed": "Failed",
        "stage.gone": "Folder missing",
        "stage.unknown": "Unknown",
    }
)
