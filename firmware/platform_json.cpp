// SPDX-License-Identifier: GPL-2.0-or-later
/// The description's JSON. Each structure names its fields once, in `fields()`; reading and writing are
/// two visitors of it. What is not named there is refused.
#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "firmware/models.hpp"

namespace vt::fw {
namespace {

using json = nlohmann::ordered_json;

constexpr const char* kFormat = "platform/1";

template <class E> struct Name { E value; const char* name; };
constexpr Name<E820> kE820Names[] = {{E820::RAM, "RAM"}, {E820::RESERVED, "RESERVED"}, {E820::ACPI, "ACPI"},
                                     {E820::NVS, "NVS"}, {E820::UNUSABLE, "UNUSABLE"}, {E820::PMEM, "PMEM"}};
constexpr Name<MemType> kMemTypeNames[] = {{MemType::UC, "UC"}, {MemType::WC, "WC"}, {MemType::WT, "WT"}, {MemType::WP, "WP"}, {MemType::WB, "WB"}};
constexpr Name<DeviceScope::Kind> kScopeNames[] = {{DeviceScope::Kind::endpoint, "endpoint"}, {DeviceScope::Kind::bridge, "bridge"},
                                                   {DeviceScope::Kind::ioapic, "ioapic"}, {DeviceScope::Kind::hpet, "hpet"}};
constexpr Name<PciBar::Kind> kBarNames[] = {{PciBar::Kind::mem32, "mem32"}, {PciBar::Kind::mem64, "mem64"}, {PciBar::Kind::io, "io"}};

// ---- the fields ----

template <class V> void fields(V& v, E820Range& r) { v.extent(r.first, r.size); v.name("type", r.type, kE820Names, true); }
template <class V> void fields(V& v, Mtrrs::Variable& r) {
  v.address("base", r.base, true); v.address("size", r.size, true); v.name("type", r.type, kMemTypeNames, true);
}
template <class V> void fields(V& v, Mtrrs& m) { v.name("def", m.def, kMemTypeNames); v.list("variable", m.variable); }
template <class V> void fields(V& v, DeviceScope& s) {
  v.name("kind", s.kind, kScopeNames, true); v.number("enumeration_id", s.enumeration_id, 255);
  v.number("bus", s.bus, 255); v.path("path", s.path);
}
template <class V> void fields(V& v, Drhd& d) {
  v.address("address", d.address);
  v.flag("include_all", d.include_all);
  v.list("scopes", d.scopes);
  v.numbers("sagaw", d.sagaw);
  v.number("mgaw", d.mgaw);
  v.flag("superpage_2m", d.superpage_2m);
  v.flag("superpage_1g", d.superpage_1g);
  v.flag("caching_mode", d.caching_mode);
  v.flag("coherent", d.coherent);
  v.flag("queued_invalidation", d.queued_invalidation);
  v.flag("interrupt_remapping", d.interrupt_remapping);
  if (!d.interrupt_remapping) d.extended_interrupt_mode = false;   // unless said otherwise, which platform_check.cpp refuses
  v.flag("extended_interrupt_mode", d.extended_interrupt_mode);
  v.flag("snoop_control", d.snoop_control);
  v.flag("pass_through", d.pass_through);
  v.flag("write_buffer_flush", d.write_buffer_flush);
  v.flag("zero_length_read", d.zero_length_read);
  v.flag("plmr", d.plmr);
  v.flag("phmr", d.phmr);
  v.flag("drain_reads", d.drain_reads);
  v.flag("drain_writes", d.drain_writes);
  v.number("domain_id_bits", d.domain_id_bits);
  v.number("fault_records", d.fault_records);
  v.address("fault_offset", d.fault_offset);
  v.address("iotlb_offset", d.iotlb_offset);
  v.number("iotlb_entries", d.iotlb_entries);
  v.number("context_entries", d.context_entries);
}
template <class V> void fields(V& v, Rmrr& r) { v.address("first", r.first, true); v.address("last", r.last, true); v.list("scopes", r.scopes); }
template <class V> void fields(V& v, PciBar& b) {
  v.number("index", b.index, 5); v.name("kind", b.kind, kBarNames); v.flag("prefetchable", b.prefetchable);
  v.address("address", b.address); v.address("size", b.size, true);
}
template <class V> void fields(V& v, DmaAccess& a) {
  v.number("at", a.at); v.address("address", a.address, true); v.number("size", a.size); v.flag("write", a.write);
  v.number("value", a.value, 255); v.number("every", a.every); v.number("times", a.times);
}
template <class V> void fields(V& v, PciDisk& d) {
  v.number("port", d.port); v.address("size", d.size, true); v.text("sha256", d.sha256);
}
template <class V> void fields(V& v, PciFunction& f) {
  v.bdf("bdf", f.bdf);
  v.address("vendor", f.vendor);
  v.address("device", f.device, !v.modelled());
  v.address("class_code", f.class_code, !v.modelled());
  v.address("revision", f.revision);
  v.address("subsystem_vendor", f.subsystem_vendor);
  v.address("subsystem", f.subsystem);
  v.list("bars", f.bars);
  v.number("interrupt_pin", f.interrupt_pin, 255);
  v.number("interrupt_line", f.interrupt_line, 255);
  v.flag("msi", f.msi);
  v.maybe("secondary_bus", f.secondary_bus);
  v.text("model", f.model);
  v.list_if_any("disks", f.disks);
  v.list_if_any("dma", f.dma);
}
template <class V> void fields(V& v, IsaDevice& d) { v.text("model", d.model); v.address("iobase", d.iobase); v.address("iosize", d.iosize); }
template <class V> void fields(V& v, CpuSpec& c) {
  v.text("model", c.model);
  v.texts("features", c.features);
  v.number("count", c.count);
  v.number("physical_address_bits", c.physical_address_bits);
  v.number("tsc_hz", c.tsc_hz);
  v.number_if_any("schedule_seed", c.schedule_seed);
}
/// What an import leaves in a description beside the machine: read, and never written by `to_json`.
struct Note { std::string from, what; };
struct Table { std::string signature, from, bytes; };
struct ImportNotes { std::vector<std::string> files; std::vector<Origin> origins; std::vector<Note> not_carried, unreadable; std::vector<Table> tables; };
template <class V> void fields(V& v, Origin& o) {
  v.text("field", o.field); v.text("from", o.from); v.flag("guessed", o.guessed); v.text("why", o.why);
}
template <class V> void fields(V& v, Note& n) { v.text("from", n.from); v.text("what", n.what); }
template <class V> void fields(V& v, Table& t) { v.text("signature", t.signature); v.text("from", t.from); v.text("bytes", t.bytes); }
template <class V> void fields(V& v, ImportNotes& n) {
  v.texts("files", n.files); v.list("fields", n.origins); v.list("not_carried", n.not_carried); v.list("unreadable", n.unreadable);
  v.list("tables", n.tables);
}
template <class V> void fields(V& v, Platform& p) {
  v.text("name", p.name);
  v.text("description", p.description);
  v.address("memory", p.memory);
  v.list("e820", p.e820);
  v.object("mtrrs", p.mtrrs);
  v.object("cpu", p.cpu);
  v.flag("vtd", p.vtd);
  v.flag("dmar_interrupt_remapping", p.dmar_interrupt_remapping);
  v.flag("x2apic_opt_out", p.x2apic_opt_out);
  v.number("host_address_width", p.host_address_width);
  v.list("drhds", p.drhds);
  v.list("rmrrs", p.rmrrs);
  v.list("pci", p.pci);
  v.list_if_any("isa", p.isa);
  v.address("ecam", p.ecam);
  v.number("ecam_buses", p.ecam_buses);
  v.address("ioapic", p.ioapic);
  v.number("ioapic_id", p.ioapic_id, 255);
  v.flag("hpet", p.hpet);
  v.address("hpet_address", p.hpet_address);
  v.flag("vga", p.vga);
  v.flag("i8042", p.i8042);
  v.flag("com2", p.com2);
  v.address("pm_base", p.pm_base);
  v.number("rsdp_revision", p.rsdp_revision);
  v.text("rtc", p.rtc);
}

// ---- writing ----

class Writer {
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
  template <class T> void object(const char* k, T& x) { Writer w; fields(w, x); out[k] = std::move(w.out); }
  template <class T> void list(const char* k, std::vector<T>& x) {
    json a = json::array();
    for (T& e : x) { Writer w; fields(w, e); a.push_back(std::move(w.out)); }
    out[k] = std::move(a);
  }
  template <class T> void list_if_any(const char* k, std::vector<T>& x) { if (!x.empty()) list(k, x); }
};

// ---- reading ----

/// "0x1f", "128K", "2G", "17" as a number; nothing else.
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

/// "1d.0" with hexadecimal digits
bool parse_devfn(std::string_view s, u8& dev, u8& fn) {
  auto dot = s.find('.');
  if (dot == s.npos) return false;
  auto hex = [](std::string_view t, u8& v) {
    auto [end, error] = std::from_chars(t.data(), t.data() + t.size(), v, 16);
    return error == std::errc{} && end == t.data() + t.size();
  };
  return hex(s.substr(0, dot), dev) && hex(s.substr(dot + 1), fn) && dev < 32 && fn < 8;
}

class Reader {
 public:
  Reader(const std::string& file, std::string at, const json& j) : file_(file), at_(std::move(at)), j_(j) {
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
  bool modelled() const {
    const FunctionModel* m = j_.contains("model") && j_["model"].is_string() ? function_model(j_["model"].get<std::string>()) : nullptr;
    return m && m->device && !j_.contains("device");
  }

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
  void bdf(const char* k, Bdf& x) {
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
    Reader r(file_, join(k), j_[k]);
    fields(r, x);
    r.finish();
  }
  template <class T> void list(const char* k, std::vector<T>& x) {
    if (!has(k)) return;
    x.clear();
    each(k, [&](const json& e, const std::string& at) {
      Reader r(file_, join(at), e);
      fields(r, x.emplace_back());
      r.finish();
    });
  }
  template <class T> void list_if_any(const char* k, std::vector<T>& x) { list(k, x); }
  template <class... Ts>
  [[noreturn]] void fail(const std::string& k, fmt::format_string<Ts...> f, Ts&&... args) const {
    std::string at = k.empty() ? at_ : join(k);
    throw PlatformError(file_, at.empty() ? "top level" : at, fmt::format(f, std::forward<Ts>(args)...));
  }

 private:
  std::string join(const std::string& k) const { return at_.empty() ? k : at_ + "." + k; }
  template <class F> void each(const char* k, F f) {
    const json& a = j_[k];
    if (!a.is_array()) fail(k, "has to be a list, [ ... ]");
    for (std::size_t i = 0; i < a.size(); ++i) f(a[i], fmt::format("{}[{}]", k, i));
  }
  u64 value(const json& e, const std::string& k) const {
    if (e.is_number_unsigned()) return e.get<u64>();
    if (e.is_string())
      if (auto v = parse_number(e.get<std::string>())) return *v;
    fail(k, "{} is not a number; write 4096, \"0x1000\", \"4K\", \"2M\" or \"1G\"", e.dump(-1, ' ', false, json::error_handler_t::replace));
  }

  const std::string& file_;
  std::string at_;
  const json& j_;
  std::set<std::string> known_;
};

/// The JSON library keeps the last of two equal keys; a description that says two things is wrong.
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
  try {
    json j = json::parse(text, watch);
    if (!twice.empty()) throw PlatformError(file, twice, "is given twice in one object");
    return j;
  } catch (const json::parse_error& e) {
    std::size_t line = 1, column = 1;
    for (std::size_t i = 0; i + 1 < e.byte && i < text.size(); ++i)
      if (text[i] == '\n') ++line, column = 1;
      else ++column;
    throw PlatformError(file, fmt::format("line {}, column {}", line, column), "this is not JSON");
  }
}

}  // namespace

Platform parse_platform(const std::string& text, const std::string& file) {
  json j = parse_strictly(text, file);
  Reader r(file, "", j);
  std::string format;
  if (!r.has("vitrine")) throw PlatformError(file, "vitrine", fmt::format("is missing; a platform description begins with \"vitrine\": \"{}\"", kFormat));
  r.text("vitrine", format);
  if (format != kFormat)
    throw PlatformError(file, "vitrine", fmt::format("\"{}\" is not a format this version reads; it reads \"{}\"", format, kFormat));
  Platform p;
  p.file = file;
  if (!file.empty()) {
    std::size_t slash = file.rfind('/'), from = slash == file.npos ? 0 : slash + 1, dot = file.rfind('.');
    p.name = file.substr(from, dot != file.npos && dot > from ? dot - from : file.npos);
  }
  fields(r, p);
  ImportNotes notes;
  r.object("import", notes);
  p.origins = std::move(notes.origins);
  r.finish();
  if (!p.e820.empty() && !r.has("memory")) {
    p.memory = 0;
    for (const E820Range& e : p.e820) if (e.type == E820::RAM) p.memory += e.size;
  }
  complete(p);
  return p;
}

Platform load_platform(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw PlatformError(file, "file", "cannot be opened; give the path of a platform description");
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad() || !in) throw PlatformError(file, "file", "cannot be read; give the path of a platform description");
  if (text.str().empty()) throw PlatformError(file, "file", "is empty");
  return parse_platform(text.str(), file);
}

std::string to_json(const Platform& p) {
  Writer w;
  w.out["vitrine"] = kFormat;
  Platform copy = p;   // visitors take fields by reference, since reading fills them
  fields(w, copy);
  return w.out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace vt::fw
