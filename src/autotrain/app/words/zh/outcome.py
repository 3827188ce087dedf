from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "outcome.title": "结果",
        "outcome.better": "变好了：在没有学过的数据上，损失从 {before} 降到 {after}（{change}）。",
        "outcome.worse": "没有变好：在没有学过的数据上，损失从 {before} 变为 {after}（{change}）。请尝试更少的轮数（遍历数据的次数）、更低的学习率或更多的数据。",
        "outcome.unknown": "训练数据上的损失从 {before}（第一步）变为 {after}（最后一步）。面对新问题是否也变好尚不可知：这需要验证数据。",
        "outcome.done": "已完成。",
        "outcome.pairs": "在 {share} 的验证数据中，它偏好较好的回答。",
    }
)
