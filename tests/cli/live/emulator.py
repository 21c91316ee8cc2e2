"""As much of a terminal as a live view needs, so that tests see what a person would."""

import re

_PARTS = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|\x1b\][^\x1b\x07]*(?:\x07|\x1b\\)|([\x00-\x1f])|([^\x00-\x1f]+)")


class Emulator:
    """Lines that scroll without end, a cursor, and every escape sequence that was not understood."""

    def __init__(self, output: str, width: int = 100):
        self.lines, self.row, self.column = [""], 0, 0
        self.is_cursor_hidden, self.unknown, self.width = False, [], width
        for match in _PARTS.finditer(output):
            number, letter, control, text = match.groups()
            if letter:
                self._sequence(number, letter)
            elif control:
                self._control(control)
            elif text:
                self._write(text)
            else:
                self.unknown.append(match.group())

    def _sequence(self, number, letter):
        if letter == "A":
            self.row = max(self.row - int(number or 1), 0)
        elif letter == "K":
            self.lines[self.row] = ""
        elif letter in "lh" and number == "?25":
            self.is_cursor_hidden = letter == "l"
        elif letter != "m":
            self.unknown.append((number, letter))

    def _control(self, control):
        if control == "\r":
            self.column = 0
        elif control == "\n":
            self._down()
        else:
            self.unknown.append(control)

    def _down(self):
        self.row, self.column = self.row + 1, 0
        self.lines += [""] * (self.row + 1 - len(self.lines))

    def _write(self, text):
        for char in text:
            if self.column == self.width:
                self._down()
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + char + line[self.column + 1 :]
            self.column += 1

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.lines)
