from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "talk.waiting": "训练“{name}”还没有完成。训练结束后就可以和它的模型对话。",
        "talk.cloud": "训练“{name}”是在云端进行的，结果不在这台机器上，而在 Hugging Face Hub 上。",
        "talk.gone": "“{name}”已经不在了：它的文件夹被删除或移走了。",
        "talk.link": "“{name}”不能使用：{file} 是一个指向训练文件夹之外的链接；请把文件本身放在那里。",
        "talk.unfinished": "训练“{name}”还没有模型：它在保存模型之前就结束了。请继续训练。",
        "talk.no_base": "不知道“{name}”是由哪个模型训练出来的，所以没有可以对比的模型。",
        "talk.base_gone": "找不到“{name}”所用的基础模型 {base}。请把它放回原处，然后再试。",
        "talk.memory": "内存不够运行“{name}”：大约需要 {needed} GB，现在只有 {free} GB 可用。请关闭其他程序，或等训练结束后再试。",
        "talk.killed": "系统结束了模型的进程，多半是因为内存不足。请关闭其他程序，然后再问一次。",
        "talk.crashed": "模型的进程意外结束了。再问一次会重新启动它。它最后说：{reason}",
        "talk.put_away": "模型已被收起，以便释放内存，或者因为它的文件有了变化。再问一次会重新载入。",
        "talk.busy": "同时向“{name}”提的问题太多了。请等其中一些回答完。",
        "talk.failed": "没有成功：{reason}",
        "talk.writes": "“{name}”只写回答，不打分。打分要用奖励模型。",
        "talk.scores": "“{name}”是奖励模型：它给回答打分，自己不写回答。",
    }
)
