from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "errors.missing": "没有这个页面",
        "errors.missing_text": "地址可能有误，或者内容已被删除。",
        "errors.failed": "页面出错了",
        "errors.failed_text": "这是程序的问题。启动页面的终端里写明了原因；正在进行的训练不受影响。",
        "errors.home": "返回训练记录",
        "errors.as_said": "程序的原话（英文）：{text}",
    }
)
