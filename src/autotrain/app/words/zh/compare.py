from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "compare.title": "比较训练",
        "compare.hint": "可以保存或分享本页的地址：打开后会再次显示同样的训练。",
        "compare.too_few": "需要两到六次训练：请在列表中勾选。",
        "compare.missing": "其中有些训练已不在列表中。",
        "compare.results": "结果",
        "compare.without": "不比较",
        "compare.without_run": "不比较 {name}",
        "compare.steps": "步数",
        "compare.steps_hint": "一步就是对模型的一次改动",
        "compare.loss": "损失",
        "compare.loss_hint": "训练数据上的最后一次，越低越好",
        "compare.eval_loss": "验证损失",
        "compare.eval_loss_hint": "在没有学过的数据上的最好值，越低越好。只有数据和方法相同时才可比较",
        "compare.accuracy": "排序正确的比例",
        "compare.accuracy_hint": "偏好较好回答的比例，最后一次",
        "compare.time": "时间",
        "compare.time_hint": "仅训练步骤",
        "compare.parameters": "不同的设置",
        "compare.all_parameters": "显示全部设置",
        "compare.none_differ": "所有设置都相同。",
        "compare.unknown": "有些训练的设置已无法得知。",
        "compare.curves": "曲线",
        "compare.answers": "示例回答",
        "compare.answer_of": "{name}，第 {step} 步之后",
    }
)
