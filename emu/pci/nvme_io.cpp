// SPDX-License-Identifier: GPL-2.0-or-later
/// NVM Express 1.4 "NVM Command Set", "Physical Region Page Entry and List"
#include <algorithm>

#include "pci/nvme.hpp"

namespace vt::emu::pci {
namespace {

using namespace nvme_status;

enum IoOpcode : u8 { kFlush = 0x00, kWrite = 0x01, kRead = 0x02, kWriteZeroes = 0x08, kDatasetManagement = 0x09 };
constexpr u32 kPage = 4096;
constexpr u64 kMostDeallocated = (u64{1} << 30) / Disk::kSector;   ///< of one command. It is a hint: what is beyond stays as it is

}  // namespace

/// Where the data are, in order. PRP entry 1 may begin within a page; entry 2 is the second page or, where there are more, a list, whose last entry
/// in each page leads to the next one.
Nvme::Status Nvme::pieces(const Command& c, u32 bytes, std::vector<Piece>& to) {
  if (c.prp1 & 3) return prp_offset;
  const u32 first = std::min(bytes, kPage - static_cast<u32>(c.prp1 % kPage));
  to.push_back({c.prp1, first});
  u32 left = bytes - first;
  if (!left) return success;
  if (left <= kPage) {
    if (c.prp2 % kPage) return prp_offset;
    to.push_back({c.prp2, left});
    return success;
  }
  if (c.prp2 & 7) return prp_offset;
  for (u64 list = c.prp2;;) {
    const std::size_t room = (kPage - list % kPage) / 8, wanted = (left + kPage - 1) / kPage;
    std::array<u64, kPage / 8> entries;
    const std::size_t n = std::min(room, wanted);
    if (!fetch(list, entries.data(), 8 * n)) return transfer_error;
    const bool more = wanted > room;
    for (std::size_t k = 0; k < n - (more ? 1 : 0); ++k) {
      if (entries[k] % kPage) return prp_offset;
      const u32 size = std::min(left, kPage);
      to.push_back({entries[k], size});
      left -= size;
    }
    if (!more) return success;
    list = entries[n - 1];
    if (list % kPage) return prp_offset;
  }
}

Nvme::Status Nvme::to_host(const Command& c, const std::vector<u8>& bytes) {
  std::vector<Piece> where;
  if (Status s = pieces(c, static_cast<u32>(bytes.size()), where)) return s;
  const u8* from = bytes.data();
  for (auto& p : where) {
    if (!store(p.at, from, p.size)) return transfer_error;
    from += p.size;
  }
  return success;
}

Nvme::Result Nvme::io(const Command& c) {
  if (c.opcode == kFlush && c.nsid == ~u32{0}) return {};
  switch (c.opcode) {
    case kFlush: case kWrite: case kRead: case kWriteZeroes: case kDatasetManagement: break;
    default: return {invalid_opcode};
  }
  if (c.nsid != 1 || !disk_) return {invalid_namespace};
  switch (c.opcode) {
    case kRead: return transfer(c, false);
    case kWrite: return transfer(c, true);
    case kWriteZeroes: {
      const u64 first = c.cdw10 | u64{c.cdw11} << 32, count = (c.cdw12 & 0xffff) + 1;
      if (first > namespace_size() || count > namespace_size() - first) return {lba_range};
      return {disk_->zero(first, count) ? success : unrecovered_read};
    }
    case kDatasetManagement: return deallocate(c);
    default: return {};   // Flush: what was written is written
  }
}

Nvme::Result Nvme::transfer(const Command& c, bool write) {
  const u64 first = c.cdw10 | u64{c.cdw11} << 32, count = (c.cdw12 & 0xffff) + 1;
  if (count * Disk::kSector > kMaxTransfer) return {invalid_field};
  if (first > namespace_size() || count > namespace_size() - first) return {lba_range};
  std::vector<u8> bytes(count * Disk::kSector);
  ++(write ? writes_ : reads_), (write ? units_written_ : units_read_) += count;
  if (!write) {
    if (!disk_->read(first, bytes.data(), count)) return {unrecovered_read};
    return {to_host(c, bytes)};
  }
  std::vector<Piece> where;
  if (Status s = pieces(c, static_cast<u32>(bytes.size()), where)) return {s};
  u8* to = bytes.data();
  for (auto& p : where) {
    if (!fetch(p.at, to, p.size)) return {transfer_error};   // nothing of it is written then
    to += p.size;
  }
  return {disk_->write(first, bytes.data(), count) ? success : unrecovered_read};
}

/// "Dataset Management command": ranges of 16 bytes. Deallocated sectors read as zeroes.
Nvme::Result Nvme::deallocate(const Command& c) {
  const u32 ranges = (c.cdw10 & 0xff) + 1;
  if (!(c.cdw11 & 4)) return {};                 // only hints on how it will be used
  struct Range { u32 attributes, count; u64 first; };
  std::vector<u8> bytes(ranges * sizeof(Range));
  std::vector<Piece> where;
  if (Status s = pieces(c, static_cast<u32>(bytes.size()), where)) return {s};
  u8* to = bytes.data();
  for (auto& p : where) {
    if (!fetch(p.at, to, p.size)) return {transfer_error};
    to += p.size;
  }
  std::vector<Range> all(ranges);
  std::memcpy(all.data(), bytes.data(), bytes.size());
  for (auto& r : all) if (r.first > namespace_size() || r.count > namespace_size() - r.first) return {lba_range};
  u64 left = kMostDeallocated;
  for (auto& r : all) {
    const u64 n = std::min<u64>(r.count, left);
    if (!disk_->zero(r.first, n)) return {unrecovered_read};
    left -= n;
  }
  return {};
}

}  // namespace vt::emu::pci
