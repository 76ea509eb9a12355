// SPDX-License-Identifier: GPL-2.0-or-later
#include "gdb/registers.hpp"

#include <fmt/format.h>

#include <vector>

#include "emu/machine.hpp"

namespace vt::cli::gdb {
namespace {

constexpr const char* kCore = "org.gnu.gdb.i386.core";
constexpr const char* kSse = "org.gnu.gdb.i386.sse";
constexpr const char* kAvx = "org.gnu.gdb.i386.avx";
constexpr const char* kSegments = "org.gnu.gdb.i386.segments";
constexpr const char* kSystem = "org.vitrine.x86.system";

struct Bit { const char* name; unsigned at; };
struct Flags { const char* id; unsigned bytes; std::vector<Bit> bits; };

const std::vector<Flags>& flags() {
  static const std::vector<Flags> all = {
    {"i386_eflags", 4, {{"CF", 0}, {"", 1}, {"PF", 2}, {"AF", 4}, {"ZF", 6}, {"SF", 7}, {"TF", 8}, {"IF", 9}, {"DF", 10}, {"OF", 11}, {"NT", 14}, {"RF", 16}, {"VM", 17},
      {"AC", 18}, {"VIF", 19}, {"VIP", 20}, {"ID", 21}}},
    {"i386_mxcsr", 4, {{"IE", 0}, {"DE", 1}, {"ZE", 2}, {"OE", 3}, {"UE", 4}, {"PE", 5}, {"DAZ", 6}, {"IM", 7}, {"DM", 8}, {"ZM", 9}, {"OM", 10}, {"UM", 11}, {"PM", 12}, {"FZ", 15}}},
    {"x86_cr0", 8, {{"PE", 0}, {"MP", 1}, {"EM", 2}, {"TS", 3}, {"ET", 4}, {"NE", 5}, {"WP", 16}, {"AM", 18}, {"NW", 29}, {"CD", 30}, {"PG", 31}}},
    {"x86_cr4", 8, {{"VME", 0}, {"PVI", 1}, {"TSD", 2}, {"DE", 3}, {"PSE", 4}, {"PAE", 5}, {"MCE", 6}, {"PGE", 7}, {"PCE", 8}, {"OSFXSR", 9}, {"OSXMMEXCPT", 10}, {"UMIP", 11},
      {"LA57", 12}, {"VMXE", 13}, {"SMXE", 14}, {"FSGSBASE", 16}, {"PCIDE", 17}, {"OSXSAVE", 18}, {"SMEP", 20}, {"SMAP", 21}, {"PKE", 22}, {"CET", 23}}},
    {"x86_efer", 8, {{"SCE", 0}, {"LME", 8}, {"LMA", 10}, {"NXE", 11}}},
  };
  return all;
}

/// SDM 1 "x87 FPU Tag Word": 0 valid, 1 zero, 2 special, 3 empty.
u32 tag_word(const cpu::Fpu& f) {
  u32 word = 0;
  for (unsigned n = 0; n < 8; ++n) {
    u32 tag = 3;
    if (f.tags >> n & 1) {
      const unsigned exponent = f.st[n].se & 0x7fff;
      tag = exponent == 0 && f.st[n].m == 0 ? 1 : exponent == 0 || exponent == 0x7fff || !(f.st[n].m >> 63) ? 2 : 0;
    }
    word |= tag << 2 * n;
  }
  return word;
}

template <class T> void put(u8* to, T v) { std::memcpy(to, &v, sizeof v); }

std::vector<Register> make() {
  std::vector<Register> all;
  auto add = [&](const char* feature, std::string name, unsigned bits, const char* type, std::function<u64(emu::Machine&, unsigned)> value, const char* group = nullptr) {
    all.push_back({std::move(name), bits, type, feature, group, [value = std::move(value), bits](emu::Machine& m, unsigned n, u8* to) {
      const u64 v = value(m, n);
      std::memcpy(to, &v, bits / 8);
    }});
  };
  using M = emu::Machine;
  static constexpr struct { const char* name; unsigned number; } kOrder[] = {{"rax", 0}, {"rbx", 3}, {"rcx", 1}, {"rdx", 2}, {"rsi", 6}, {"rdi", 7}, {"rbp", 5}, {"rsp", 4}};
  for (auto& r : kOrder)
    add(kCore, r.name, 64, r.number == 4 || r.number == 5 ? "data_ptr" : "int64", [k = r.number](M& m, unsigned n) { return m.processor(n).r[k]; });
  for (unsigned k = 8; k < 16; ++k) add(kCore, fmt::format("r{}", k), 64, "int64", [k](M& m, unsigned n) { return m.processor(n).r[k]; });
  add(kCore, "rip", 64, "code_ptr", [](M& m, unsigned n) { return m.processor(n).rip; });
  add(kCore, "eflags", 32, "i386_eflags", [](M& m, unsigned n) { return m.processor(n).rflags(); });
  static constexpr struct { const char* name; unsigned number; } kSegmentOrder[] = {{"cs", cpu::CS}, {"ss", cpu::SS}, {"ds", cpu::DS}, {"es", cpu::ES}, {"fs", cpu::FS}, {"gs", cpu::GS}};
  for (auto& s : kSegmentOrder) add(kCore, s.name, 32, "int32", [k = s.number](M& m, unsigned n) { return u64{m.processor(n).seg[k].sel}; });
  for (unsigned k = 0; k < 8; ++k)
    all.push_back({fmt::format("st{}", k), 80, "i387_ext", kCore, nullptr, [k](M& m, unsigned n, u8* to) {
      const cpu::Fpu& f = m.processor(n).fpu;
      const cpu::X87Reg& r = f.st[((f.sw >> 11 & 7) + k) & 7];
      put(to, r.m), put(to + 8, r.se);
    }});
  auto fpu = [&](const char* name, std::function<u64(const cpu::Fpu&)> f) {
    add(kCore, name, 32, "int", [f = std::move(f)](M& m, unsigned n) { return f(m.processor(n).fpu); }, "float");
  };
  fpu("fctrl", [](const cpu::Fpu& f) { return u64{f.cw}; });
  fpu("fstat", [](const cpu::Fpu& f) { return u64{f.sw}; });
  fpu("ftag", [](const cpu::Fpu& f) { return u64{tag_word(f)}; });
  fpu("fiseg", [](const cpu::Fpu& f) { return u64{f.fcs}; });
  fpu("fioff", [](const cpu::Fpu& f) { return f.fip; });
  fpu("foseg", [](const cpu::Fpu& f) { return u64{f.fds}; });
  fpu("fooff", [](const cpu::Fpu& f) { return f.fdp; });
  fpu("fop", [](const cpu::Fpu& f) { return u64{f.fop}; });
  for (unsigned k = 0; k < 16; ++k)
    all.push_back({fmt::format("xmm{}", k), 128, "vec128", kSse, nullptr, [k](M& m, unsigned n, u8* to) { std::memcpy(to, m.processor(n).fpu.ymm[k], 16); }});
  add(kSse, "mxcsr", 32, "i386_mxcsr", [](M& m, unsigned n) { return u64{m.processor(n).fpu.mxcsr}; }, "vector");
  for (unsigned k = 0; k < 16; ++k)
    all.push_back({fmt::format("ymm{}h", k), 128, "uint128", kAvx, nullptr, [k](M& m, unsigned n, u8* to) { std::memcpy(to, &m.processor(n).fpu.ymm[k][2], 16); }});
  add(kSegments, "fs_base", 64, "int", [](M& m, unsigned n) { return m.processor(n).seg[cpu::FS].base; });
  add(kSegments, "gs_base", 64, "int", [](M& m, unsigned n) { return m.processor(n).seg[cpu::GS].base; });
  auto system = [&](const char* name, unsigned bits, const char* type, std::function<u64(emu::Machine&, unsigned)> f) { add(kSystem, name, bits, type, std::move(f), "system"); };
  system("k_gs_base", 64, "int", [](M& m, unsigned n) { return m.processor(n).msr.kernel_gs_base; });
  system("cr0", 64, "x86_cr0", [](M& m, unsigned n) { return m.processor(n).cr0; });
  system("cr2", 64, "int", [](M& m, unsigned n) { return m.processor(n).cr2; });
  system("cr3", 64, "int", [](M& m, unsigned n) { return m.processor(n).cr3; });
  system("cr4", 64, "x86_cr4", [](M& m, unsigned n) { return m.processor(n).cr4; });
  system("cr8", 64, "int", [](M& m, unsigned n) { return m.processor(n).apic.tpr() >> 4; });
  system("efer", 64, "x86_efer", [](M& m, unsigned n) { return m.processor(n).efer; });
  system("xcr0", 64, "int", [](M& m, unsigned n) { return m.processor(n).xcr0; });
  for (unsigned k : {0u, 1u, 2u, 3u, 6u, 7u}) {
    static constexpr const char* kNames[] = {"dr0", "dr1", "dr2", "dr3", "", "", "dr6", "dr7"};
    system(kNames[k], 64, "int", [k](M& m, unsigned n) { return m.processor(n).dr[k]; });
  }
  system("cs_base", 64, "int", [](M& m, unsigned n) { return m.processor(n).seg[cpu::CS].base; });
  system("gdtr_base", 64, "int", [](M& m, unsigned n) { return m.processor(n).gdtr.base; });
  system("gdtr_limit", 32, "int", [](M& m, unsigned n) { return u64{m.processor(n).gdtr.limit}; });
  system("idtr_base", 64, "int", [](M& m, unsigned n) { return m.processor(n).idtr.base; });
  system("idtr_limit", 32, "int", [](M& m, unsigned n) { return u64{m.processor(n).idtr.limit}; });
  system("ldtr", 32, "int", [](M& m, unsigned n) { return u64{m.processor(n).ldtr.sel}; });
  system("tr", 32, "int", [](M& m, unsigned n) { return u64{m.processor(n).tr.sel}; });
  system("tr_base", 64, "int", [](M& m, unsigned n) { return m.processor(n).tr.base; });
  system("vmx", 32, "x86_vmx", [](M& m, unsigned n) { const cpu::Vmx& v = m.processor(n).vmx; return u64{v.non_root ? 2u : v.on ? 1u : 0u}; });
  system("vmcs", 64, "int", [](M& m, unsigned n) { return m.processor(n).vmx.vmcs; });
  system("eptp", 64, "int", [](M& m, unsigned n) { return m.processor(n).vmx.eptp; });
  system("step", 64, "int", [](M& m, unsigned) { return m.steps(); });
  return all;
}

std::string make_xml() {
  std::string s = "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target version=\"1.0\">\n  <architecture>i386:x86-64</architecture>\n";
  const char* feature = "";
  for (auto& r : registers()) {
    if (std::string_view(feature) != r.feature) {
      if (*feature) s += "  </feature>\n";
      feature = r.feature;
      s += fmt::format("  <feature name=\"{}\">\n", feature);
      const std::string_view f = feature;
      for (auto& t : flags()) {
        const std::string_view id = t.id;
        if (id == "i386_eflags" ? f != kCore : id == "i386_mxcsr" ? f != kSse : f != kSystem) continue;
        s += fmt::format("    <flags id=\"{}\" size=\"{}\">\n", t.id, t.bytes);
        for (auto& b : t.bits) s += fmt::format("      <field name=\"{0}\" start=\"{1}\" end=\"{1}\"/>\n", b.name, b.at);
        s += "    </flags>\n";
      }
      if (f == kSse)
        s += "    <vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>\n    <vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>\n"
             "    <vector id=\"v16i8\" type=\"int8\" count=\"16\"/>\n    <vector id=\"v8i16\" type=\"int16\" count=\"8\"/>\n"
             "    <vector id=\"v4i32\" type=\"int32\" count=\"4\"/>\n    <vector id=\"v2i64\" type=\"int64\" count=\"2\"/>\n"
             "    <union id=\"vec128\">\n      <field name=\"v4_float\" type=\"v4f\"/>\n      <field name=\"v2_double\" type=\"v2d\"/>\n"
             "      <field name=\"v16_int8\" type=\"v16i8\"/>\n      <field name=\"v8_int16\" type=\"v8i16\"/>\n      <field name=\"v4_int32\" type=\"v4i32\"/>\n"
             "      <field name=\"v2_int64\" type=\"v2i64\"/>\n      <field name=\"uint128\" type=\"uint128\"/>\n    </union>\n";
      if (f == kSystem)
        s += "    <enum id=\"x86_vmx\" size=\"4\">\n      <evalue name=\"off\" value=\"0\"/>\n      <evalue name=\"root\" value=\"1\"/>\n      <evalue name=\"non_root\" value=\"2\"/>\n    </enum>\n";
    }
    s += fmt::format("    <reg name=\"{}\" bitsize=\"{}\" type=\"{}\"", r.name, r.bits, r.type);
    if (r.group) s += fmt::format(" group=\"{}\"", r.group);
    s += "/>\n";
  }
  return s + "  </feature>\n</target>\n";
}

}  // namespace

std::span<const Register> registers() {
  static const std::vector<Register> all = make();
  return all;
}

const std::string& target_xml() {
  static const std::string s = make_xml();
  return s;
}

std::string read_register(emu::Machine& m, unsigned cpu, std::size_t n) {
  const Register& r = registers()[n];
  std::string s(r.bits / 8, '\0');
  r.read(m, cpu, reinterpret_cast<u8*>(s.data()));
  return s;
}

std::string read_registers(emu::Machine& m, unsigned cpu) {
  std::string s;
  for (std::size_t n = 0; n < registers().size(); ++n) s += read_register(m, cpu, n);
  return s;
}

}  // namespace vt::cli::gdb
