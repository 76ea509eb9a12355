// SPDX-License-Identifier: GPL-2.0-or-later
/// What the VGA shows: as text, with colours for a terminal, or as a page.
#include <fmt/format.h>

#include "devices/vga.hpp"
#include "show.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {
using emu::TextScreen;
using json = nlohmann::ordered_json;

/// Code page 437, what a PC's characters look like; 0, blank and FF are blank.
constexpr const char* kLow[32] = {" ", "☺", "☻", "♥", "♦", "♣", "♠", "•", "◘", "○", "◙", "♂", "♀", "♪", "♫", "☼", "►", "◄", "↕", "‼", "¶", "§", "▬", "↨", "↑", "↓", "→", "←", "∟", "↔", "▲", "▼"};
constexpr const char* kHigh[129] = {
  "⌂", "Ç", "ü", "é", "â", "ä", "à", "å", "ç", "ê", "ë", "è", "ï", "î", "ì", "Ä", "Å", "É", "æ", "Æ", "ô", "ö", "ò", "û", "ù", "ÿ", "Ö", "Ü", "¢", "£", "¥", "₧", "ƒ",
  "á", "í", "ó", "ú", "ñ", "Ñ", "ª", "º", "¿", "⌐", "¬", "½", "¼", "¡", "«", "»", "░", "▒", "▓", "│", "┤", "╡", "╢", "╖", "╕", "╣", "║", "╗", "╝", "╜", "╛", "┐",
  "└", "┴", "┬", "├", "─", "┼", "╞", "╟", "╚", "╔", "╩", "╦", "╠", "═", "╬", "╧", "╨", "╤", "╥", "╙", "╘", "╒", "╓", "╫", "╪", "┘", "┌", "█", "▄", "▌", "▐", "▀",
  "α", "ß", "Γ", "π", "Σ", "σ", "µ", "τ", "Φ", "Θ", "Ω", "δ", "∞", "φ", "ε", "∩", "≡", "±", "≥", "≤", "⌠", "⌡", "÷", "≈", "°", "∙", "·", "√", "ⁿ", "²", "■", " "};

std::string glyph(u8 c) {
  if (c < 32) return kLow[c];
  if (c >= 127) return kHigh[c - 127];
  return std::string(1, static_cast<char>(c));
}
bool blank(u16 cell) { return (cell & 0xff) == 0 || (cell & 0xff) == ' ' || (cell & 0xff) == 0xff; }

/// One line without the blanks at its end.
std::string line_text(const TextScreen& s, unsigned row) {
  const u16* cell = &s.cells[std::size_t{row} * s.columns];
  unsigned n = s.columns;
  while (n && blank(cell[n - 1])) --n;
  std::string t;
  for (unsigned k = 0; k < n; ++k) t += glyph(static_cast<u8>(cell[k]));
  return t;
}

unsigned foreground(u8 attribute) { return attribute & 15; }
unsigned background(const TextScreen& s, u8 attribute) { return s.blink ? attribute >> 4 & 7 : attribute >> 4; }

/// ECMA-48 "SGR - Select Graphic Rendition"; its colours have red and blue the other way round.
std::string ansi(const TextScreen& s) {
  static constexpr unsigned kColour[] = {0, 4, 2, 6, 1, 5, 3, 7};
  std::string t;
  for (unsigned row = 0; row < s.rows; ++row) {
    int last = -1;
    for (unsigned column = 0; column < s.columns; ++column) {
      const u16 cell = s.cells[std::size_t{row} * s.columns + column];
      const u8 a = static_cast<u8>(cell >> 8);
      if (a != last) {
        const unsigned f = foreground(a), b = background(s, a);
        t += fmt::format("\x1b[0;{};{}{}m", (f & 8 ? 90 : 30) + kColour[f & 7], (b & 8 ? 100 : 40) + kColour[b & 7], s.blink && a & 0x80 ? ";5" : "");
        last = a;
      }
      t += glyph(static_cast<u8>(cell));
    }
    t += "\x1b[0m\n";
  }
  return t;
}

std::string html(const TextScreen& s) {
  std::string t = "<!DOCTYPE html>\n<meta charset=\"utf-8\"><title>screen</title>\n<pre style=\"font:16px/1.15 monospace;display:inline-block;margin:0\">";
  for (unsigned row = 0; row < s.rows; ++row) {
    int last = -1;
    for (unsigned column = 0; column < s.columns; ++column) {
      const u16 cell = s.cells[std::size_t{row} * s.columns + column];
      const u8 a = static_cast<u8>(cell >> 8);
      const bool here = s.cursor && row == s.cursor_row && column == s.cursor_column;
      const int now = a | (here ? 0x100 : 0);
      if (now != last) {
        u32 f = s.palette[foreground(a)], b = s.palette[background(s, a)];
        if (here) std::swap(f, b);
        t += fmt::format("{}<span style=\"color:#{:06x};background:#{:06x}\">", last < 0 ? "" : "</span>", f, b);
        last = now;
      }
      const std::string g = glyph(static_cast<u8>(cell));
      t += g == "<" ? "&lt;" : g == "&" ? "&amp;" : g;
    }
    t += last < 0 ? "\n" : "</span>\n";
  }
  return t + "</pre>\n";
}

}  // namespace

Shown show_screen(const Look& l, const Words& w) {
  const std::string form = w.empty() ? "text" : w[0];
  if (w.size() > 1 || (form != "text" && form != "ansi" && form != "html")) throw UsageError("screen: text, ansi (colours for a terminal) or html");
  const emu::Vga* vga = l.machine.vga();
  if (!vga) throw UsageError("screen: this platform has no VGA (\"vga\": false)");
  const TextScreen screen = vga->screen();
  Shown s;
  static constexpr const char* kModes[] = {"text", "graphics", "off"};
  s.data["mode"] = kModes[static_cast<unsigned>(screen.mode)];
  if (screen.mode == TextScreen::Mode::graphics) return s.text = "a graphics mode is set; only text is shown\n", s;
  if (screen.mode == TextScreen::Mode::off) return s.text = "the screen is off\n", s;
  s.data["columns"] = screen.columns, s.data["rows"] = screen.rows;
  s.data["cursor"] = {{"shown", screen.cursor}, {"column", screen.cursor_column}, {"row", screen.cursor_row}};
  s.data["blink"] = screen.blink;
  auto palette = json::array(), lines = json::array(), attributes = json::array();
  for (u32 c : screen.palette) palette.push_back(fmt::format("#{:06x}", c));
  for (unsigned row = 0; row < screen.rows; ++row) {
    lines.push_back(line_text(screen, row));
    s.text += lines.back().get<std::string>() + '\n';
    std::string a;
    for (unsigned column = 0; column < screen.columns; ++column) a += fmt::format("{:02x}", screen.cells[std::size_t{row} * screen.columns + column] >> 8);
    attributes.push_back(a);
  }
  s.data["palette"] = palette, s.data["lines"] = lines, s.data["attributes"] = attributes;
  if (form == "ansi") s.text = ansi(screen);
  if (form == "html") s.text = html(screen);
  return s;
}

}  // namespace vt::cli
