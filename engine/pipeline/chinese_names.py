"""Where a Chinese name in one piece is cut: after one character, or a double surname."""

from __future__ import annotations

#: double surnames in use today
_DOUBLE = frozenset(
    """
    欧阳 司马 上官 诸葛 夏侯 东方 皇甫 尉迟 公孙 慕容 令狐 宇文 长孙 司徒 司空
    端木 南宫 独孤 轩辕 澹台 闻人 赫连 呼延 百里 东郭 西门 钟离 申屠 太史 公羊
    公冶 宗政 濮阳 淳于 单于 仲孙 鲜于 闾丘 亓官 司寇 巫马 公西 颛孙 壤驷 公良
    漆雕 乐正 宰父 谷梁 拓跋 夹谷 段干 东门 羊舌 微生 梁丘 左丘 第五 纳兰 万俟
    歐陽 諸葛 東方 尉遲 公孫 長孫 獨孤 軒轅 澹臺 聞人 赫連 東郭 西門 鍾離 濮陽
    單于 仲孫 閭丘 巫馬 樂正 穀梁 東門 納蘭 顓孫 壤駟 司馬
    """.split()  # noqa: SIM905 - a list of eighty quoted words is harder to read
)


def split_chinese_name(name: str) -> tuple[str, str]:
    """
    Return (family, given) of *name*.

    A blank or ``·`` in it cuts it there; a text without Chinese characters is all family name.
    """
    for mark in (" ", "\u3000", "·", "•"):
        if mark in name:
            family, given = name.split(mark, 1)
            return family, given.strip()
    if not name or not "\u3400" <= name[0] <= "\U0003ffff":
        return name, ""
    cut = 2 if len(name) > 2 and name[:2] in _DOUBLE else 1
    return name[:cut], name[cut:]
