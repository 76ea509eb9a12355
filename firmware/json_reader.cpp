// SPDX-License-Identifier: GPL-2.0-or-later
#include "json_reader.hpp"

#include <charconv>
#include <fstream>
#include <sstream>

#include "firmware/models.hpp"

namespace vt::fw {

std::optional<u64> parse_number(const std::string& s) {
  std::string_view t = s;
  int base = 10;
  if (t.starts_with("0x") || t.starts_with("0X")) base = 16, t.remove_prefix(2);
  unsigned shift = 0;
  if (base == 10 && !t.empty()) {
    switch (t.back()) {
      case 'K': case 'k': shift = 10; break;
      case 'M': case 'm': shift = 20; break;
      case 'G': case 'g': shift = 30; break;
      case 'T': case 't': shift = 40; break;
    }
    if (shift) t.remove_suffix(1);
  }
  u64 v = 0;
  auto [end, error] = std::from_chars(t.data(), t.data() + t.size(), v, base);
  if (error != std::errc{} || end != t.data() + t.size() || t.empty()) return {};
  if (shift && v >> (64 - shift)) return {};
  return v << shift;
}

bool parse_devfn(std::string_view s, u8& dev, u8& fn) {
  auto dot = s.find('.');
  if (dot == s.npos) return false;
  auto hex = [](std::string_view t, u8& v) {
    auto [end, error] = std::from_chars(t.data(), t.data() + t.size(), v, 16);
    return error == std::errc{} && end == t.data() + t.size();
  };
  return hex(s.substr(0, dot), dev) && hex(s.substr(dot + 1), fn) && dev < 32 && fn < 8;
}

bool JsonReader::modelled() const {
  const FunctionModel* m = j_.contains("model") && j_["model"].is_string() ? function_model(j_["model"].get<std::string>()) : nullptr;
  return m && m->device && !j_.contains("device");
}

void JsonReader::bdf(const char* k, Bdf& x) {
  if (!has(k)) fail(k, "is missing; write \"00:04.0\"");
  std::string s;
  text(k, s);
  u8 dev = 0, fn = 0;
  auto colon = s.find(':');
  unsigned bus = 0;
  bool ok = colon != s.npos && colon > 0;
  if (ok) {
    auto [end, error] = std::from_chars(s.data(), s.data() + colon, bus, 16);
    ok = error == std::errc{} && end == s.data() + colon && bus < 256 && parse_devfn(std::string_view(s).substr(colon + 1), dev, fn);
  }
  if (!ok) fail(k, "\"{}\" is not a PCI function; write bus:device.function in hexadecimal, as \"00:04.0\"", s);
  x = Bdf(static_cast<u8>(bus), dev, fn);
}

u64 JsonReader::value(const json& e, const std::string& k) const {
  if (e.is_number_unsigned()) return e.get<u64>();
  if (e.is_string())
    if (auto v = parse_number(e.get<std::string>())) return *v;
  fail(k, "{} is not a number; write 4096, \"0x1000\", \"4K\", \"2M\" or \"1G\"", e.dump(-1, ' ', false, json::error_handler_t::replace));
}

json parse_strictly(const std::string& text, const std::string& file) {
  std::vector<std::set<std::string>> seen;
  std::string twice;
  auto watch = [&](int, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) seen.emplace_back();
    if (event == json::parse_event_t::object_end && !seen.empty()) seen.pop_back();
    if (event == json::parse_event_t::key && !seen.empty() && !seen.back().insert(parsed.get<std::string>()).second && twice.empty())
      twice = parsed.get<std::string>();
    return true;
  };
  const auto at = [&](std::size_t byte) {   // counted from 0
    std::size_t line = 1, column = 1;
    for (std::size_t i = 0; i < byte && i < text.size(); ++i)
      if (text[i] == '\n') ++line, column = 1;
      else ++column;
    return fmt::format("line {}, column {}", line, column);
  };
  try {
    json j = json::parse(text, watch);
    if (!twice.empty()) throw PlatformError(file, twice, "is given twice in one object");
    return j;
  } catch (const json::parse_error& e) {
    throw PlatformError(file, at(std::max<std::size_t>(e.byte, 1) - 1), "this is not JSON");
  } catch (const json::out_of_range& e) {   // 1e999; its text has the number in quotes, and not where it is
    const std::string said = e.what();
    const std::size_t from = said.find('\''), to = said.rfind('\'');
    const std::string number = from < to ? said.substr(from + 1, to - from - 1) : std::string{};
    throw PlatformError(file, at(std::min(text.find(number), text.size())), fmt::format("{} is too large for any number", number));
  }
}

std::string read_description(const std::string& file, const char* what) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw PlatformError(file, "file", fmt::format("cannot be opened; give the path of a {}", what));
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad() || !in) throw PlatformError(file, "file", fmt::format("cannot be read; give the path of a {}", what));
  if (text.str().empty()) throw PlatformError(file, "file", "is empty");
  return text.str();
}

}  // namespace vt::fw
