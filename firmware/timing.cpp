// SPDX-License-Identifier: GPL-2.0-or-later
/// A profile names its fields once, in `profile_fields`; reading and writing are two visitors of it. A value is a number, or an object with
/// "value", "origin" and "source"; a cache, a TLB and a class of instructions have the last two beside their own fields.
#include "firmware/timing.hpp"

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "timing_check.hpp"
#include "timing_json.hpp"

namespace vt::fw {
namespace {

namespace embedded {
#include "timing_profiles.hex"
}

constexpr const char* kFormat = "timing/1";
constexpr Name<timing::Model> kModels[] = {{timing::Model::flat, "flat"}, {timing::Model::events, "events"}, {timing::Model::core, "core"}};
constexpr unsigned kMostBases = 8;   ///< one profile on top of another, so often
constexpr unsigned kPorts = 16;

// ---- the classes' names: as in base/timing.hpp, without the underscore that keeps two of them from being keywords or taken ----

struct OpNames {
  std::array<const char*, static_cast<std::size_t>(timing::OpClass::count_)> name{};
  constexpr OpNames() {
    using enum timing::OpClass;
#define OP(x) name[static_cast<std::size_t>(x)] = #x;
#define OP4(a, b, c, d) OP(a) OP(b) OP(c) OP(d)
    OP4(nop, move, alu, load) OP4(store, lea, lea_slow, cmov) OP4(lea_scaled, lea_slow_scaled, bswap64, vec_mul32) OP4(setcc, adc, shift, shift_cl) OP4(rotate_carry, shift_double, bswap, xchg)
    OP4(bit_test, bit_scan, popcnt, mul) OP4(mul64, div32, div64, div8) OP4(bmi, pdep, crc32, branch) OP4(call, ret, string, string_start)
    OP4(enter_leave, cmpxchg, xadd, bcd) OP4(lock, fp_move, fp_add, fp_mul) OP4(fp_div_s, fp_div_d, fp_sqrt_s, fp_sqrt_d)
    OP4(fp_fma, fp_cmp, fp_convert, fp_round) OP4(fp_hadd, fp_approx, vec_move, vec_logic) OP4(vec_add, vec_mul, vec_shift, vec_shuffle)
    OP4(vec_blend, vec_cmp, vec_movmsk, vec_extract) OP4(vec_insert, vec_sad, vec_gather, vec_string) OP4(vec_mask_move, aes, pclmul, sha) OP(movd)
    OP4(x87_move, x87_add, x87_mul, x87_div) OP4(x87_sqrt, x87_trans, x87_control, x87_load_store80) OP4(emms, fxsave, xsave, lfence)
    OP4(mfence, sfence, clflush, pause) OP4(cpuid, rdtsc, rdmsr, wrmsr) OP4(rdrand, in_out, system_read, mov_cr)
    OP4(mov_dr, load_table, segment_load, far_transfer) OP4(iret, software_interrupt, syscall, sysret) OP4(invlpg, invpcid, hlt, wbinvd)
    OP4(swapgs, vmread, vmwrite, vmptrld) OP4(vmptrst, vmclear, vmxon, vmlaunch) OP4(vmresume, vmcall, invept, invvpid)
#undef OP4
#undef OP
    name[static_cast<std::size_t>(loop_)] = "loop";
    name[static_cast<std::size_t>(flags_)] = "flags";
  }
};
constexpr OpNames kOps;
static_assert(std::none_of(kOps.name.begin(), kOps.name.end(), [](const char* n) { return n == nullptr; }), "a class without a name");

// ---- the fields ----

template <class V> void profile_fields(V& v, timing::Profile& p) {
  v.group("clock", [&](V& g) { g.leaf("mhz", p.mhz); });
  v.group("caches", [&](V& g) {
    g.cache("l1i", p.l1i), g.cache("l1d", p.l1d), g.cache("l2", p.l2), g.cache("llc", p.llc);
    g.leaf("dram", p.dram), g.leaf("exposed_percent", p.exposed_percent);
  });
  v.group("tlb", [&](V& g) {
    g.tlb("itlb_4k", p.itlb_4k), g.tlb("itlb_2m", p.itlb_2m);
    g.tlb("dtlb_4k", p.dtlb_4k), g.tlb("dtlb_2m", p.dtlb_2m), g.tlb("dtlb_1g", p.dtlb_1g);
    g.tlb("stlb", p.stlb), g.tlb("stlb_1g", p.stlb_1g);
    g.leaf("stlb_hit", p.stlb_hit), g.leaf("walk_start", p.walk_start);
    g.leaf("pml4_entries", p.pml4_entries), g.leaf("pdpt_entries", p.pdpt_entries), g.leaf("pde_entries", p.pde_entries);
    g.leaf("nested_entries", p.nested_entries);
  });
  v.group("branches", [&](V& g) {
    g.leaf("history_bits", p.history_bits), g.leaf("predictor_log2", p.predictor_log2);
    timing::TlbShape btb{p.btb_entries, p.btb_ways};
    g.tlb("btb", btb);
    p.btb_entries = btb.entries, p.btb_ways = btb.ways;
    g.leaf("return_stack", p.return_stack), g.leaf("mispredict", p.mispredict);
  });
  v.group("core", [&](V& g) {
    g.leaf("width", p.width), g.leaf("retire_width", p.retire_width), g.leaf("rob", p.rob);
    g.leaf("load_buffer", p.load_buffer), g.leaf("store_buffer", p.store_buffer);
    g.ports("ports_load", p.ports_load), g.ports("ports_store_address", p.ports_store_address), g.ports("ports_store_data", p.ports_store_data);
    g.leaf("forward", p.forward), g.leaf("forward_slow", p.forward_slow), g.leaf("forward_blocked", p.forward_blocked), g.leaf("eliminate_constants", p.eliminate_constants);
    g.leaf("eliminate_moves", p.eliminate_moves), g.leaf("eliminate_zero_idioms", p.eliminate_zero_idioms);
    g.leaf("fuse_compare_branch", p.fuse_compare_branch), g.leaf("rename_memory", p.rename_memory);
    g.leaf("string_bytes_per_cycle", p.string_bytes_per_cycle);
  });
  v.group("events", [&](V& g) {
    g.leaf("interrupt", p.interrupt), g.leaf("exception", p.exception);
    g.leaf("vm_entry", p.vm_entry), g.leaf("vm_exit", p.vm_exit), g.leaf("vmcs_cold", p.vmcs_cold);
    g.leaf("port_io", p.port_io), g.leaf("mmio", p.mmio), g.leaf("apic_mmio", p.apic_mmio);
  });
  v.group("vtd", [&](V& g) { g.leaf("iotlb_hit", p.iotlb_hit), g.leaf("walk_start", p.vtd_walk_start), g.leaf("dma_bytes_per_cycle", p.dma_bytes_per_cycle); });
  v.group("op", [&](V& g) {
    for (std::size_t n = 0; n < p.op.size(); ++n) g.op(kOps.name[n], p.op[n]);
  });
}

std::string port_letters(unsigned mask) {
  std::string s;
  for (unsigned n = 0; n < kPorts; ++n) if (mask >> n & 1) s += "0123456789ABCDEF"[n];
  return s;
}

class ProfileWriter {
 public:
  json out = json::object();
  template <class F> void group(const char* k, F f) { ProfileWriter w; f(w); out[k] = std::move(w.out); }
  void leaf(const char* k, bool x) { out[k] = x; }
  template <class T> void leaf(const char* k, T x) { out[k] = static_cast<u64>(x); }
  void ports(const char* k, unsigned mask) { out[k] = port_letters(mask); }
  void cache(const char* k, const timing::Cache& c) { out[k] = {{"size", c.size}, {"ways", c.ways}, {"latency", c.latency}}; }
  void tlb(const char* k, const timing::TlbShape& t) { out[k] = {{"entries", t.entries}, {"ways", t.ways}}; }
  void op(const char* k, const timing::OpCost& o) {
    out[k] = {{"uops", o.uops}, {"latency", o.latency}, {"ports", port_letters(o.ports)}, {"busy", o.busy}, {"serialize", o.serialize}};
  }
};

class ProfileReader {
 public:
  /// `whole`: nothing to take a missing value from.
  ProfileReader(JsonReader& r, bool whole) : r_(r), whole_(whole) {}

