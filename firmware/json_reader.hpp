// SPDX-License-Identifier: GPL-2.0-or-later
/// Descriptions in JSON: a structure names its fields once, in `fields(V&, T&)`; reading and writing are two visitors of it. What is not
/// named there is refused.
#pragma once
#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/types.hpp"
#include "firmware/platform.hpp"

namespace vt::fw {

using json = nlohmann::ordered_json;

template <class E> struct Name { E value; const char* name; };

/// "0x1f", "128K", "2G", "17" as a number; nothing else.
std::optional<u64> parse_number(const std::string& s);
/// "1d.0" with hexadecimal digits
bool parse_devfn(std::string_view s, u8& dev, u8& fn);
/// The JSON library keeps the last of two equal keys; a description that says two things is wrong.
json parse_strictly(const std::string& text, const std::string& file);
/// The text of a description, which has to be there and to say something.
std::string read_description(const std::string& file, const char* what);

class JsonWriter {
 public:
  json out = json::object();
  bool modelled() const { return true; }
  void flag(const char* k, bool x) { out[k] = x; }
  template <class T> void number(const char* k, T x, u64 = 0) { out[k] = static_cast<u64>(x); }
  void address(const char* k, u64 x, bool = false) { out[k] = fmt::format("{:#x}", x); }
  void extent(u64 first, u64 size) { address("first", first); address("size", size); }
  void text(const char* k, const std::string& x) { out[k] = x; }
  void texts(const char* k, const std::vector<std::string>& x) { out[k] = x; }
  void numbers(const char* k, const std::vector<unsigned>& x) { out[k] = x; }
  void maybe(const char* k, const std::optional<u8>& x) { if (x) out[k] = *x; }
  void number_if_any(const char* k, u64 x) { if (x) out[k] = x; }
  void bdf(const char* k, Bdf x) { out[k] = fmt::format("{:02x}:{:02x}.{}", x.bus(), x.dev(), x.fn()); }
  void path(const char* k, const std::vector<std::pair<u8, u8>>& x) {
    json a = json::array();
    for (auto [dev, fn] : x) a.push_back(fmt::format("{:02x}.{}", dev, fn));
    out[k] = a;
  }
  template <class E, std::size_t N> void name(const char* k, E x, const Name<E> (&names)[N], bool = false) {
    for (auto& n : names) if (n.value == x) out[k] = n.name;
  }
  template <class T> void object(const char* k, T& x) { JsonWriter w; fields(w, x); out[k] = std::move(w.out); }
  template <class T> void list(const char* k, std::vector<T>& x) {
    json a = json::array();
    for (T& e : x) { JsonWriter w; fields(w, e); a.push_back(std::move(w.out)); }
    out[k] = std::move(a);
  }
  template <class T> void list_if_any(const char* k, std::vector<T>& x) { if (!x.empty()) list(k, x); }
};

class JsonReader {
 public:
  JsonReader(const std::string& file, std::string at, const json& j) : file_(file), at_(std::move(at)), j_(j) {
    if (!j.is_object()) fail("", "has to be an object, {{ ... }}");
  }
  /// What nobody asked for is refused.
  void finish() {
    for (auto& [k, v] : j_.items())
      if (!known_.count(k)) {
        std::string all;
        for (const std::string& n : known_) all += (all.empty() ? "" : ", ") + n;
        fail(k, "unknown field; there are {}", all);
      }
  }
  bool has(const char* k) { known_.insert(k); return j_.contains(k); }

  /// A function's row names a model that says the rest.
  bool modelled() const;

