from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "login.title": "Sign in to AutoTrain",
        "login.hint": "Whoever started this page sees the password in the terminal, or chose it.",
        "login.password": "Password",
        "login.button": "Sign in",
        "login.wrong": "That is not the password. Copy it anew from the terminal.",
        "login.too_many": "Too many wrong passwords. Wait a minute, then try again.",
        "login.space_hint": "This page belongs to {owner} on Hugging Face. Signing in opens a tab of its own, where you go on.",
        "login.space_button": "Sign in with Hugging Face",
    }
)
