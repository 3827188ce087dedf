from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "errors.missing": "There is no such page",
        "errors.missing_text": "The address may be mistyped, or what it showed has been deleted.",
        "errors.failed": "This page failed",
        "errors.failed_text": "The fault is ours. The terminal where the page was started says what went wrong; your runs go on.",
        "errors.home": "Back to your runs",
        "errors.as_said": "{text}",
    }
)
