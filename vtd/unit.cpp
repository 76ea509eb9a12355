// SPDX-License-Identifier: GPL-2.0-or-later
#include "vtd/unit.hpp"

#include "base/check.hpp"

namespace vt::vtd {

Unit::Unit(Outside& out, const Caps& caps, u8 index)
    : out_(out), caps_(caps), index_(index), contexts_(caps.context_entries), iotlb_(caps.iotlb_entries), irtes_(caps.interrupt_entries) {
  CHECK(defect(caps_).empty(), defect(caps_));
  auto add = [this](const Reg& x, u64 base) {
    rows_.push_back(x);
    Reg& row = rows_.back();
    row.offset = static_cast<u16>(base + x.offset);
    if (!offered(row.need, caps_)) return;
    for (unsigned i = 0; i < row.size; i += 4) {
      u16& slot = row_at_[(row.offset + i) / 4];
      CHECK(slot == 0);
      slot = static_cast<u16>(rows_.size());
    }
  };
  for (const Reg& x : kRegs) add(x, 0);
  for (const Reg& x : kIotlbRegs) add(x, caps_.iotlb_offset);
  for (unsigned i = 0; i < caps_.fault_records; ++i)
    for (const Reg& x : kFaultRegs) add(x, caps_.fault_offset + 16 * i);

  auto [ver, cap, ecap] = capability_registers(caps_);
  rows_[r::VER].reset = ver;
  rows_[r::CAP].reset = cap;
  rows_[r::ECAP].reset = ecap;
  // Address bits above the host's width are not implemented.
  for (unsigned row : {r::RTADDR, r::IQA, r::IRTA, r::PHMBASE, r::PHMLIMIT}) rows_[row].writable &= caps_.host_limit() - 1;
  // So are domain-id bits above the width offered.
  rows_[r::CCMD].writable &= ~(mask(15, 0) & ~caps_.domain_mask());
  rows_[r::IOTLB].writable &= ~((mask(15, 0) & ~caps_.domain_mask()) << 32);
  if (!caps_.extended_interrupt_mode) rows_[r::IRTA].writable &= ~(u64{1} << 11);   // EIME
  values_.assign(rows_.size(), 0);
  reset();
}

void Unit::reset(bool power_on) {
  for (std::size_t i = 0; i < rows_.size(); ++i)
    if (power_on || !rows_[i].sticky) values_[i] = rows_[i].reset;
  root_ = irta_ = 0;
  next_record_ = 0;
  contexts_.reset();
  iotlb_.reset();
  irtes_.reset();
}

void Unit::emit(EventKind kind, u64 b, u64 c, u64 d) {
  if (EventSink* sink = out_.events()) {
    Event e;
    e.kind = kind;
    e.step = out_.step();
    e.a = index_, e.b = b, e.c = c, e.d = d;
    sink->on(e);
  }
}

u32 Unit::dword(u64 offset) const {
  u16 slot = row_at_[offset / 4];
  if (!slot) return 0;
  const Reg& row = rows_[slot - 1u];
  u64 v = values_[slot - 1u] & ~row.reads_zero;
  return static_cast<u32>(v >> (8 * (offset - row.offset)));
}

u64 Unit::read(u64 offset, unsigned size) {
  u64 ones = size < 8 ? (u64{1} << (8 * size)) - 1 : ~u64{0};
  bool whole = (size == 4 || size == 8) && offset % 4 == 0;
  bool part = (size == 1 || size == 2) && offset % size == 0;
  if ((!whole && !part) || offset >= kRegisterFile || size > kRegisterFile - offset) return ++stats_.odd_accesses, ones;
  if (part) ++stats_.odd_accesses;
  u64 at = offset & ~u64{3};
  u64 v = dword(at);
  if (size == 8) v |= u64{dword(at + 4)} << 32;
  return (v >> (8 * (offset - at))) & ones;
}

void Unit::write(u64 offset, unsigned size, u64 value) {
  if ((size != 4 && size != 8) || offset % 4 || offset >= kRegisterFile || size > kRegisterFile - offset) {
    ++stats_.odd_accesses;
    return;
  }
  if (size == 4) value &= 0xffff'ffff;
  emit(EventKind::vtd_register, offset, value);
  constexpr u64 kLow = 0xffff'ffff;
  u16 first = row_at_[offset / 4];
  if (size == 8) {
    u16 second = row_at_[offset / 4 + 1];
    if (first && first == second) return store(first - 1u, value, ~u64{0});
    if (first) store(first - 1u, offset == rows_[first - 1u].offset ? value & kLow : value << 32, offset == rows_[first - 1u].offset ? kLow : ~kLow);
    if (second) store(second - 1u, value >> 32, kLow);      // what starts in the upper half starts with its own lower half
  } else if (first) {
    bool low = offset == rows_[first - 1u].offset;
    store(first - 1u, low ? value : value << 32, low ? kLow : ~kLow);
  }
}

/// `which`: the bits that this access reaches.
void Unit::store(unsigned row, u64 value, u64 which) {
  const Reg& x = rows_[row];
  u64 w = x.writable & which;
  values_[row] = ((values_[row] & ~w) | (value & w)) & ~(value & x.w1c & which);
  effect(x.effect, row, value & which, which);
}

void Unit::effect(Effect e, unsigned row, u64 value, u64 which) {
  switch (e) {
    case Effect::none: break;
    case Effect::GCMD: command(static_cast<u32>(value)); break;
    case Effect::CCMD: if (bit(which, 63)) context_command(); break;
    case Effect::IOTLB: if (bit(which, 63)) iotlb_command(); break;
    case Effect::FSTS:
      faults_changed();
      run_queue();                     // clearing IQE lets the queue go on
      break;
    case Effect::FRCD: faults_changed(); break;
    case Effect::FECTL: unmasked(r::FECTL); break;
    case Effect::IECTL: unmasked(r::IECTL); break;
    case Effect::PMEN: values_[row] = (values_[row] & ~u64{1}) | bit(values_[row], 31); break;   // PRS follows EPM
    case Effect::IQT: run_queue(); break;
    case Effect::ICS:
      if (!(values_[r::ICS] & 1)) values_[r::IECTL] &= ~u64{ectl::IP};
      break;
  }
}

/// VT-d "Global Command Register". One-shot commands are done at once and their status stays set, so software that
/// writes GSTS with one more bit gives them again, which takes the same pointer over once more. Pointers come before what uses them.
void Unit::command(u32 v) {
  using namespace gcmd;
  u32 status = gsts();
  auto toggle = [&](u32 b) { bool changed = (status ^ v) & b; status = (status & ~b) | (v & b); return changed; };
  if (v & SRTP) {
    root_ = values_[r::RTADDR], status |= SRTP;
    emit(EventKind::vtd_pointer, 0, root_);
  }
  if ((v & SIRTP) && caps_.interrupt_remapping) {
    irta_ = values_[r::IRTA], status |= SIRTP;
    emit(EventKind::vtd_pointer, 1, irta_);
  }
  // WBF (where RWBF is offered): nothing is ever held back, WBFS is clear again by now. SFL, EAFL: AFL is not offered.
  bool queue = caps_.queued_invalidation && toggle(QIE);
  if (caps_.interrupt_remapping) toggle(IRE), toggle(CFI);
  bool translation = toggle(TE);
  values_[r::GSTS] = status;
  if (!(status & (TE | IRE))) next_record_ = 0;      // "Primary Fault Logging"
  if (queue && !(status & QIE)) values_[r::IQH] = 0;
  if (queue && (status & QIE)) run_queue();
  if (translation) {
    if (status & TE) enabled_at_step_ = out_.step();
    emit(EventKind::vtd_translation, status & TE ? 1 : 0, root_);
  }
}

const char* Unit::register_name(u64 offset) const {
  if (offset >= kRegisterFile) return nullptr;
  u16 slot = row_at_[offset / 4];
  return slot ? rows_[slot - 1u].name : nullptr;
}

void Unit::state(Ar& ar) {
  constexpr const char* kOther = "damaged state: a remapping unit with other registers";
  fixed_size_state(ar, values_, kOther);
  ar(root_, irta_, next_record_);
  if (next_record_ >= caps_.fault_records) throw std::runtime_error(kOther);
  ar(contexts_, iotlb_, irtes_);
}

}  // namespace vt::vtd
