from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "token.better": "较好的回答：应当胜出",
        "token.worse": "较差的回答：应当落败",
        "token.trained": "学习：训练模型写出这部分",
        "token.read": "只阅读",
    }
)
