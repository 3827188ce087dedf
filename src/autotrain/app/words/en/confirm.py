from types import MappingProxyType

WORDS = MappingProxyType({"confirm.back": "Back"})
