from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "login.title": "登录 AutoTrain",
        "login.hint": "密码由启动此页面的人设定，或显示在启动时的终端中。",
        "login.password": "密码",
        "login.button": "登录",
        "login.wrong": "密码不正确。请从终端重新复制。",
        "login.too_many": "密码错误次数过多。请等一分钟后再试。",
        "login.space_hint": "此页面属于 Hugging Face 上的 {owner}。登录会打开新标签页，请在那里继续。",
        "login.space_button": "用 Hugging Face 账号登录",
    }
)
