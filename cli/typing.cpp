// SPDX-License-Identifier: GPL-2.0-or-later
#include "typing.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "text.hpp"
#include "verbs.hpp"

namespace vt::cli {
namespace {
constexpr const char* kStop = "--type";
}  // namespace

std::string parse_keys(std::string_view s, std::string_view option) {
  std::string keys;
  for (std::size_t n = 0; n < s.size(); ++n) {
    const char c = s[n];
    if (c == '^') {
      const char of = n + 1 < s.size() ? static_cast<char>(s[n + 1] >= 'a' && s[n + 1] <= 'z' ? s[n + 1] - 32 : s[n + 1]) : '\0';
      if (of == '?') keys += '\x7f';
      else if (of >= '@' && of <= '_') keys += static_cast<char>(of - '@');
      else throw UsageError(fmt::format("{}: '^' has to be followed by the letter of a control character (^A); write \\^ for the sign itself", option));
      ++n;
    } else if (c == '\\') {
      static constexpr std::string_view kNames = "rntebafv0\\^'\"", kBytes{"\r\n\t\x1b\b\a\f\v\0\\^'\"", 13};
      const char of = n + 1 < s.size() ? s[++n] : ' ';
      if (of == 'x') {
        auto b = hex_byte(s.substr(std::min(n + 1, s.size()), 2));
        if (!b) throw UsageError(fmt::format("{}: \\x has to be followed by two hexadecimal digits", option));
        keys += static_cast<char>(*b);
        n += 2;
      } else if (auto at = kNames.find(of); at != kNames.npos) {
        keys += kBytes[at];
      } else {
        throw UsageError(fmt::format("{}: there is no escape \\{}; there are \\r \\n \\t \\e \\b \\a \\f \\v \\0 \\xHH \\\\ \\^ \\' \\\"", option, of));
      }
    } else {
      keys += c;
    }
  }
  if (keys.empty()) throw UsageError(fmt::format("{}: no keys to type", option));
  return keys;
}

namespace {
/// The time; what is to be done then is what follows the '='.
TypeOrder parse_order(std::string_view s, const std::string& option, const char* what, std::string_view& rest_of) {
  TypeOrder o;
  std::size_t equals = s.npos;
  if (s.starts_with("console:")) {
    std::string_view rest = s.substr(8);
    const char quote = rest.empty() ? ' ' : rest[0];
    if (quote == '\'' || quote == '"') {
      const std::size_t end = rest.find(std::string{quote} + "=", 1);
      if (end == rest.npos) throw UsageError(fmt::format("{}: write console:'TEXT'={}; the text does not end with {}=", option, what, quote));
      o.text = rest.substr(1, end - 1);
      equals = 8 + end + 1;
    } else {
      const std::size_t end = rest.find('=');
      if (end == rest.npos) throw UsageError(fmt::format("{}: write console:'TEXT'={}; there is no =", option, what));
      o.text = rest.substr(0, end);
      equals = 8 + end;
    }
    if (o.text.empty()) throw UsageError(fmt::format("{}: the text is empty", option));
  } else {
    equals = s.find('=');
    const auto step = equals == s.npos ? std::nullopt : parse_number(s.substr(0, equals));
    if (!step) throw UsageError(fmt::format("{}: write console:'TEXT'={} or STEP={}", option, what, what));
    o.step = *step;
  }
  o.typed = s.substr(0, equals);
  rest_of = s.substr(equals + 1);
  return o;
}
}  // namespace

TypeOrder parse_type(std::string_view s) {
  const std::string option = fmt::format("--type {}", s);
  std::string_view keys;
  TypeOrder o = parse_order(s, option, "KEYS", keys);
  o.keys = parse_keys(keys, option);
  return o;
}

TypeOrder parse_poke(std::string_view s) {
  const std::string option = fmt::format("--poke {}", s);
  std::string_view rest;
  TypeOrder o = parse_order(s, option, "ADDRESS:BYTES", rest);
  const std::size_t colon = rest.find(':');
  o.memory = parse_number(rest.substr(0, colon));
  if (colon == rest.npos || !o.memory) throw UsageError(fmt::format("{}: '{}' is not ADDRESS:BYTES, as 0x7ffe1050:0000", option, rest));
  const std::string_view bytes = rest.substr(colon + 1);
  for (std::size_t n = 0; n < bytes.size(); n += 2) {
    auto b = hex_byte(bytes.substr(n, 2));
    if (!b) throw UsageError(fmt::format("{}: bytes have to be hexadecimal, two digits each", option));
    o.keys += static_cast<char>(*b);
  }
  if (o.keys.empty() || *o.memory % kPageSize + o.keys.size() > kPageSize) throw UsageError(fmt::format("{}: give 1 to 4096 bytes within one page", option));
  return o;
}

void ConsoleTap::put(u8 byte) {
  if (next_) next_->put(byte);
  if (byte_) byte_(byte);
  if (text_.empty() && step_) first_ = step_();
  if (byte == '\n') {
    if (line_) line_(first_, text_);
    if (!text_.empty()) last_ = std::move(text_);
    text_.clear();
  } else if (byte != '\r' && byte != 0) {
    text_ += static_cast<char>(byte);
  }
  heard_ += static_cast<char>(byte);
  if (heard_.size() > longest_) heard_.erase(0, heard_.size() - longest_);
  for (auto& w : waits_) if (heard_.ends_with(w.text)) w.found();
}

void ConsoleTap::wait_for(std::string text, std::function<void()> found) {
  longest_ = std::max(longest_, text.size());
  waits_.push_back({std::move(text), std::move(found)});
}

void Typist::attach(emu::Machine& m, ConsoleTap& tap) {
  for (auto& o : orders_) {
    if (o.memory && !m.memory().present(Hpa{*o.memory})) throw UsageError(fmt::format("--poke {}={:#x}: there is no memory at that address", o.typed, *o.memory));
    if (o.text.empty()) continue;
    tap.wait_for(o.text, [this, &o, &m] {
      if (o.done) return;
      o.done = true;
      due_.push_back(&o);
      m.stop().request(StopReason::until, kStop);
    });
  }
}

u64 Typist::next_step() const {
  u64 next = ~u64{0};
  for (auto& o : orders_) if (o.text.empty() && !o.done) next = std::min(next, o.step);
  return next;
}

void Typist::go_on(emu::Machine& m) {
  if (m.stop().reason() == StopReason::until && m.stop().what() == kStop) m.stop().clear();
}

bool Typist::type_due(emu::Machine& m) {
  auto due = std::exchange(due_, {});
  for (auto& o : orders_)
    if (o.text.empty() && !o.done && o.step <= m.steps()) o.done = true, due.push_back(&o);
  std::vector<Arrival> all;
  for (auto* o : due) {
    // What is typed at one moment is one input.
    if (!o->memory && !all.empty() && !all.back().memory) all.back().bytes += o->keys;
    else all.push_back({m.steps(), o->keys, o->memory});
  }
  for (auto& in : all) log_.give(m, std::move(in));
  return !due.empty();
}

}  // namespace vt::cli
