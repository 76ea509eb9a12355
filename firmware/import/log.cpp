// SPDX-License-Identifier: GPL-2.0-or-later
/// Whose log it is: Xen's, Linux's, of which processor's maker.
#include "facts.hpp"

namespace vt::fw::import {
namespace {

/// Lines that only a machine with an AMD processor prints. "AuthenticAMD" is not enough, Linux lists the makers that it knows; and
/// "AMD-Vi: AMD IOMMUv2 functionality not available" stands in logs of Intel machines.
bool says_amd(std::string_view t) {
  auto vendor = [&](std::string_view key) {
    Scan s(t);
    if (!s.find(key)) return false;
    std::string_view name = s.blanks().lit(":") ? s.blanks().rest() : s.rest();
    return name.starts_with("AMD") || name.starts_with("AuthenticAMD") || name.starts_with("Hygon");
  };
  if (vendor("CPU Vendor") || vendor("vendor_id") || vendor("CPU0:") || vendor("Vendor ID")) return true;
  if (contains(t, "AMD-Vi:") || contains(t, "AMD-Vi ")) return !contains(t, "not available") && !contains(t, "not found") && !contains(t, "Disabled");
  if (contains(t, "ACPI: IVRS ")) return true;
  if (contains(t, "SVM: Supported advanced features") || contains(t, "HVM: SVM enabled") || contains(t, "SVM: kvm: ") || contains(t, "kvm_amd: ")) return true;
  return false;
}

}  // namespace

void read_log(Facts& f, const std::string& file, const std::vector<Line>& lines) {
  bool xen_host = false, under_xen = false;
  unsigned under_at = 0;
  for (const Line& l : lines) {
    if (l.domain) continue;
    if (l.xen) xen_host = true;
    if (!l.xen && (contains(l.text, "Hypervisor detected: Xen") || contains(l.text, "ooting paravirtualized kernel on Xen") || contains(l.text, "ooting kernel on Xen") ||
                   contains(l.text, "Xen: [mem ") || contains(l.text, "xen: PV guest on Xen") || contains(l.text, "aravirtualized kernel with PVH on Xen"))) {
      if (!under_xen) under_at = l.number;
      under_xen = true;
    }
    if (f.amd.empty() && says_amd(l.text)) f.amd = at(file, l.number) + ": " + l.text;
  }
  if (under_xen && !xen_host) f.note(Kind::ignored, at(file, under_at), "this Linux runs under Xen: its memory map is a domain's; the host's is in the output of \"xl dmesg\"");
  read_e820(f, file, lines, xen_host, under_xen);
  read_dmar(f, file, lines);
  read_machine(f, file, lines, xen_host, under_xen);
}

}  // namespace vt::fw::import
