// SPDX-License-Identifier: GPL-2.0-or-later
/// An NVMe controller with one namespace: NVM Express 1.4 with queues in host memory, PRP lists, MSI-X, MSI or pin. Commands are taken and
/// finished a fixed time after their doorbell, in the order of queues and entries.
#pragma once
#include <vector>

#include "emu/disk.hpp"
#include "pci/endpoint.hpp"

namespace vt::emu::pci {

class Nvme final : public Endpoint {
 public:
  static constexpr unsigned kQueues = 17;        ///< the admin queue and 16 for I/O, each a submission and a completion queue
  static constexpr u32 kMaxEntries = 1024;
  static constexpr u64 kDelay = 10'000;          ///< cycles from a doorbell to what it started
  static constexpr u64 kEnableDelay = 100'000;   ///< cycles from CC.EN to CSTS.RDY
  static constexpr unsigned kBurst = 64;         ///< commands of one event; the others wait for the next
  static constexpr u32 kMaxTransfer = 128 << 10; ///< MDTS
  static constexpr u32 kTable = 0x2000, kPending = 0x3000;

  /// `spec.bars[0]` is a memory BAR of 16 KiB. `disk` may be null: a controller without a namespace.
  Nvme(FunctionSpec spec, BarMapper* mapper, DmaPort& dma, Clock& clock, IrqLine* intx, Disk* disk);

  void expire(u32 kind, u64 now) override;
  void reset() override;
  void state(Ar& ar) override;

 private:
  enum Kind : u32 { kService, kReady };
  struct Submission { u64 base = 0; u16 size = 0, head = 0, tail = 0, completion = 0; u8 there = 0; void state(Ar& ar) { ar(base, size, head, tail, completion, there); } };
  struct Completion {
    u64 base = 0;
    u16 size = 0, head = 0, tail = 0, vector = 0;
    u8 there = 0, interrupts = 0, phase = 0;
    void state(Ar& ar) { ar(base, size, head, tail, vector, there, interrupts, phase); }
    bool full() const { return (tail + 1) % size == head; }
    bool empty() const { return tail == head; }
  };
  struct Command { u8 opcode, flags; u16 id; u32 nsid, cdw2, cdw3; u64 metadata, prp1, prp2; u32 cdw10, cdw11, cdw12, cdw13, cdw14, cdw15; };
  static_assert(sizeof(Command) == 64);
  /// Status field without the phase bit: code type << 8 | code, more and do-not-retry left out.
  using Status = u16;
  struct Result { Status status = 0; u32 dw0 = 0; bool wait = false; };   ///< wait: completes later (Asynchronous Event Request)

  // nvme.cpp: registers, queues
  u64 register_read(unsigned bar, u64 offset, unsigned size) override;
  void register_write(unsigned bar, u64 offset, unsigned size, u64 value) override;
  u32 dword(u64 offset) const;
  void write_dword(u64 offset, u32 value);
  void configure(u32 value);
  void disable();
  void doorbell(u64 index, u32 value);
  void wake() ;
  bool service();
  bool complete(unsigned submission, u16 id, Result r);
  void fatal();
  void interrupts_changed(unsigned vector);
  void event(u8 type, u8 info, u8 page);
  void send_event();

  // nvme_admin.cpp
  Result admin(const Command& c);
  Result create_completion(const Command& c);
  Result create_submission(const Command& c);
  Result remove(const Command& c, bool submission);
  Result identify(const Command& c);
  Result log_page(const Command& c);
  Result features(const Command& c, bool set);
  void identify_controller(std::vector<u8>& to) const;
  void identify_namespace(std::vector<u8>& to) const;

  // nvme_io.cpp
  Result io(const Command& c);
  Result transfer(const Command& c, bool write);
  Result deallocate(const Command& c);
  struct Piece { u64 at; u32 size; };
  Status pieces(const Command& c, u32 bytes, std::vector<Piece>& to);
  Status to_host(const Command& c, const std::vector<u8>& bytes);

  u64 namespace_size() const { return disk_ ? disk_->sectors() : 0; }

  Disk* disk_;
  u32 cc_ = 0, csts_ = 0, mask_ = 0, aqa_ = 0;
  u64 asq_ = 0, acq_ = 0;
  std::array<Submission, kQueues> sq_;
  std::array<Completion, kQueues> cq_;
  u8 queues_allowed_ = kQueues - 1;              ///< Set Features "Number of Queues"
  u8 busy_ = 0;                                  ///< a service is due
  std::array<u32, 16> features_{};               ///< what Set Features left, by identifier
  std::array<u16, 4> requests_{};                ///< Asynchronous Event Requests that wait
  u8 waiting_ = 0;
  u32 event_ = 0;                                ///< 0, or the event that nobody has asked for yet
  u8 event_masked_ = 0;                          ///< one was reported; its log page was not read
  u64 errors_ = 0;
  struct Error { u64 count = 0; u16 queue = 0, id = 0, status = 0; u32 nsid = 0; u64 lba = 0; void state(Ar& ar) { ar(count, queue, id, status, nsid, lba); } };
  std::array<Error, 4> log_{};                   ///< latest first
  u64 units_read_ = 0, units_written_ = 0, reads_ = 0, writes_ = 0;   ///< sectors, commands: the SMART page tells them
};

/// NVM Express 1.4 "Status Code": code type << 8 | code.
namespace nvme_status {
constexpr u16 success = 0, invalid_opcode = 0x01, invalid_field = 0x02, transfer_error = 0x04, invalid_namespace = 0x0b, sequence_error = 0x0c,
              prp_offset = 0x13, lba_range = 0x80,
              no_completion_queue = 0x100, invalid_queue = 0x101, queue_size = 0x102, too_many_events = 0x105, invalid_vector = 0x108, invalid_log_page = 0x109,
              not_changeable = 0x10e, queue_in_use = 0x10c, unrecovered_read = 0x281;
}

}  // namespace vt::emu::pci