  template <class F> void group(const char* k, F f) {
    if (!here(k)) return;
    JsonReader below = r_.below(k);
    ProfileReader g(below, whole_);
    f(g);
    below.finish();
  }
  template <class T> void leaf(const char* k, T& x) {
    if (!here(k)) return;
    if (!r_.at(k).is_object()) return number(r_, k, x);
    JsonReader below = r_.below(k);
    if (!below.has("value")) below.fail("value", "is missing");
    number(below, "value", x);
    origin(below);
    below.finish();
  }
  void ports(const char* k, unsigned& mask) {
    if (!here(k)) return;
    if (!r_.at(k).is_object()) { mask = port_mask(r_, k); return; }
    JsonReader below = r_.below(k);
    if (!below.has("value")) below.fail("value", "is missing");
    mask = port_mask(below, "value");
    origin(below);
    below.finish();
  }
  void cache(const char* k, timing::Cache& c) {
    record(k, [&](ProfileReader& g) { g.leaf("size", c.size), g.leaf("ways", c.ways), g.leaf("latency", c.latency); });
  }
  void tlb(const char* k, timing::TlbShape& t) {
    record(k, [&](ProfileReader& g) { g.leaf("entries", t.entries), g.leaf("ways", t.ways); });
  }
  /// What a class's entry does not say is as OpCost has it, or as in the base.
  void op(const char* k, timing::OpCost& o) {
    record(k, [&](ProfileReader& g) {
      g.whole_ = false;
      g.leaf("uops", o.uops), g.leaf("latency", o.latency), g.leaf("busy", o.busy), g.leaf("serialize", o.serialize);
      unsigned mask = o.ports;
      g.ports("ports", mask);
      o.ports = static_cast<u16>(mask);
    });
  }

