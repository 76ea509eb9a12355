// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/inspect.hpp"

#include <algorithm>

#include "cpu/block.hpp"
#include "decoder.hpp"
#include "vmx/vmcs.hpp"

namespace vt::cpu {

std::vector<VmcsField> vmcs_fields(const PhysMem& mem, u64 vmcs) {
  static constexpr const char* kAreas[] = {"control", "exit information", "guest", "host"};
  static constexpr u8 kBytes[] = {2, 8, 4, 8};
  std::vector<VmcsField> all;
  for (const FieldRow& f : kFields)
    all.push_back({f.name, f.encoding, kBytes[static_cast<unsigned>(f.width)], kAreas[static_cast<unsigned>(f.area)], read_field(mem, vmcs, static_cast<Field>(f.encoding))});
  return all;
}

const char* vmcs_launch_state(const PhysMem& mem, u64 vmcs) {
  switch (launch_state(mem, vmcs)) {
    case vmcs_page::kClear: return "clear";
    case vmcs_page::kLaunched: return "launched";
    default: return "unknown";
  }
}

unsigned instruction_length(const Cpu& c, std::span<const u8> bytes) {
  Insn i;
  bool ends = false;
  const auto n = static_cast<unsigned>(std::min<std::size_t>(bytes.size(), 15));
  switch (decode(bytes.data(), n, 0, static_cast<u16>(c.mode & ~mode_bit::single), c.model(), i, ends)) {
    case Decoded::ok: return i.len;
    case Decoded::too_long: return 15;
    case Decoded::need_more: return 0;
  }
  return 0;
}

}  // namespace vt::cpu
