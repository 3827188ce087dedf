from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "file.one": "请一次只放一个文件。",
        "file.sending": "正在发送…",
        "file.reading": "正在读取…",
        "file.failed": "文件没有送到：连接中断。请重试。",
        "file.choose": "选择文件",
        "file.stop": "取消",
        "file.large": "文件超过这里的上限 {limit}。请拆分文件，或用没有上限的命令行开始训练。",
    }
)