 private:
  bool here(const char* k) {
    if (r_.has(k)) return true;
    if (whole_) r_.fail(k, "is missing; give it, or a \"base\" to take it from");
    return false;
  }
  template <class F> void record(const char* k, F f) {
    group(k, [&](ProfileReader& g) {
      f(g);
      origin(g.r_);
    });
  }
  static void origin(JsonReader& r) {
    std::string from, source;
    r.text("origin", from);
    r.text("source", source);
    if (r.has("origin") && from != "measured" && from != "published" && from != "assumed")
      r.fail("origin", "\"{}\" is unknown; there are measured, published, assumed", from);
  }
  static void number(JsonReader& r, const char* k, bool& x) { r.flag(k, x); }
  template <class T> static void number(JsonReader& r, const char* k, T& x) {
    r.has(k);
    if (r.at(k).is_number() && !r.at(k).is_number_unsigned())
      r.fail(k, "{} {}", r.at(k).dump(), r.at(k).is_number_integer() ? "is negative" : "is not a whole number; costs are whole cycles");
    r.number(k, x);
  }
  /// "0156A", or a list of numbers
  static unsigned port_mask(JsonReader& r, const char* k) {
    r.has(k);
    unsigned mask = 0;
    if (r.at(k).is_array()) {
      std::vector<unsigned> list;
      r.numbers(k, list);
      for (unsigned n : list) {
        if (n >= kPorts) r.fail(k, "port {}; ports are 0 to {}", n, kPorts - 1);
        mask |= 1u << n;
      }
      return mask;
    }
    std::string letters;
    r.text(k, letters);
    for (char c : letters) {
      const std::size_t n = std::string_view("0123456789ABCDEF").find(c);
      if (n == std::string_view::npos) r.fail(k, "\"{}\": ports are written as the digits 0 to 9 and A to F, as \"0156A\"", letters);
      mask |= 1u << n;
    }
    return mask;
  }

