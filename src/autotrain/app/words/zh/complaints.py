from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "complaints.whole": "必须是整数。",
        "complaints.number": "必须是数字。",
        "complaints.switch": "必须是 true 或 false。",
        "complaints.text": "必须是文本。",
        "complaints.at_least": "必须至少为 {limit}。",
        "complaints.above": "必须大于 {limit}。",
        "complaints.at_most": "不能超过 {limit}。",
        "complaints.below": "必须小于 {limit}。",
        "complaints.one_of": "必须是其中之一：{allowed}。",
        "complaints.name": "只能用字母、数字和连字符，最多 50 个，以字母或数字开头。",
        "complaints.block_size": "必须是 -1（自动），或至少为 2 的词元数。",
        "complaints.chat_template": "必须是 none、zephyr、chatml 或 tokenizer。",
        "complaints.loss_type": "一个或多个公式，每个只能一次。",
        "complaints.loss_weights": "loss_type 的每个公式都要有一个数字。",
        "complaints.too_long": "此值（{value}）不能大于 {bound}（{limit}）。",
        "complaints.unknown_name": "没有这个名称。",
        "complaints.unknown_name_guess": "没有这个名称；是不是 {guess}？",
    }
)
