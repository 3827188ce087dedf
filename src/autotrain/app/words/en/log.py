from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "log.log": "Log of the run",
        "log.search": "Search in the log",
        "log.previous": "Previous",
        "log.next": "Next",
        "log.follow": "Follow the end",
        "log.download": "Download",
        "log.empty": "Nothing has been written yet.",
        "log.none": "Not found",
        "log.found": "Line {line}; found {matches} times",
        "log.unreachable": "The log can't be loaded; try again",
    }
)