  JsonReader& r_;
  bool whole_;
};

// ---- profiles ----

std::string plain_name(const std::string& file) { return std::filesystem::path(file).stem().string(); }
bool is_path(const std::string& s) { return s.find('/') != s.npos || s.ends_with(".json"); }

const embedded::Embedded* built_in(const std::string& name) {
  for (const embedded::Embedded& e : embedded::kProfiles) if (e.name == name) return &e;
  return nullptr;
}

std::string known_profiles() {
  std::string all;
  for (const std::string& n : profile_names()) all += (all.empty() ? "" : ", ") + n;
  return all;
}

void read_profile(JsonReader& r, timing::Profile& p, unsigned depth);

void parse_into(timing::Profile& p, const std::string& text, const std::string& file, unsigned depth) {
  const json j = parse_strictly(text, file);
  JsonReader r(file, "", j);
  std::string format;
  if (!r.has("vitrine")) r.fail("vitrine", "is missing; a timing profile begins with \"vitrine\": \"{}\"", kFormat);
  r.text("vitrine", format);
  if (format != kFormat) r.fail("vitrine", "\"{}\" is not a format of timing profiles that this version reads; it reads \"{}\"", format, kFormat);
  p.name = plain_name(file);
  read_profile(r, p, depth);
}

/// By name, or by path: relative to the file that names it.
void load_into(timing::Profile& p, const std::string& name, JsonReader& from, const char* field, unsigned depth) {
  if (depth > kMostBases) from.fail(field, "\"{}\": more than {} profiles on top of each other; do they name each other?", name, kMostBases);
  if (const embedded::Embedded* e = built_in(name))
    return parse_into(p, {reinterpret_cast<const char*>(e->text), e->size}, fmt::format("timing/{}.json", name), depth);
  if (!is_path(name)) from.fail(field, "there is no profile \"{}\"; built in are {}; or give the path of a file", name, known_profiles());
  const std::string file = (std::filesystem::path(from.file()).parent_path() / name).string();
  parse_into(p, read_description(file, "timing profile"), file, depth);
}

void read_profile(JsonReader& r, timing::Profile& p, unsigned depth) {
  std::string base, comment, name = p.name;
  const bool has_base = r.has("base");
  if (has_base) {
    r.text("base", base);
    load_into(p, base, r, "base", depth + 1);
  }
  p.name = name;
  r.text("name", p.name);
  r.text("description", comment);
  ProfileReader v(r, !has_base);
  profile_fields(v, p);
  r.finish();
  check_profile(p, [&](const std::string& field, const std::string& message) { r.fail(field, "{}", message); });
}

json profile_json(const timing::Profile& p) {
  ProfileWriter w;
  w.out["name"] = p.name;
  timing::Profile copy = p;   // visitors take fields by reference, since reading fills them
  profile_fields(w, copy);
  return w.out;
}

}  // namespace

const char* model_name(timing::Model m) {
  for (auto& n : kModels) if (n.value == m) return n.name;
  return "?";
}
const char* op_name(timing::OpClass op) { return kOps.name.at(static_cast<std::size_t>(op)); }

std::vector<std::string> profile_names() {
  std::vector<std::string> v;
  for (const embedded::Embedded& e : embedded::kProfiles) v.emplace_back(e.name);
  return v;
}

timing::Profile parse_profile(const std::string& text, const std::string& file) {
  timing::Profile p{};
  parse_into(p, text, file, 0);
  return p;
}

timing::Profile load_profile(const std::string& name) {
  timing::Profile p{};
  if (const embedded::Embedded* e = built_in(name)) {
    parse_into(p, {reinterpret_cast<const char*>(e->text), e->size}, fmt::format("timing/{}.json", name), 0);
    return p;
  }
  std::error_code e;
  if (!is_path(name) && !std::filesystem::is_regular_file(name, e))
    throw PlatformError(name, "profile", fmt::format("there is no profile of that name, nor a file; built in are {}", known_profiles()));
  return parse_profile(read_description(name, "timing profile"), name);
}

std::string to_json(const timing::Profile& p) {
  json j;
  j["vitrine"] = kFormat;
  j.update(profile_json(p));
  return j.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

timing::Timing parse_timing(const std::string& text, const timing::Timing& before) {
  timing::Timing t = before;
  const std::size_t comma = std::min(text.find(','), text.size());
  const std::string model = text.substr(0, comma);
  bool found = false;
  for (auto& n : kModels) if (model == n.name) t.model = n.value, found = true;
  if (!found) throw std::invalid_argument(fmt::format("'{}': there are flat, events and core", model));
  const std::string more = text.substr(std::min(comma + 1, text.size()));
  if (comma < text.size() && (!more.starts_with("profile=") || more.size() == 8))
    throw std::invalid_argument(fmt::format("'{}': there is only profile=NAME or profile=FILE; built in are {}", more, known_profiles()));
  if (!more.empty()) t.profile = load_profile(more.substr(8));
  else if (t.profile.name.empty() && t.model != timing::Model::flat) t.profile = load_profile(kDefaultProfile);
  return t;
}

void read_timing(JsonReader& r, timing::Timing& t) {
  if (!r.has("timing")) return;
  JsonReader below = r.below("timing");
  below.name("model", t.model, kModels, true);
  if (!below.has("profile")) {
    if (t.model != timing::Model::flat) t.profile = load_profile(kDefaultProfile);
  } else if (below.at("profile").is_object()) {
    JsonReader profile = below.below("profile");
    profile.has("vitrine");   // a file's text may stand here as it is
    t.profile.name = "described";
    read_profile(profile, t.profile, 0);
  } else {
    std::string name;
    below.text("profile", name);
    load_into(t.profile, name, below, "profile", 0);
  }
  below.finish();
}

void write_timing(JsonWriter& w, const timing::Timing& t) {
  if (t.model == timing::Model::flat) return;
  w.out["timing"] = {{"model", model_name(t.model)}, {"profile", profile_json(t.profile)}};
}

}  // namespace vt::fw
