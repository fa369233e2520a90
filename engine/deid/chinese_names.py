"""Chinese names written in one piece: where the surname ends, and what stands behind one alone."""

from __future__ import annotations

#: surnames of two characters
_DOUBLE_SURNAMES = frozenset(
    [
        "欧阳", "上官", "司马", "诸葛", "司徒", "皇甫", "尉迟", "公孙", "慕容", "令狐",
        "夏侯", "东方", "端木", "长孙", "宇文", "轩辕", "南宫", "独孤", "申屠", "闻人",
        "赫连", "澹台", "公冶", "宗政", "濮阳", "淳于", "单于", "太叔", "钟离", "闾丘",
        "呼延", "拓跋", "百里", "东郭", "歐陽", "司馬", "諸葛", "尉遲", "公孫", "長孫",
        "獨孤", "鍾離",
    ]
)  # fmt: skip
#: with one of these behind it a surname alone means a person
TITLES = ("先生", "女士", "小姐", "太太", "阿姨", "大爷", "大妈", "奶奶", "爷爷")


def cut_name(full: str) -> tuple[str, str]:
    """Return surname and given name of a name in one piece."""
    size = 2 if full[:2] in _DOUBLE_SURNAMES else 1
    return full[:size], full[size:]
