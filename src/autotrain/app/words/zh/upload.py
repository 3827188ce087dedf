from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "upload.empty": "文件是空的，至少需要一行数据。",
        "upload.pdf": "这其实是 PDF，与文件名不符。训练需要表格或文本列表：请把文字复制到 CSV、JSONL 或 TXT 文件中。",
        "upload.excel": "这是 Excel 工作簿。请在 Excel 中选择“文件 → 另存为 → CSV UTF-8”，再拖入保存的文件。",
        "upload.document": "这是办公软件的文档。请另存为纯文本（.txt），或把示例放进表格并保存为 CSV。",
        "upload.packed": "这是压缩包。请先解压，再拖入里面的文件。",
        "upload.picture": "这是图片。只能用文本训练。",
        "upload.arrow": '这是 Arrow 文件。请存为 Parquet：dataset.to_parquet("data.parquet")。',
        "upload.binary": "这不是文本，也不是这里能读取的文件。可用格式：CSV、JSONL、JSON、Parquet、TXT。",
        "upload.web_page": "这是网页，不是数据。如果是从下载链接保存的，请先在那里登录，再下载文件本身。",
        "upload.cut_off": "这个 Parquet 文件不完整，可能下载或复制时中断了。请重新获取。",
        "upload.not_json": "文件名写着 JSON，但内容开头不是 JSON：{start}",
        "upload.one_line": "文件里只有一行。CSV 文件的第一行是列名，之后每行是一条数据。",
        "upload.too_large": "文件超过了这里的上限 {limit} MB。请拆分文件，或用没有上限的命令行开始训练。",
        "upload.disk_full": "这台机器的磁盘空间不足。请删除旧的训练或数据集后再试。",
        "upload.unknown": "没有这个数据集（或已被删除）。请重新拖入文件。",
        "upload.recoded": "原文件编码为 {encoding}，已按此读取并转存为 UTF-8。",
        "upload.separator": "单元格之间用{separator}分隔，已按此读取。",
        "upload.columns_named": "没有名称或重名的列现在叫做：{names}。",
        "upload.no_header": "第一行不像列名，已当作一行数据。各列叫做：{names}。",
        "upload.unwrapped": "数据行在“{inside}”里面找到。",
        "upload.separator_commas": "逗号",
        "upload.separator_semicolons": "分号",
        "upload.separator_tabs": "制表符",
        "upload.separator_bars": "竖线",
    }
)
