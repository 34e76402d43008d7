"""Draws docs/src/demo.svg, a picture of a terminal, from what the demo really prints.

Usage: tycho demo --dir DIR | docs/make_demo_picture.py > docs/src/demo.svg

The picture shows the demo's last overwrite, the partitions before and after, and the beginning of the answer.
"""

import html
import re
import sys

WIDTH_CHARACTERS = 118
LINE_PX, CHARACTER_PX, MARGIN_PX, TITLE_PX = 17, 7.8, 16, 34
PLAIN, DIM, GREEN, CYAN = "#d8dee9", "#7b8494", "#a3be8c", "#88c0d0"


def excerpt(text):
    """The lines to show: from the story of the late rows on, long tables shortened."""
    lines = [line.rstrip() for line in text.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith("━━") and "Late" in line)
    shown, rows = [], 0
    for line in lines[start:]:
        # A table's rows: keep the first seven.
        row = re.match(r"^ \S.* \| ", line) is not None
        rows = rows + 1 if row else 0
        if rows > 9:
            if rows == 10:
                shown.append(" …")
            continue
        if not line and shown and not shown[-1]:
            continue
        shown.append(line)
        if line.startswith("The lake is in"):
            shown.pop()
            break
    return [line[:WIDTH_CHARACTERS] for line in shown]


def colour(line):
    if line.startswith("━━"):
        return CYAN
    if re.match(r"^Time:|^\(\d+ rows?\)|^[-+]+$", line):
        return DIM
    return PLAIN


def draw(lines):
    width = round(WIDTH_CHARACTERS * CHARACTER_PX + 2 * MARGIN_PX)
    height = TITLE_PX + len(lines) * LINE_PX + MARGIN_PX
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        'aria-label="A terminal that shows the demo">',
        f'<rect width="{width}" height="{height}" rx="8" fill="#20242c"/>',
    ]
    out += [f'<circle cx="{20 + 18 * n}" cy="18" r="5.5" fill="{fill}"/>' for n, fill in enumerate(("#bf616a", "#ebcb8b", "#a3be8c"))]
    out.append('<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="13" xml:space="preserve">')
    for number, line in enumerate(lines):
        y = TITLE_PX + (number + 1) * LINE_PX - 4
        prompt = re.match(r"^tycho[=-]> ", line)
        if prompt:
            body = f'<tspan fill="{DIM}">{html.escape(prompt.group())}</tspan><tspan fill="{GREEN}">{html.escape(line[prompt.end():])}</tspan>'
        else:
            body = f'<tspan fill="{colour(line)}">{html.escape(line)}</tspan>'
        if line:
            out.append(f'<text x="{MARGIN_PX}" y="{y}">{body}</text>')
    out.append("</g>\n</svg>")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    sys.stdout.write(draw(excerpt(sys.stdin.read())))
