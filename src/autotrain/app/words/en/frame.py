from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "frame.skip": "Skip to the content",
        "frame.nav": "Pages",
        "frame.runs": "Runs",
        "frame.new": "New run",
        "frame.chat": "Try it",
        "frame.settings": "Settings",
        "frame.language": "Language",
        "frame.theme": "Light or dark",
        "frame.to_dark": "Switch to dark",
        "frame.to_light": "Switch to light",
        "frame.signed_in": "Signed in as {name}",
        "frame.logout": "Sign out",
    }
)
