// SPDX-License-Identifier: GPL-2.0-or-later
/// Registers, doorbells and queues.   NVM Express 1.4 "Controller Registers", "Doorbell Register", "Queue Definition"
#include "pci/nvme.hpp"

#include <utility>

#include "base/bits.hpp"

namespace vt::emu::pci {
namespace {

constexpr u32 kReadyBit = 1, kFatalBit = 2;
// Contiguous queues of up to 1024 entries, 5 s to get ready, doorbells 4 bytes apart, pages of 4 KiB, the NVM command set.
constexpr u64 kCap = (Nvme::kMaxEntries - 1) | u64{1} << 16 | u64{10} << 24 | u64{1} << 37;
constexpr u32 kVersion = 0x00010400;
constexpr u64 kDoorbells = 0x1000;

FunctionSpec completed(FunctionSpec s) {
  s.msix = {static_cast<u16>(Nvme::kQueues), 0, Nvme::kTable, Nvme::kPending};
  return s;
}

}  // namespace

Nvme::Nvme(FunctionSpec spec, BarMapper* mapper, DmaPort& dma, Clock& clock, IrqLine* intx, Disk* disk)
    : Endpoint(completed(std::move(spec)), mapper, dma, clock, intx), disk_(disk) {}

void Nvme::reset() {
  disable();
  cancel(kReady);
  cc_ = csts_ = aqa_ = 0;
  asq_ = acq_ = 0;
  errors_ = 0, log_ = {};
  units_read_ = units_written_ = reads_ = writes_ = 0;
  Endpoint::reset();
}

void Nvme::state(Ar& ar) {
  Function::state(ar);
  ar(cc_, csts_, mask_, aqa_, asq_, acq_, sq_, cq_, queues_allowed_, busy_, features_, requests_, waiting_, event_, event_masked_, errors_, log_);
  ar(units_read_, units_written_, reads_, writes_);
  if (!ar.loading()) return;
  bool good = waiting_ <= requests_.size() && queues_allowed_ < kQueues;
  for (auto& q : sq_) good &= !q.there || (q.size >= 2 && q.size <= kMaxEntries && q.head < q.size && q.tail < q.size && q.completion < kQueues);
  for (auto& q : cq_) good &= !q.there || (q.size >= 2 && q.size <= kMaxEntries && q.head < q.size && q.tail < q.size && q.vector < kQueues);
  if (!good) throw std::runtime_error("damaged state: queues of " + name());
}

u32 Nvme::dword(u64 offset) const {
  switch (offset) {
    case 0x00: return static_cast<u32>(kCap);
    case 0x04: return static_cast<u32>(kCap >> 32);
    case 0x08: return kVersion;
    case 0x0c: case 0x10: return mask_;
    case 0x14: return cc_;
    case 0x1c: return csts_;
    case 0x24: return aqa_;
    case 0x28: return static_cast<u32>(asq_);
    case 0x2c: return static_cast<u32>(asq_ >> 32);
    case 0x30: return static_cast<u32>(acq_);
    case 0x34: return static_cast<u32>(acq_ >> 32);
    default: return 0;
  }
}

u64 Nvme::register_read(unsigned, u64 offset, unsigned size) {
  u64 value = 0;
  for (unsigned i = 0; i < size; ++i) value |= u64{static_cast<u8>(dword((offset + i) & ~u64{3}) >> (8 * ((offset + i) & 3)))} << (8 * i);
  return value;
}

/// "host software shall access registers in their native width or aligned 32-bit accesses": others are dropped.
void Nvme::register_write(unsigned, u64 offset, unsigned size, u64 value) {
  if (size < 4 || offset % 4) return;
  for (unsigned i = 0; i < size; i += 4) write_dword(offset + i, static_cast<u32>(value >> (8 * i)));
}

void Nvme::write_dword(u64 offset, u32 v) {
  const auto half = [v](u64& reg, bool high) { reg = high ? (reg & 0xffffffff) | u64{v} << 32 : (reg & ~u64{0xffffffff}) | v; };
  if (offset >= kDoorbells && offset < kTable) return doorbell((offset - kDoorbells) / 4, v);
  const bool enabled = cc_ & 1;
  switch (offset) {
    case 0x0c: case 0x10:
      if (offset == 0x0c) mask_ |= v;
      else mask_ &= ~v;
      interrupts_changed(kQueues);
      break;
    case 0x14: configure(v); break;
    case 0x24: if (!enabled) aqa_ = v & 0x0fff0fff; break;
    case 0x28: case 0x2c: if (!enabled) half(asq_, offset == 0x2c), asq_ &= ~u64{0xfff}; break;
    case 0x30: case 0x34: if (!enabled) half(acq_, offset == 0x34), acq_ &= ~u64{0xfff}; break;
    default: break;
  }
}

/// "Controller Configuration", "Shutdown Processing"
void Nvme::configure(u32 v) {
  v &= 0x00fffff1;
  const u32 was = std::exchange(cc_, v);
  if ((was & 1) && !(v & 1)) {
    disable();
    cancel(kReady);
    csts_ = 0;
  } else if (!(was & 1) && (v & 1)) {
    after(kEnableDelay, kReady);
  }
  const u32 shutdown = v >> 14 & 3;
  if (shutdown == 0) csts_ &= ~u32{0xc};
  else if ((was >> 14 & 3) != shutdown && shutdown != 3) csts_ = (csts_ & ~u32{0xc}) | 0x8;   // nothing is held back: complete
}

/// "Controller Level Resets": queues and what waited in them are gone, features as at power-up.
void Nvme::disable() {
  cancel(kService);
  busy_ = 0;
  sq_ = {}, cq_ = {};
  features_ = {};
  queues_allowed_ = kQueues - 1;
  requests_ = {}, waiting_ = 0, event_ = 0, event_masked_ = 0;
  mask_ = 0;
  set_intx(false);
  for (unsigned n = 0; n < kQueues; ++n) forget_msix(n);
}

void Nvme::fatal() { csts_ |= kFatalBit; }

void Nvme::expire(u32 kind, u64) {
  if (kind == kReady) {
    if (!(cc_ & 1)) return;
    const u32 sq = (aqa_ & 0xfff) + 1, cq = (aqa_ >> 16 & 0xfff) + 1;
    // Page size 4 KiB, NVM command set, round robin are what CAP offers; "Admin Queue Attributes": 2 to 4096 entries.
    if (cc_ & 0x3ff0 || sq < 2 || cq < 2 || sq > kMaxEntries || cq > kMaxEntries) return fatal();
    sq_[0] = {asq_, static_cast<u16>(sq), 0, 0, 0, 1};
    cq_[0] = {acq_, static_cast<u16>(cq), 0, 0, 0, 1, 1, 1};
    csts_ |= kReadyBit;
    return;
  }
  busy_ = 0;
  if (service()) wake();
}

/// Something may be to do: after the delay of a command.
void Nvme::wake() {
  if (busy_ || !(csts_ & kReadyBit) || (csts_ & kFatalBit)) return;
  busy_ = 1;
  after(kDelay, kService);
}

void Nvme::doorbell(u64 index, u32 v) {
  if (!(csts_ & kReadyBit) || (csts_ & kFatalBit)) return;
  const u64 n = index / 2;
  const bool completion = index & 1;
  // "Asynchronous Event Information - Error Status": 0 a queue that is not there, 1 a value that is none.
  if (n >= kQueues || !(completion ? cq_[n].there : sq_[n].there)) return event(0, 0, 1);
  if (completion) {
    Completion& q = cq_[n];
    const unsigned filled = static_cast<unsigned>(q.tail + q.size - q.head) % q.size;
    if (v >= q.size || (v + q.size - q.head) % q.size > filled) return event(0, 1, 1);
    q.head = static_cast<u16>(v);
    interrupts_changed(q.vector);
    wake();   // a full queue has held its submission queues up
    return;
  }
  Submission& q = sq_[n];
  if (v >= q.size) return event(0, 1, 1);
  q.tail = static_cast<u16>(v);
  if (q.tail != q.head) wake();
}

/// Commands of all queues, one of each in turn. True if some are left that could be done.
bool Nvme::service() {
  unsigned done = 0;
  for (bool any = true; any && done < kBurst;) {
    any = false;
    for (unsigned n = 0; n < kQueues && done < kBurst; ++n) {
      Submission& q = sq_[n];
      if (!q.there || q.head == q.tail || cq_[q.completion].full()) continue;
      Command c;
      if (!fetch(q.base + u64{64} * q.head, &c, sizeof c)) { fatal(); return false; }
      q.head = static_cast<u16>((q.head + 1) % q.size);
      const Result r = c.flags & 0xc3 ? Result{nvme_status::invalid_field} : n == 0 ? admin(c) : io(c);   // neither fused nor SGLs
      ++done, any = true;
      if (r.status) {
        for (std::size_t k = log_.size() - 1; k; --k) log_[k] = log_[k - 1];
        log_[0] = {++errors_, static_cast<u16>(n), c.id, r.status, c.nsid, n ? c.cdw10 | u64{c.cdw11} << 32 : 0};
      }
      if (!r.wait && !complete(n, c.id, r)) return false;
      if (n == 0) send_event();
    }
  }
  for (auto& q : sq_) if (q.there && q.head != q.tail && !cq_[q.completion].full()) return true;
  return false;
}

/// "Completion Queue Entry". False: it could not be written, the controller is dead.
bool Nvme::complete(unsigned submission, u16 id, Result r) {
  const Submission& s = sq_[submission];
  Completion& q = cq_[s.completion];
  const u32 entry[4] = {r.dw0, 0, s.head | u32{submission} << 16, id | u32{q.phase} << 16 | u32{r.status} << 17 | (r.status ? u32{1} << 31 : 0)};   // do not retry
  if (!store(q.base + u64{16} * q.tail, entry, sizeof entry)) { fatal(); return false; }
  q.tail = static_cast<u16>((q.tail + 1) % q.size);
  if (q.tail == 0) q.phase ^= 1;
  if (!q.interrupts) return true;
  switch (signal()) {
    case Signal::msix: message(q.vector); break;
    case Signal::msi: if (!(mask_ & 1)) message(0); break;
    case Signal::pin: interrupts_changed(q.vector); break;
  }
  return true;
}

/// The pin is up while a queue has entries that were not taken; a message that waits behind a mask has lost its reason when all were.
void Nvme::interrupts_changed(unsigned vector) {
  bool any = false, same = false;
  for (auto& q : cq_)
    if (q.there && q.interrupts && !q.empty()) any |= !(mask_ & 1), same |= q.vector == vector;
  set_intx(any);
  if (vector < kQueues && !same) forget_msix(vector);
}

/// "Asynchronous Event Request command": one of a type until its log page was read.
void Nvme::event(u8 type, u8 info, u8 page) {
  if (event_ || event_masked_) return;
  event_ = u32{1} << 31 | page << 16 | info << 8 | type;
  send_event();
}

void Nvme::send_event() {
  if (!event_ || !waiting_ || cq_[0].full()) return;
  const u16 id = requests_[--waiting_];
  event_masked_ = 1;
  Result r;
  r.dw0 = std::exchange(event_, 0) & 0x7fffffff;
  complete(0, id, r);
}

}  // namespace vt::emu::pci
