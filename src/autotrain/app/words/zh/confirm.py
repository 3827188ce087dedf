from types import MappingProxyType

WORDS = MappingProxyType({"confirm.back": "返回"})
