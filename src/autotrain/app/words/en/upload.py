from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "upload.empty": "The file is empty. It needs at least one row.",
        "upload.pdf": "This is a PDF, whatever its name says. Training needs a table or a list of texts: copy the text into a CSV, JSONL or TXT file.",
        "upload.excel": "This is an Excel workbook. In Excel choose File → Save as → “CSV UTF-8”, and drop that file.",
        "upload.document": "This is a text document of an office program. Save it as plain text (.txt), or put your examples into a table and save that as CSV.",
        "upload.packed": "This is a packed archive. Unpack it, and drop the file that is inside.",
        "upload.picture": "This is a picture. Only text can be trained on.",
        "upload.arrow": 'This is an Arrow file. Save it as Parquet: dataset.to_parquet("data.parquet").',
        "upload.binary": "This isn't text, and no kind of file that can be read here. Allowed: CSV, JSONL, JSON, Parquet, TXT.",
        "upload.web_page": "This is a web page, not data. If you saved it from a download link, sign in there and download the file itself.",
        "upload.cut_off": "This Parquet file ends too early: the download or the copy was probably cut off. Get it again.",
        "upload.not_json": "The name says JSON, but the text doesn't begin like JSON: {start}",
        "upload.one_line": "There is only one line in this file. A CSV file begins with the names of its columns, and each line after that is a row.",
        "upload.too_large": "The file is larger than {limit} MB, which is the limit here. Split it, or start the run from the command line, which has no limit.",
        "upload.disk_full": "There isn't enough room on the disk of this machine. Delete old runs or data sets, and try again.",
        "upload.unknown": "There is no such data set (any more). Drop the file again.",
        "upload.recoded": "It was written in {encoding}; it is read as such and kept as UTF-8.",
        "upload.separator": "Its cells are separated by {separator}; they are read so.",
        "upload.columns_named": "Columns without a name, or with one that was taken, are now called: {names}.",
        "upload.no_header": "The first line doesn’t look like names of columns, so it is taken for a row. The columns are called: {names}.",
        "upload.unwrapped": "The rows were found inside “{inside}”.",
        "upload.separator_commas": "commas",
        "upload.separator_semicolons": "semicolons",
        "upload.separator_tabs": "tabs",
        "upload.separator_bars": "vertical bars",
    }
)
