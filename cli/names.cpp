// SPDX-License-Identifier: GPL-2.0-or-later
#include "names.hpp"

#include "emu/disk.hpp"

#include "text.hpp"

namespace vt::cli {
namespace {

constexpr struct { u8 number; const char* name; } kExits[] = {
  {0, "exception-nmi"}, {1, "external-interrupt"}, {2, "triple-fault"}, {3, "init"}, {4, "sipi"}, {7, "interrupt-window"},
  {8, "nmi-window"}, {9, "task-switch"}, {10, "cpuid"}, {11, "getsec"}, {12, "hlt"}, {13, "invd"}, {14, "invlpg"}, {15, "rdpmc"},
  {16, "rdtsc"}, {17, "rsm"}, {18, "vmcall"}, {19, "vmclear"}, {20, "vmlaunch"}, {21, "vmptrld"}, {22, "vmptrst"}, {23, "vmread"},
  {24, "vmresume"}, {25, "vmwrite"}, {26, "vmxoff"}, {27, "vmxon"}, {28, "cr-access"}, {29, "dr-access"}, {30, "io"}, {31, "rdmsr"},
  {32, "wrmsr"}, {33, "entry-guest-state"}, {34, "entry-msr-load"}, {36, "mwait"}, {37, "monitor-trap"}, {39, "monitor"}, {40, "pause"},
  {41, "entry-machine-check"}, {43, "tpr-below-threshold"}, {44, "apic-access"}, {45, "virtualized-eoi"}, {46, "gdtr-idtr"},
  {47, "ldtr-tr"}, {48, "ept-violation"}, {49, "ept-misconfiguration"}, {50, "invept"}, {51, "rdtscp"}, {52, "preemption-timer"},
  {53, "invvpid"}, {54, "wbinvd"}, {55, "xsetbv"}, {56, "apic-write"}, {57, "rdrand"}, {58, "invpcid"}, {59, "vmfunc"}, {60, "encls"},
  {61, "rdseed"}, {62, "pml-full"}, {63, "xsaves"}, {64, "xrstors"},
};

constexpr const char* kExceptions[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", nullptr, "#TS", "#NP", "#SS", "#GP",
                                       "#PF", nullptr, "#MF", "#AC", "#MC", "#XM", "#VE", "#CP"};

}  // namespace

std::string exit_name(unsigned reason) {
  for (auto& e : kExits) if (e.number == reason) return e.name;
  return "exit-" + std::to_string(reason);
}
std::optional<unsigned> exit_number(std::string_view name) {
  for (auto& e : kExits) if (name == e.name) return e.number;
  if (name == "ept-misconfig") return 49;
  if (auto n = parse_number(name); n && *n < kExitReasons) return static_cast<unsigned>(*n);
  return {};
}
std::string exception_name(unsigned vector) {
  if (vector < std::size(kExceptions) && kExceptions[vector]) return kExceptions[vector];
  return "vector " + std::to_string(vector);
}
const char* stop_name(StopReason r) {
  switch (r) {
    case StopReason::none: return "unfinished";
    case StopReason::input_lost: return "input-lost";
    case StopReason::unsupported: return "unsupported";
    case StopReason::power_off: return "power-off";
    case StopReason::reset: return "reset";
    case StopReason::triple_fault: return "triple-fault";
    case StopReason::halted: return "halted";
    case StopReason::exit_device: return "exit-device";
    case StopReason::until: return "until";
    case StopReason::limit: return "limit";
    case StopReason::interrupted: return "interrupted";
  }
  return "unknown";
}

const char* e820_name(fw::E820 t) {
  switch (t) {
    case fw::E820::RAM: return "RAM";
    case fw::E820::RESERVED: return "RESERVED";
    case fw::E820::ACPI: return "ACPI";
    case fw::E820::NVS: return "NVS";
    case fw::E820::UNUSABLE: return "UNUSABLE";
    case fw::E820::PMEM: return "PMEM";
  }
  return "unknown";
}

}  // namespace vt::cli
