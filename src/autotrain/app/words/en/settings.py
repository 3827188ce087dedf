from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "settings.title": "Settings",
        "settings.look": "Language and look",
        "settings.language": "Language",
        "settings.theme": "Light or dark",
        "settings.theme_system": "As the system",
        "settings.theme_light": "Light",
        "settings.theme_dark": "Dark",
        "settings.token": "Hugging Face",
        "settings.token_hint": "A token is a password that the Hugging Face Hub gave you for programs. It is needed for private models and data, for models that ask you to accept their terms, for uploads, and to rent machines. Without one, everything else works. It stays in this program's memory, and is gone when the page ends.",
        "settings.token_label": "Token",
        "settings.token_use": "Use it",
        "settings.token_forget": "Forget it",
        "settings.token_given": "You act on the Hub as {name}.",
        "settings.token_machine": "This machine has a token of its own (HF_TOKEN, or hf auth login), and it is used.",
        "settings.token_none": "There is no token yet.",
        "settings.token_visitor": "You are signed in as {name}, and act on the Hub under that name.",
        "settings.token_by_sign_in": "here everybody uses the token of their own sign-in",
        "settings.signed_in": "You are signed in with the password of this page.",
        "settings.about": "About this page",
        "settings.version": "Version",
        "settings.workspace": "Folder of runs and data",
        "settings.jobs": "Runs at once",
        "settings.cores": "Processor cores",
        "settings.memory": "Memory",
        "settings.gpus": "Graphics cards",
        "settings.no_gpu": "none found: training uses the processor, which suits small models",
        "settings.independent": "An independent implementation, not affiliated with Hugging Face.",
        "settings.api": "For programmers: the API",
    }
)
