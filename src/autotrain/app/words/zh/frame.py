from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "frame.skip": "跳到正文",
        "frame.nav": "页面",
        "frame.runs": "训练记录",
        "frame.new": "新建训练",
        "frame.chat": "试用模型",
        "frame.settings": "设置",
        "frame.language": "语言",
        "frame.theme": "浅色或深色",
        "frame.to_dark": "切换到深色",
        "frame.to_light": "切换到浅色",
        "frame.signed_in": "已登录：{name}",
        "frame.logout": "退出登录",
    }
)
