from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "log.log": "训练日志",
        "log.search": "在日志中搜索",
        "log.previous": "上一个",
        "log.next": "下一个",
        "log.follow": "跟随末尾",
        "log.download": "下载",
        "log.empty": "还没有内容。",
        "log.none": "没有找到",
        "log.found": "第 {line} 行；共找到 {matches} 处",
        "log.unreachable": "日志加载失败，请重试",
    }
)
