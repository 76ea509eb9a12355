// SPDX-License-Identifier: GPL-2.0-or-later
#include "processors.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "emu/machine.hpp"
#include "text.hpp"

namespace vt::cli {
namespace {

constexpr const char* kRegisters[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
constexpr const char* kSegments[6] = {"es", "cs", "ss", "ds", "fs", "gs"};

const char* activity_name(cpu::Activity a) {
  switch (a) {
    case cpu::Activity::active: return "active";
    case cpu::Activity::hlt: return "halted";
    case cpu::Activity::shutdown: return "shutdown";
    case cpu::Activity::wait_for_sipi: return "waiting for SIPI";
  }
  return "unknown";
}

std::string where(u64 rip, const hv::Symbols* symbols) { return symbols ? symbols->name(rip) : std::string{}; }

std::string segment_text(const char* name, const cpu::Segment& s) {
  return fmt::format("  {:<4} {:04x}  base {:016x}  limit {:08x}  rights {:05x}{}\n", name, s.sel, s.base, s.limit, s.ar, s.unusable() ? "  unusable" : "");
}

}  // namespace

const char* mode_name(emu::Machine& m, unsigned n) {
  const cpu::Cpu& c = m.processor(n);
  if (!c.protected_mode()) return "real";
  if (c.long_mode()) return c.code64() ? "64-bit" : "compatibility";
  if (c.vm86()) return "virtual-8086";
  return c.seg[cpu::CS].db() ? "32-bit" : "16-bit protected";
}

std::string processor_text(emu::Machine& m, unsigned n, const hv::Symbols* symbols) {
  const cpu::Cpu& c = m.processor(n);
  std::string s = fmt::format("cpu {}: {}, {} mode, CPL {}", n, activity_name(c.activity), mode_name(m, n), c.cpl());
  if (c.vmx.on) s += fmt::format(", VMX {} operation, VMCS {}", c.vmx.non_root ? "non-root" : "root", c.vmx.vmcs == ~u64{0} ? "none" : hex(c.vmx.vmcs));
  s += '\n';
  const std::string at = where(c.rip, symbols);
  s += fmt::format("  rip {:016x}{}  rflags {:08x}\n", c.rip, at.empty() ? "" : " (" + at + ")", c.rflags());
  for (unsigned r = 0; r < 16; ++r) s += fmt::format("{}{:<3} {:016x}{}", r % 4 ? "  " : "  ", kRegisters[r], c.r[r], r % 4 == 3 ? "\n" : "");
  s += fmt::format("  cr0 {:016x}  cr2 {:016x}  cr3 {:016x}  cr4 {:016x}\n  efer {:x}  dr6 {:x}  dr7 {:x}\n", c.cr0, c.cr2, c.cr3, c.cr4, c.efer, c.dr[6], c.dr[7]);
  for (unsigned g = 0; g < 6; ++g) s += segment_text(kSegments[g], c.seg[g]);
  s += segment_text("ldtr", c.ldtr) + segment_text("tr", c.tr);
  s += fmt::format("  gdtr base {:016x} limit {:04x}   idtr base {:016x} limit {:04x}\n", c.gdtr.base, c.gdtr.limit, c.idtr.base, c.idtr.limit);
  return s;
}

nlohmann::ordered_json processor_json(emu::Machine& m, unsigned n, const hv::Symbols* symbols) {
  const cpu::Cpu& c = m.processor(n);
  nlohmann::ordered_json j;
  j["cpu"] = n;
  j["activity"] = activity_name(c.activity);
  j["mode"] = mode_name(m, n);
  j["cpl"] = c.cpl();
  j["vmx"] = !c.vmx.on ? "off" : c.vmx.non_root ? "non-root" : "root";
  if (c.vmx.on && c.vmx.vmcs != ~u64{0}) j["vmcs"] = hex(c.vmx.vmcs);
  j["rip"] = hex(c.rip);
  if (const std::string at = where(c.rip, symbols); !at.empty()) j["symbol"] = at;
  j["rflags"] = hex(c.rflags());
  for (unsigned r = 0; r < 16; ++r) j["registers"][kRegisters[r]] = hex(c.r[r]);
  j["cr0"] = hex(c.cr0), j["cr2"] = hex(c.cr2), j["cr3"] = hex(c.cr3), j["cr4"] = hex(c.cr4), j["efer"] = hex(c.efer);
  for (unsigned g = 0; g < 6; ++g)
    j["segments"][kSegments[g]] = {{"selector", hex(c.seg[g].sel)}, {"base", hex(c.seg[g].base)}, {"limit", hex(c.seg[g].limit)}, {"rights", hex(c.seg[g].ar)}};
  return j;
}

}  // namespace vt::cli
