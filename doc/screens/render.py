"""Makes an SVG of a recorded terminal: its screens one after the other, in light or dark as the reader's system is.

    render.py COLUMNS ROWS TITLE < FRAMES > OUT.svg

FRAMES are lines of JSON: {"at": SECONDS, "rows": ["a row as `tmux capture-pane -e` writes it", ...]}. Each different row
stands once in the file. Where the reader prefers no motion, the last screen stands still.
"""

import html
import json
import re
import sys
import unicodedata

WIDTH, HEIGHT, LEFT, TOP = 8.4, 18, 14, 40
HOLD = 6
COLOURS = {31: "red", 32: "green", 33: "yellow", 34: "blue", 35: "magenta", 36: "cyan"}
STYLE = """
text { font: 14px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; white-space: pre; fill: var(--ink) }
svg { --paper: #ffffff; --edge: #d0d7de; --ink: #1f2328; --red: #cf222e; --green: #1a7f37; --yellow: #7d4e00;
      --blue: #0969da; --magenta: #8250df; --cyan: #0c7075; --dim: #6e7781 }
@media (prefers-color-scheme: dark) {
svg { --paper: #0d1117; --edge: #30363d; --ink: #e6edf3; --red: #ff7b72; --green: #3fb950; --yellow: #d29922;
      --blue: #58a6ff; --magenta: #bc8cff; --cyan: #39c5cf; --dim: #8b949e }
}
.b { font-weight: bold } .d { fill: var(--dim) }
"""


def cells(text):
    """Counts the columns of a text."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def spans(row):
    """Splits a row into (column, text, classes)."""
    column, style, out = 0, {}, []
    for part in re.split(r"(\x1b\[[0-9;]*m)", row):
        if part.startswith("\x1b["):
            for code in (int(code or 0) for code in part[2:-1].split(";")):
                if code == 0:
                    style = {}
                elif code == 1:
                    style["b"] = True
                elif code == 2:
                    style["d"] = True
                elif code == 22:
                    style.pop("b", None), style.pop("d", None)
                elif code == 39:
                    style.pop("ink", None)
                elif code % 60 in COLOURS:
                    style["ink"] = COLOURS[code % 60]
        elif part:
            # Each run of words has its own place: not every viewer keeps blanks.
            for words in re.finditer(r"\S+(?: \S+)*", part):
                out.append((column + cells(part[: words.start()]), words.group(), dict(style)))
            column += cells(part)
    return out


def drawn(row):
    """Writes a row."""
    text = ""
    for column, part, style in spans(row.rstrip()):
        names = " ".join(name for name in ("b", "d") if name in style)
        attributes = f' class="{names}"' if names else ""
        if "ink" in style:
            attributes += f' style="fill: var(--{style["ink"]})"'
        length = f'{cells(part) * WIDTH:.1f}'
        text += (f'<text x="{column * WIDTH:.1f}" textLength="{length}" lengthAdjust="spacingAndGlyphs"{attributes}>'
                 f"{html.escape(part)}</text>")
    return text


def main():
    columns, rows, title = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    frames = [json.loads(line) for line in sys.stdin]
    frames = [frame for at, frame in enumerate(frames) if at == 0 or frame["rows"] != frames[at - 1]["rows"]]
    end = frames[-1]["at"] - frames[0]["at"] + HOLD
    width, height = columns * WIDTH + 2 * LEFT, rows * HEIGHT + TOP + 10
    known, body, style = {}, "", STYLE
    for number, frame in enumerate(frames):
        uses = ""
        for line, row in enumerate(frame["rows"][:rows]):
            if row.strip():
                name = known.setdefault(row, f"r{len(known)}")
                uses += f'<use href="#{name}" y="{line * HEIGHT}"/>'
        begin = (frame["at"] - frames[0]["at"]) / end * 100
        until = 100 if number + 1 == len(frames) else (frames[number + 1]["at"] - frames[0]["at"]) / end * 100
        if len(frames) > 1:
            hidden = "0%{visibility:hidden}" if begin > 0 else ""
            after = f"{until:.3f}%,100%{{visibility:hidden}}" if until < 100 else "100%{visibility:visible}"
            style += (f"@keyframes k{number}{{{hidden}{begin:.3f}%{{visibility:visible}}{after}}}"
                      f"#f{number}{{animation:k{number} {end:.1f}s step-end infinite}}\n")
        body += f'<g id="f{number}" class="f">{uses}</g>\n'
    last = len(frames) - 1
    style += f"@media (prefers-reduced-motion: reduce) {{ .f {{ animation: none !important; visibility: hidden }} #f{last} {{ visibility: visible }} }}\n"
    defs = "".join(f'<g id="{name}">{drawn(row)}</g>\n' for row, name in known.items())
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img">')
    print(f"<title>{html.escape(title)}</title>\n<style>{style}</style>\n<defs>\n{defs}</defs>")
    print(f'<rect x=".5" y=".5" width="{width - 1:.0f}" height="{height - 1:.0f}" rx="8" fill="var(--paper)" stroke="var(--edge)"/>')
    print(f'<text x="{width / 2:.0f}" y="20" text-anchor="middle" class="d">{html.escape(title)}</text>')
    print(f'<g transform="translate({LEFT} {TOP + 4})">\n{body}</g>\n</svg>')


main()
