// SPDX-License-Identifier: GPL-2.0-or-later
/// NVM Express 1.4 "Admin Command Set"
#include <algorithm>
#include <cstring>

#include "base/bits.hpp"
#include "pci/nvme.hpp"

namespace vt::emu::pci {
namespace {

using namespace nvme_status;

enum AdminOpcode : u8 { kDeleteSq = 0x00, kCreateSq = 0x01, kGetLog = 0x02, kDeleteCq = 0x04, kCreateCq = 0x05, kIdentify = 0x06, kAbort = 0x08,
                        kSetFeatures = 0x09, kGetFeatures = 0x0a, kEventRequest = 0x0c };
enum Feature : u8 { kArbitration = 1, kPower = 2, kTemperature = 4, kErrorRecovery = 5, kWriteCache = 6, kQueuesNumber = 7, kCoalescing = 8, kVectors = 9,
                    kAtomicity = 10, kEvents = 11 };
constexpr u16 kTemperatureLimit = 343;   // kelvins

void set(std::vector<u8>& to, std::size_t at, unsigned size, u64 value) {
  for (unsigned i = 0; i < size; ++i) to[at + i] = static_cast<u8>(value >> (8 * i));
}
void text(std::vector<u8>& to, std::size_t at, std::size_t size, std::string_view text) {   // ASCII fields are padded with blanks
  for (std::size_t i = 0; i < size; ++i) to[at + i] = i < text.size() ? static_cast<u8>(text[i]) : ' ';
}

}  // namespace

Nvme::Result Nvme::admin(const Command& c) {
  switch (c.opcode) {
    case kDeleteSq: return remove(c, true);
    case kDeleteCq: return remove(c, false);
    case kCreateSq: return create_submission(c);
    case kCreateCq: return create_completion(c);
    case kIdentify: return identify(c);
    case kGetLog: return log_page(c);
    case kSetFeatures: return features(c, true);
    case kGetFeatures: return features(c, false);
    case kAbort: return {success, 1};   // every command that was taken is done by now: not aborted
    case kEventRequest:
      if (waiting_ == requests_.size()) return {too_many_events};
      requests_[waiting_++] = c.id;
      return {success, 0, true};
    default: return {invalid_opcode};
  }
}

/// "Create I/O Completion Queue command"
Nvme::Result Nvme::create_completion(const Command& c) {
  const u32 id = c.cdw10 & 0xffff, size = (c.cdw10 >> 16) + 1, vector = c.cdw11 >> 16;
  if (id == 0 || id > queues_allowed_ || cq_[id].there) return {invalid_queue};
  if (size < 2 || size > kMaxEntries) return {queue_size};
  if (!(c.cdw11 & 1)) return {invalid_field};            // CAP.CQR: physically contiguous
  if (c.prp1 & 0xfff) return {prp_offset};
  if (vector >= kQueues || (signal() != Signal::msix && vector)) return {invalid_vector};
  cq_[id] = {c.prp1, static_cast<u16>(size), 0, 0, static_cast<u16>(vector), 1, static_cast<u8>(c.cdw11 >> 1 & 1), 1};
  return {};
}

/// "Create I/O Submission Queue command". The priority means nothing in round robin.
Nvme::Result Nvme::create_submission(const Command& c) {
  const u32 id = c.cdw10 & 0xffff, size = (c.cdw10 >> 16) + 1, completion = c.cdw11 >> 16;
  if (completion == 0 || completion >= kQueues || !cq_[completion].there) return {completion == 0 || completion >= kQueues ? invalid_queue : no_completion_queue};
  if (id == 0 || id > queues_allowed_ || sq_[id].there) return {invalid_queue};
  if (size < 2 || size > kMaxEntries) return {queue_size};
  if (!(c.cdw11 & 1)) return {invalid_field};
  if (c.prp1 & 0xfff) return {prp_offset};
  sq_[id] = {c.prp1, static_cast<u16>(size), 0, 0, static_cast<u16>(completion), 1};
  return {};
}

Nvme::Result Nvme::remove(const Command& c, bool submission) {
  const u32 id = c.cdw10 & 0xffff;
  if (id == 0 || id >= kQueues || !(submission ? sq_[id].there : cq_[id].there)) return {invalid_queue};
  if (submission) {
    sq_[id] = {};
    return {};
  }
  for (auto& q : sq_) if (q.there && q.completion == id) return {queue_in_use};
  const u16 vector = cq_[id].vector;
  cq_[id] = {};
  interrupts_changed(vector);
  return {};
}

/// "Identify Controller data structure"
void Nvme::identify_controller(std::vector<u8>& d) const {
  set(d, 0, 2, spec().vendor), set(d, 2, 2, spec().subsystem_vendor);
  text(d, 4, 20, "VITRINE-" + name().substr(4));
  text(d, 24, 40, "Vitrine NVMe disk"), text(d, 64, 8, "1.0");
  set(d, 73, 3, 0x525400);                       // IEEE OUI: locally administered
  set(d, 77, 1, std::countr_zero(kMaxTransfer / 4096)), set(d, 80, 4, 0x00010400);
  set(d, 84, 4, 1'000'000), set(d, 88, 4, 1'000'000);   // microseconds to resume and to enter D3
  set(d, 111, 1, 1);                             // an I/O controller
  set(d, 258, 1, 3), set(d, 259, 1, requests_.size() - 1), set(d, 260, 1, 0x03), set(d, 262, 1, log_.size() - 1);   // abort limit, event limit, one read-only firmware slot, error entries
  set(d, 266, 2, kTemperatureLimit), set(d, 268, 2, kTemperatureLimit + 10);
  set(d, 512, 1, 0x66), set(d, 513, 1, 0x44);    // entries of 64 and 16 bytes
  set(d, 516, 4, 1);                             // one namespace
  set(d, 520, 2, 0x000c);                        // Dataset Management, Write Zeroes
  set(d, 525, 1, 0x07);                          // a volatile write cache; Flush takes all namespaces
  const std::string nqn = "nqn.2024-01.vitrine:" + name();
  std::copy(nqn.begin(), nqn.end(), d.begin() + 768);
  set(d, 2048, 2, 2500);                         // power state 0: 25 W
}

/// "Identify Namespace data structure"
void Nvme::identify_namespace(std::vector<u8>& d) const {
  for (std::size_t at : {0, 8, 16}) set(d, at, 8, namespace_size());
  set(d, 120, 8, 0x5254'00ff'fe00'0000 | u64{spec().bdf.v});   // EUI64, big endian: not asked to be so where it is only compared
  set(d, 128, 4, u32{9} << 16);                  // format 0: 512 bytes, no metadata
}

Nvme::Result Nvme::identify(const Command& c) {
  std::vector<u8> d(4096);
  const bool all = c.nsid == ~u32{0};
  switch (c.cdw10 & 0xff) {
    case 0x00:
      if (c.nsid != 1 && !all) return {invalid_namespace};
      if (disk_ && !all) identify_namespace(d);   // inactive: zeroes. All: what is common, which is nothing but the format
      else if (all) set(d, 128, 4, u32{9} << 16);
      break;
    case 0x01: identify_controller(d); break;
    case 0x02:
      if (c.nsid >= 0xfffffffe) return {invalid_namespace};
      if (disk_ && c.nsid < 1) set(d, 0, 4, 1);
      break;
    case 0x03:
      if (c.nsid != 1 || !disk_) return {invalid_namespace};
      d[0] = 1, d[1] = 8;                        // descriptor of type EUI64
      set(d, 4, 8, 0x5254'00ff'fe00'0000 | u64{spec().bdf.v});
      break;
    default: return {invalid_field};
  }
  return {to_host(c, d)};
}

/// "Get Log Page command"
Nvme::Result Nvme::log_page(const Command& c) {
  const u64 bytes = ((c.cdw10 >> 16 | u64{c.cdw11 & 0xffff} << 16) + 1) * 4;
  if (bytes > kMaxTransfer || c.cdw12 || c.cdw13) return {invalid_field};   // LPA: no offsets
  std::vector<u8> d(std::max<u64>(bytes, 512));
  switch (c.cdw10 & 0xff) {
    case 0x01:
      for (std::size_t n = 0; n < log_.size() && 64 * n + 64 <= d.size(); ++n) {
        const Error& e = log_[n];
        set(d, 64 * n, 8, e.count), set(d, 64 * n + 8, 2, e.queue), set(d, 64 * n + 10, 2, e.id), set(d, 64 * n + 12, 2, u32{e.status} << 1);
        set(d, 64 * n + 14, 2, 0xffff), set(d, 64 * n + 16, 8, e.lba), set(d, 64 * n + 24, 4, e.nsid);
      }
      if (!(c.cdw10 & 0x8000)) event_masked_ = 0;          // unless Retain Asynchronous Event
      break;
    case 0x02:
      set(d, 1, 2, 300), set(d, 3, 1, 100), set(d, 4, 1, 10);   // 300 K, all of the spare, threshold 10 %
      set(d, 32, 8, (units_read_ + 999) / 1000), set(d, 48, 8, (units_written_ + 999) / 1000);
      set(d, 64, 8, reads_), set(d, 80, 8, writes_);
      set(d, 112, 8, 1);                                   // power cycles
      set(d, 176, 8, errors_);
      break;
    case 0x03:
      set(d, 0, 1, 1), text(d, 8, 8, "1.0");
      break;
    default: return {invalid_log_page};
  }
  d.resize(bytes);
  return {to_host(c, d)};
}

/// "Get Features command", "Set Features command". Values are kept as they are; the number of queues is the one that does something.
Nvme::Result Nvme::features(const Command& c, bool set) {
  const u32 id = c.cdw10 & 0xff;
  if (id < kArbitration || id > kEvents || id == 3) return {invalid_field};
  if (set ? c.cdw10 >> 31 : c.cdw10 >> 8 & 7) return {invalid_field};   // neither saved nor default values: ONCS
  u32& value = features_[id];
  if (id == kQueuesNumber) {
    if (set) {
      const u32 sq = c.cdw11 & 0xffff, cq = c.cdw11 >> 16;
      if (sq == 0xffff || cq == 0xffff) return {invalid_field};
      for (unsigned n = 1; n < kQueues; ++n) if (sq_[n].there || cq_[n].there) return {sequence_error};
      value = c.cdw11;
    }
    return {success, (kQueues - 2u) | (kQueues - 2u) << 16};   // as many as there are, whatever was asked for
  }
  if (id == kVectors && (c.cdw11 & 0xffff) >= kQueues) return {invalid_field};
  if (set) {
    if (id == kPower && (c.cdw11 & 0x1f)) return {invalid_field};   // one power state
    if (id != kVectors) value = c.cdw11;
    return {};
  }
  switch (id) {
    case kTemperature: return {success, value ? value : u32{kTemperatureLimit}};
    case kWriteCache: return {success, value ^ 1};            // on unless it was switched off
    case kVectors: return {success, c.cdw11 & 0xffff};
    default: return {success, value};
  }
}

}  // namespace vt::emu::pci