  void flag(const char* k, bool& x) {
    if (!has(k)) return;
    if (!j_[k].is_boolean()) fail(k, "has to be true or false");
    x = j_[k];
  }
  template <class T> void number(const char* k, T& x, u64 max = ~u64{0}) {
    if (!has(k)) return;
    u64 v = value(j_[k], k);
    u64 limit = std::min<u64>(max, std::numeric_limits<T>::max());
    if (v > limit) fail(k, "{} is more than {}", v, limit);
    x = static_cast<T>(v);
  }
  template <class T> void address(const char* k, T& x, bool required = false) {
    if (!has(k)) {
      if (required) fail(k, "is missing");
      return;
    }
    u64 v = value(j_[k], k);
    if (v > std::numeric_limits<T>::max()) fail(k, "{:#x} has more than {} bits", v, 8 * sizeof(T));
    x = static_cast<T>(v);
  }
  void extent(u64& first, u64& size) {
    address("first", first, true);
    bool by_size = has("size"), by_last = has("last");
    if (by_size == by_last) fail("", "give either size or last");
    if (by_size) { address("size", size); return; }
    u64 last = 0;
    address("last", last);
    if (last < first) fail("last", "{:#x} is below first {:#x}", last, first);
    size = last - first + 1;
  }
  void text(const char* k, std::string& x) {
    if (!has(k)) return;
    if (!j_[k].is_string()) fail(k, "has to be a string");
    x = j_[k];
  }
  void texts(const char* k, std::vector<std::string>& x) {
    if (!has(k)) return;
    x.clear();
    each(k, [&](const json& e, const std::string& at) {
      if (!e.is_string()) fail(at, "has to be a string");
      x.push_back(e);
    });
  }
  void numbers(const char* k, std::vector<unsigned>& x) {
    if (!has(k)) return;
    x.clear();
    each(k, [&](const json& e, const std::string& at) {
      u64 v = value(e, at);
      if (v > 0xffffffff) fail(at, "{} is too large", v);
      x.push_back(static_cast<unsigned>(v));
    });
  }
  void number_if_any(const char* k, u64& x) { number(k, x); }
  void maybe(const char* k, std::optional<u8>& x) {
    if (!has(k)) return;
    u8 v = 0;
    number(k, v, 255);
    x = v;
  }
  void bdf(const char* k, Bdf& x);
  void path(const char* k, std::vector<std::pair<u8, u8>>& x) {
    if (!has(k)) return;
    x.clear();
    each(k, [&](const json& e, const std::string& at) {
      u8 dev = 0, fn = 0;
      if (!e.is_string() || !parse_devfn(e.get<std::string>(), dev, fn))
        fail(at, "is not a device and function; write \"1d.0\", in hexadecimal");
      x.emplace_back(dev, fn);
    });
  }
  template <class E, std::size_t N> void name(const char* k, E& x, const Name<E> (&names)[N], bool required = false) {
    if (!has(k)) {
      if (required) fail(k, "is missing");
      return;
    }
    std::string all, s;
    text(k, s);
    for (auto& n : names) {
      if (s == n.name) { x = n.value; return; }
      all += std::string(all.empty() ? "" : ", ") + n.name;
    }
    fail(k, "\"{}\" is unknown; there are {}", s, all);
  }
  template <class T> void object(const char* k, T& x) {
    if (!has(k)) return;
    JsonReader r(file_, join(k), j_[k]);
    fields(r, x);
    r.finish();
  }
  template <class T> void list(const char* k, std::vector<T>& x) {
    if (!has(k)) return;
    x.clear();
    each(k, [&](const json& e, const std::string& at) {
      JsonReader r(file_, join(at), e);
      fields(r, x.emplace_back());
      r.finish();
    });
  }
  template <class T> void list_if_any(const char* k, std::vector<T>& x) { list(k, x); }
  /// What stands there; `has` comes before.
  const json& at(const char* k) const { return j_[k]; }
  JsonReader below(const char* k) const { return JsonReader(file_, join(k), j_[k]); }
  const std::string& file() const { return file_; }
  /// The full name of a field.
  std::string join(const std::string& k) const { return at_.empty() ? k : at_ + "." + k; }
  template <class... Ts>
  [[noreturn]] void fail(const std::string& k, fmt::format_string<Ts...> f, Ts&&... args) const {
    std::string at = k.empty() ? at_ : join(k);
    throw PlatformError(file_, at.empty() ? "top level" : at, fmt::format(f, std::forward<Ts>(args)...));
  }

 private:
  template <class F> void each(const char* k, F f) {
    const json& a = j_[k];
    if (!a.is_array()) fail(k, "has to be a list, [ ... ]");
    for (std::size_t i = 0; i < a.size(); ++i) f(a[i], fmt::format("{}[{}]", k, i));
  }
  u64 value(const json& e, const std::string& k) const;

  const std::string& file_;
  std::string at_;
  const json& j_;
  std::set<std::string> known_;
};

}  // namespace vt::fw
