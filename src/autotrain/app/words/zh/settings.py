from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "settings.title": "设置",
        "settings.look": "语言和外观",
        "settings.language": "语言",
        "settings.theme": "浅色或深色",
        "settings.theme_system": "跟随系统",
        "settings.theme_light": "浅色",
        "settings.theme_dark": "深色",
        "settings.token": "Hugging Face",
        "settings.token_hint": "令牌（token）是 Hugging Face Hub 发给程序使用的密码。使用私有模型和数据、需要先同意条款的模型、上传结果或租用机器时才需要它；其他功能无需令牌。令牌只保存在本程序的内存中，页面程序结束后即消失。",
        "settings.token_label": "令牌",
        "settings.token_use": "使用",
        "settings.token_forget": "清除",
        "settings.token_given": "您在 Hub 上的身份是 {name}。",
        "settings.token_machine": "本机已有令牌（HF_TOKEN 或 hf auth login），将使用它。",
        "settings.token_none": "还没有令牌。",
        "settings.token_visitor": "您已以 {name} 的身份登录，并以此身份使用 Hub。",
        "settings.token_by_sign_in": "在这里，每个人使用自己登录时的令牌",
        "settings.signed_in": "您已用本页面的密码登录。",
        "settings.about": "关于此页面",
        "settings.version": "版本",
        "settings.workspace": "训练记录和数据的文件夹",
        "settings.jobs": "同时进行的训练数",
        "settings.cores": "处理器核心",
        "settings.memory": "内存",
        "settings.gpus": "显卡",
        "settings.no_gpu": "未找到：将使用处理器训练，适合小模型",
        "settings.independent": "独立实现，与 Hugging Face 无关联。",
        "settings.api": "面向程序员：API",
    }
)
