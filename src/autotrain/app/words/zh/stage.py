from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "stage.waiting": "排队中",
        "stage.starting": "启动中",
        "stage.training": "训练中",
        "stage.finishing": "收尾中",
        "stage.running": "运行中",
        "stage.paused": "已暂停",
        "stage.finished": "已完成",
        "stage.interrupted": "已停止（已保存）",
        "stage.stopped": "已停止",
        "stage.failed": "失败",
        "stage.gone": "文件夹缺失",
        "stage.unknown": "未知",
    }
)
