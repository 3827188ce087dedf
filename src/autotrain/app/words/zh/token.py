from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "token.trained": "学习：训练模型写出这部分",
        "token.read": "只阅读",
    }
)
