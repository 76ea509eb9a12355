// SPDX-License-Identifier: GPL-2.0-or-later
/// The VMX instructions.   SDM 3C "VMX Instruction Reference"
#include "cpu/rows.hpp"
#include "vmx/vmcs.hpp"

namespace vt::cpu {

Next vm_succeed(Cpu& c, Next then) {
  c.lf.set(0);
  return then;
}
Next vm_fail_invalid(Cpu& c, Next then) {
  c.lf.set(rflags::CF);
  return then;
}
Next vm_fail(Cpu& c, VmError e, Next then) {
  if (c.vmx.vmcs == ~u64{0}) return vm_fail_invalid(c, then);
  c.lf.set(rflags::ZF);
  write_field(c, Field::VM_INSTRUCTION_ERROR, static_cast<u32>(e));
  return then;
}

namespace {

using vt::cpu::vm_entry;

bool address_ok(const Cpu& c, u64 a) { return !(a & 0xfff) && !(a >> c.model().physical_address_bits); }

/// Common beginning: #UD outside VMX operation and in compatibility mode (the row's `protected_only` has dealt with real-address and
/// virtual-8086 mode), VM exit in non-root operation, #GP(0) above privilege level 0. False: `next` is the answer.
bool begin(Cpu& c, const Insn& i, ExitReason reason, Next& next) {
  next = Next::fault;
  if (!c.vmx.on || (c.long_mode() && !c.seg[CS].l())) return c.ud(), false;
  if (c.non_root()) return intercept(c, reason, i), false;
  if (c.cpl() != 0) return c.gp(0), false;
  return true;
}

void tell(Cpu& c, EventKind kind, u64 a, u64 b, u64 d = 0) {
  if (EventSink* s = c.out().events())
    s->on({.kind = kind, .cpu = static_cast<u16>(c.index()), .step = c.step(), .rip = c.r[kRipReg] + c.cur->off, .a = a, .b = b, .c = d});
}

template <class C>
Next vmxon(C& c, const Insn& i) {
  // SDM 3C "VMXON"
  if (!(c.cr4 & cr4::VMXE) || (c.long_mode() && !c.seg[CS].l())) return c.ud();
  if (c.vmx.on) {
    Next n;
    if (!begin(c, i, ExitReason::vmxon, n)) return n;
    return vm_fail(c, VmError::vmxon_in_root);
  }
  const bool cr0_ok = (c.cr0 & kCr0Fixed0) == kCr0Fixed0;
  const u64 fc = c.msr.feature_control;  // bit 0: lock; bit 2: VMXON outside SMX
  if (c.cpl() != 0 || !cr0_ok || (c.cr4 & ~cr4_fixed1(c.model())) || (fc & 5) != 5) return c.gp(0);
  u64 addr;
  if (!c.template load<u64>(i, addr)) return Next::fault;
  if (!address_ok(c, addr)) return vm_fail_invalid(c);
  if (c.memory().peek32(Hpa{addr}) != vmcs_page::kRevision) return vm_fail_invalid(c);
  c.vmx = Vmx{};
  c.vmx.on = true;
  c.vmx.vmxon_pointer = addr;
  c.update();
  c.want_attention();
  return vm_succeed(c, Next::end);
}

template <class C>
Next vmxoff(C& c, const Insn& i) {
  Next n;
  if (!begin(c, i, ExitReason::vmxoff, n)) return n;
  c.vmx = Vmx{};
  c.update();
  c.want_attention();  // INIT is blocked no more
  return vm_succeed(c, Next::end);
}

template <class C>
Next vmclear(C& c, const Insn& i) {
  Next n;
  if (!begin(c, i, ExitReason::vmclear, n)) return n;
  u64 addr;
  if (!c.template load<u64>(i, addr)) return Next::fault;
  if (!address_ok(c, addr)) return vm_fail(c, VmError::vmclear_address, Next::end);
  if (addr == c.vmx.vmxon_pointer) return vm_fail(c, VmError::vmclear_vmxon_pointer, Next::end);
  set_launch_state(c.memory(), addr, vmcs_page::kClear);
  if (addr == c.vmx.vmcs) c.vmx.vmcs = ~u64{0};
  return vm_succeed(c, Next::end);
}

template <class C>
Next vmptrld(C& c, const Insn& i) {
  Next n;
  if (!begin(c, i, ExitReason::vmptrld, n)) return n;
  u64 addr;
  if (!c.template load<u64>(i, addr)) return Next::fault;
  if (!address_ok(c, addr)) return vm_fail(c, VmError::vmptrld_address, Next::end);
  if (addr == c.vmx.vmxon_pointer) return vm_fail(c, VmError::vmptrld_vmxon_pointer, Next::end);
  // A shadow VMCS (bit 31) needs "VMCS shadowing", which is not offered.
  if (c.memory().peek32(Hpa{addr}) != vmcs_page::kRevision) return vm_fail(c, VmError::vmptrld_revision, Next::end);
  c.vmx.vmcs = addr;
  if (u64 eptp = read_field(c, Field::EPT_POINTER)) tell(c, EventKind::eptp_change, addr, eptp);
  return vm_succeed(c, Next::end);
}

template <class C>
Next vmptrst(C& c, const Insn& i) {
  Next n;
  if (!begin(c, i, ExitReason::vmptrst, n)) return n;
  if (!c.template store<u64>(i, c.vmx.vmcs)) return Next::fault;
  return vm_succeed(c);
}

template <class C, class T, bool M>
Next vmread(C& c, const Insn& i) {
  Next n;
  if (!begin(c, i, ExitReason::vmread, n)) return n;
  if (c.vmx.vmcs == ~u64{0}) return vm_fail_invalid(c);
  const u64 encoding = c.template reg<T>(i.reg);
  const FieldRow* f = find_field(encoding);
  if (!f || !field_exists(c.model(), *f)) return vm_fail(c, VmError::unsupported_component);
  u64 v = read_field(c, static_cast<Field>(f->encoding));
  if (bit(encoding, 0)) v >>= 32;
  if constexpr (M) {
    if (!c.template store<T>(i, static_cast<T>(v))) return Next::fault;
  } else {
    c.template set_reg<T>(i.rm, static_cast<T>(v));
  }
  return vm_succeed(c);
}

template <class C, class T, bool M>
Next vmwrite(C& c, const Insn& i) {
  Next n;
  if (!begin(c, i, ExitReason::vmwrite, n)) return n;
  if (c.vmx.vmcs == ~u64{0}) return vm_fail_invalid(c, Next::end);
  // "any faults that result from accessing a memory source operand occur ... before determining if the destination VMCS field is supported"
  T source;
  if constexpr (M) {
    if (!c.template load<T>(i, source)) return Next::fault;
  } else {
    source = c.template reg<T>(i.rm);
  }
  const u64 encoding = c.template reg<T>(i.reg);
  const FieldRow* f = find_field(encoding);
  if (!f || !field_exists(c.model(), *f)) return vm_fail(c, VmError::unsupported_component, Next::end);
  if (f->area == Area::exit_info) return vm_fail(c, VmError::readonly_component, Next::end);
  const Field field = static_cast<Field>(f->encoding);
  u64 v = source;
  if (bit(encoding, 0)) v = (read_field(c, field) & 0xffff'ffff) | v << 32;
  write_field(c, field, v);
  if (field == Field::EPT_POINTER) tell(c, EventKind::eptp_change, c.vmx.vmcs, v);
  return vm_succeed(c, Next::end);
}

template <class C>
Next vmcall(C& c, const Insn& i) {
  // In non-root operation it exits in every mode and at every privilege level.   SDM 3C "VMCALL"
  if (!c.vmx.on) return c.ud();
  if (c.non_root()) return intercept(c, ExitReason::vmcall, i), Next::fault;
  if (c.vm86() || !c.protected_mode() || (c.long_mode() && !c.seg[CS].l())) return c.ud();
  if (c.cpl() != 0) return c.gp(0);
  return vm_fail(c, VmError::vmcall_in_root, Next::end);
}

template <class C, bool Launch>
Next enter_guest(C& c, const Insn& i) {
  Next n;
  if (!begin(c, i, Launch ? ExitReason::vmlaunch : ExitReason::vmresume, n)) return n;
  if (c.vmx.vmcs == ~u64{0}) return vm_fail_invalid(c, Next::end);
  if (c.movss_shadow) return vm_fail(c, VmError::entry_movss, Next::end);
  const u32 state = launch_state(c.memory(), c.vmx.vmcs);
  if (Launch && state != vmcs_page::kClear) return vm_fail(c, VmError::vmlaunch_not_clear, Next::end);
  if (!Launch && state != vmcs_page::kLaunched) return vm_fail(c, VmError::vmresume_not_launched, Next::end);
  // Delivering an injected event cannot be begun twice, so it is done where devices and code can be stored to at once.
  if (!c.careful && (read_field(c, Field::VM_ENTRY_INTR_INFO) & intr_info::valid)) {
    c.fault = {};
    c.fault.kind = Fault::Kind::careful;
    return Next::fault;
  }
  return vm_entry(c, Launch);
}
template <class C> Next vmlaunch(C& c, const Insn& i) { return enter_guest<C, true>(c, i); }
template <class C> Next vmresume(C& c, const Insn& i) { return enter_guest<C, false>(c, i); }

/// The 128-bit descriptor of INVEPT and INVVPID.
bool load_descriptor(Cpu& c, const Insn& i, u64& low, u64& high) {
  u64 la, la_high;
  return c.linear(i, 16, false, la) && c.linear(i, 8, false, la_high, 8) && c.load_at<u64>(la, low, i.seg) && c.load_at<u64>(la_high, high, i.seg);
}

template <class C>
Next invept(C& c, const Insn& i) {
  Next n;
  if (!begin(c, i, ExitReason::invept, n)) return n;
  const u64 type = c.code64_now ? c.r[i.reg] : static_cast<u32>(c.r[i.reg]);
  if (type != 1 && type != 2) return vm_fail(c, VmError::invept_invvpid_operand, Next::end);
  u64 eptp, reserved;
  if (!load_descriptor(c, i, eptp, reserved)) return Next::fault;
  if (reserved) return vm_fail(c, VmError::invept_invvpid_operand, Next::end);
  if (type == 1 && !ept::valid(ept_caps(c.model()), ept::Eptp{eptp})) return vm_fail(c, VmError::invept_invvpid_operand, Next::end);
  tell(c, EventKind::invept, type, eptp);
  if (type == 1) c.tlb.flush_eptp(eptp & mask(51, 12));
  else c.tlb.flush_ept_tagged();
  return vm_succeed(c, Next::end);
}

template <class C>
Next invvpid(C& c, const Insn& i) {
  Next n;
  if (!begin(c, i, ExitReason::invvpid, n)) return n;
  const u64 type = c.code64_now ? c.r[i.reg] : static_cast<u32>(c.r[i.reg]);
  if (type > 3) return vm_fail(c, VmError::invept_invvpid_operand, Next::end);
  u64 low, linear;
  if (!load_descriptor(c, i, low, linear)) return Next::fault;
  const u16 vpid = static_cast<u16>(low);
  if (low >> 16 || (type != 2 && vpid == 0) || (type == 0 && !canonical(linear)))
    return vm_fail(c, VmError::invept_invvpid_operand, Next::end);
  tell(c, EventKind::invvpid, type, vpid, linear);
  switch (type) {
    case 0: c.tlb.flush_page_vpid(vpid, linear); break;
    case 1: c.tlb.flush_vpid(vpid, false); break;
    case 2: c.tlb.flush_nonzero_vpids(); break;
    default: c.tlb.flush_vpid(vpid, true); break;
  }
  return vm_succeed(c, Next::end);
}

}  // namespace

std::span<const Def> vmx_rows() {
  using C = Cpu;
  using namespace attr;
  constexpr Feature vmx = Feature::vmx;
  constexpr u32 op = vmx_op | protected_only | ends_block | force64;
  static const Def kRows[] = {
      {"INVEPT", "66 0F 38 80 /r", "Gy, Mdq", op, vmx, VT_1(invept)},
      {"INVVPID", "66 0F 38 81 /r", "Gy, Mdq", op, vmx, VT_1(invvpid)},
      {"VMCALL", "NP 0F 01 C1", "", vmx_op | ends_block, vmx, VT_1(vmcall)},
      {"VMCLEAR", "66 0F C7 /6", "Mq", op, vmx, VT_1(vmclear)},
      {"VMLAUNCH", "NP 0F 01 C2", "", op, vmx, VT_1(vmlaunch)},
      {"VMPTRLD", "NP 0F C7 /6", "Mq", op, vmx, VT_1(vmptrld)},
      {"VMPTRST", "NP 0F C7 /7", "Mq", op, vmx, VT_1(vmptrst)},
      // Operands are 64 bits wide in 64-bit mode and 32 elsewhere, whatever the operand size.
      {"VMREAD", "NP 0F 78 /r", "Ey, Gy", op, vmx,
       {{run<C, vmread<C, u32, false>, true>, run<C, vmread<C, u32, true>, true>}, {run<C, vmread<C, u32, false>, true>, run<C, vmread<C, u32, true>, true>}, {run<C, vmread<C, u64, false>, true>, run<C, vmread<C, u64, true>, true>}}},
      {"VMRESUME", "NP 0F 01 C3", "", op, vmx, VT_1(vmresume)},
      {"VMWRITE", "NP 0F 79 /r", "Gy, Ey", op, vmx,
       {{run<C, vmwrite<C, u32, false>, true>, run<C, vmwrite<C, u32, true>, true>}, {run<C, vmwrite<C, u32, false>, true>, run<C, vmwrite<C, u32, true>, true>}, {run<C, vmwrite<C, u64, false>, true>, run<C, vmwrite<C, u64, true>, true>}}},
      {"VMXOFF", "NP 0F 01 C4", "", op, vmx, VT_1(vmxoff)},
      {"VMXON", "F3 0F C7 /6", "Mq", op, vmx, VT_1(vmxon)},
  };
  return kRows;
}

}  // namespace vt::cpu
