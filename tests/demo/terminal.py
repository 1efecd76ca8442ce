"""What a terminal shows, as a picture."""

from __future__ import annotations

from rich.console import Console

# As rich's own CONSOLE_SVG_FORMAT, but with the viewer's own fonts and none by URL; rich sets each text's length, so columns line up.
SVG = """\
<svg class="rich-terminal" role="img" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <title>{title}</title>
    <style>
    .{unique_id}-matrix {{
        font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
        font-size: {char_height}px;
        line-height: {line_height}px;
    }}
    .{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""


def svg(console: Console, title: str, name: str) -> str:
    """All that was printed on a recording console. ``name`` goes before each class and id, so that two pictures fit into one page."""
    text = console.export_svg(title=title, code_format=SVG.replace("{title}", title), unique_id=name)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
