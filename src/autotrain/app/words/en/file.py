from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "file.one": "One file at a time, please.",
        "file.sending": "Sending…",
        "file.reading": "Reading…",
        "file.failed": "The file didn’t arrive: the connection was lost. Try again.",
        "file.choose": "Choose a file",
        "file.stop": "Cancel",
        "file.large": "The file is larger than {limit}, which is the limit here. Split it, or start the run from the command line, which has no limit.",
    }
)
