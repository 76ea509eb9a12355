// SPDX-License-Identifier: GPL-2.0-or-later
/// Primary fault logging and the two interrupts that a unit itself sends.
/// VT-d "Primary Fault Logging", "Fault Event Control Register", "Invalidation Event Control Register"
#include "vtd/fault.hpp"

#include "vtd/unit.hpp"

namespace vt::vtd {

const char* fault_text(u8 reason) {
  if (reason == fault::none) return "no fault";
  for (const FaultReason& f : kFaultReasons) if (f.code == reason) return f.text;
  return "unknown fault reason";
}

const char* why_text(Why why) {
  switch (why) {
    case Why::ok: return "mapped";
    case Why::beyond_width: return "beyond the address width";
    case Why::not_present: return "not present";
    case Why::denied: return "mapped without that right";
    case Why::reserved: return "a reserved bit is set";
    case Why::root_unreadable: return "the top table is not in memory";
    case Why::table_unreadable: return "a table is not in memory";
    case Why::interrupt_range: return "maps the interrupt address range";
  }
  return "";
}

/// `info`: the record's lower half.
void Unit::record(Bdf source, u64 info, u8 reason, bool read, bool fpd) {
  ++stats_.faults;
  if (EventSink* sink = out_.events()) {
    Event e;
    e.kind = EventKind::vtd_fault;
    e.step = out_.step();
    e.a = index_, e.b = source.v, e.c = info, e.d = reason;
    sink->on(e);
  }
  if (qualified(reason) && fpd) { ++stats_.faults_not_recorded; return; }
  if (values_[r::FSTS] & fsts::PFO) { ++stats_.faults_not_recorded; return; }   // until software clears it nothing is recorded
  u64* at = &values_[r::FRCD + 2 * next_record_];
  if (FaultRecord{at[0], at[1]}.pending()) {
    ++stats_.faults_not_recorded;
    return raise(fsts::PFO);
  }
  FaultRecord f = FaultRecord::make(source, info, reason, read);
  at[0] = f.lo, at[1] = f.hi;
  u32 here = next_record_;
  next_record_ = here + 1 == caps_.fault_records ? 0 : here + 1;
  if (!(values_[r::FSTS] & fsts::PPF)) {
    values_[r::FSTS] = set_bits(values_[r::FSTS], 15, 8, here);     // FRI: the first of those now pending
    raise(fsts::PPF);
  }
}

/// Only the first status bit is a new interrupt condition.
void Unit::raise(u32 status) {
  bool first = !(values_[r::FSTS] & fsts::status);
  values_[r::FSTS] |= status;
  if (first) condition(r::FECTL);
}

/// After software cleared status bits or records: PPF is the OR of all F, and a message held back is given up once nothing is left.
void Unit::faults_changed() {
  bool any = false;
  for (unsigned i = 0; i < caps_.fault_records; ++i) any |= fault_record(i).pending();
  if (!any) values_[r::FSTS] &= ~u64{fsts::PPF | 0xff00};
  if (!(values_[r::FSTS] & fsts::status)) values_[r::FECTL] &= ~u64{ectl::IP};
}

/// An interrupt condition: sent, or held in IP while IM is set. `control`: FECTL or IECTL; data, address and upper address follow it.
void Unit::condition(unsigned control) {
  if (values_[control] & ectl::IM) {
    values_[control] |= ectl::IP;
    return;
  }
  ++stats_.messages;
  out_.msi(values_[control + 2] | values_[control + 3] << 32, static_cast<u32>(values_[control + 1]));
}

void Unit::unmasked(unsigned control) {
  if ((values_[control] & ectl::IM) || !(values_[control] & ectl::IP)) return;
  values_[control] &= ~u64{ectl::IP};
  condition(control);
}

static_assert(r::FEDATA == r::FECTL + 1 && r::FEADDR == r::FECTL + 2 && r::FEUADDR == r::FECTL + 3);
static_assert(r::IEDATA == r::IECTL + 1 && r::IEADDR == r::IECTL + 2 && r::IEUADDR == r::IECTL + 3);

}  // namespace vt::vtd
