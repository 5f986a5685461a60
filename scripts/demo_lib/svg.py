# SPDX-License-Identifier: Apache-2.0
"""Writes SVG by hand: rectangles, lines, areas, text. No external fonts, its own background."""
from xml.sax.saxutils import escape, quoteattr

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
# Widths of characters differ from font to font; this is enough for the wide ones.
EM_PER_CHARACTER = 0.55


def text_width(text, size):
    return len(text) * size * EM_PER_CHARACTER


class Canvas:
    def __init__(self, width, height, title):
        self._size = width, height
        self._title = title
        self._parts = []

    def add(self, tag, content=None, **attributes):
        given = "".join(f" {name.rstrip('_').replace('_', '-')}={quoteattr(self._number(value))}"
                        for name, value in attributes.items() if value is not None)
        self._parts.append(f"<{tag}{given}/>" if content is None else f"<{tag}{given}>{escape(content)}</{tag}>")

    @staticmethod
    def _number(value):
        return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)

    def hatch(self, name, ink, ground):
        """Defines a hatched fill; use it as `url(#name)`."""
        self._parts.append(
            f'<defs><pattern id="{name}" width="8" height="8" patternUnits="userSpaceOnUse" '
            f'patternTransform="rotate(45)"><rect width="8" height="8" fill="{ground}"/>'
            f'<rect width="2.5" height="8" fill="{ink}"/></pattern></defs>')

    def rect(self, x, y, width, height, fill, **more):
        self.add("rect", x=float(x), y=float(y), width=float(max(width, 0.5)), height=float(height), fill=fill, **more)

    def line(self, x1, y1, x2, y2, stroke, **more):
        self.add("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), stroke=stroke, **more)

    def ticks(self, places, y1, y2, stroke, **more):
        """Draws one upright line at each place."""
        path = "".join(f"M{x:.1f} {y1:.1f}V{y2:.1f}" for x in places)
        if path:
            self.add("path", d=path, stroke=stroke, fill="none", **more)

    def area(self, points, fill, **more):
        self.add("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z", fill=fill, **more)

    def text(self, x, y, text, size=13, fill="#1f2328", **more):
        self.add("text", text, x=float(x), y=float(y), font_size=size, fill=fill, **more)

    def number(self, x, y, number, fill):
        """Draws a numbered dot."""
        self.add("circle", cx=float(x), cy=float(y), r=9.5, fill=fill)
        self.text(x, y + 4, str(number), 11.5, "#ffffff", text_anchor="middle", font_weight=700)

    def document(self):
        width, height = self._size
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
                f'height="{height}" font-family="{FONT}" role="img">\n<title>{escape(self._title)}</title>\n'
                + "\n".join(self._parts) + "\n</svg>\n")
