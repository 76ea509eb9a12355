// SPDX-License-Identifier: GPL-2.0-or-later
/// An AHCI 1.3.1 host bus adapter with up to six SATA disks: DMA, PIO and native command queuing, 64-bit addresses, MSI or pin. A port takes one
/// command at a time, a fixed time after it was issued; a queued one, too.
#pragma once
#include <vector>

#include "emu/disk.hpp"
#include "pci/endpoint.hpp"

namespace vt::emu::pci {

class Ahci final : public Endpoint {
 public:
  static constexpr unsigned kPorts = 6;
  static constexpr unsigned kSlots = 32;
  static constexpr u64 kDelay = 20'000;       ///< cycles from issuing a command to its end
  static constexpr u64 kLinkDelay = 100'000;  ///< cycles from the end of COMRESET to the device's first FIS

  /// `spec.bars[5]` is a memory BAR of 4 KiB. A null disk: nothing is connected at that port.
  Ahci(FunctionSpec spec, BarMapper* mapper, DmaPort& dma, Clock& clock, IrqLine* intx, const std::array<Disk*, kPorts>& disks);

  void expire(u32 kind, u64 now) override;
  void reset() override;
  void state(Ar& ar) override;

 private:
  struct Port {
    u64 clb = 0, fb = 0;
    u32 is = 0, ie = 0, cmd = 0, tfd = 0x7f, sig = ~u32{0}, ssts = 0, sctl = 0, serr = 0, sact = 0, ci = 0;
    u8 busy = 0;            ///< an event is due
    u8 halted = 0;          ///< an error has stopped it: until ST is cleared
    u8 srst = 0;            ///< a software reset was begun by a FIS
    u8 multiple = 0;        ///< SET MULTIPLE MODE
    u8 write_cache = 1, look_ahead = 1, standby = 0;
    u8 queue_error = 0;     ///< tag | 0x80 of the queued command that failed: READ LOG EXT, page 10h
    std::array<u8, 20> last{};   ///< the D2H FIS that told of it
    void state(Ar& ar) {
      ar(clb, fb, is, ie, cmd, tfd, sig, ssts, sctl, serr, sact, ci, busy, halted, srst, multiple, write_cache, look_ahead, standby, queue_error, last);
    }
  };
  /// A command on its way: what the FIS says and where the data are.
  struct Task {
    unsigned port, slot;
    u32 header = 0;                 ///< DW0
    u64 table = 0;
    std::array<u8, 64> fis{};
    u32 moved = 0;
    unsigned entries() const { return header >> 16; }
    u8 command() const { return fis[2]; }
    u64 lba48() const { return fis[4] | u64{fis[5]} << 8 | u64{fis[6]} << 16 | u64{fis[8]} << 24 | u64{fis[9]} << 32 | u64{fis[10]} << 40; }
    u64 lba28() const { return fis[4] | u64{fis[5]} << 8 | u64{fis[6]} << 16 | u64{fis[7] & 0xfu} << 24; }
    u32 count48() const { const u32 n = fis[12] | u32{fis[13]} << 8; return n ? n : 65536; }
    u32 count28() const { return fis[12] ? fis[12] : 256; }
  };
  enum class End : u8 { good, aborted, no_such_sector, host_bus };

  // ahci.cpp: registers and the port's state machine
  u64 register_read(unsigned bar, u64 offset, unsigned size) override;
  void register_write(unsigned bar, u64 offset, unsigned size, u64 value) override;
  u32 dword(u64 offset) const;
  void write_dword(u64 offset, u32 value);
  void write_port(unsigned n, u64 reg, u32 value);
  void write_command(unsigned n, u32 value);
  void reset_controller();
  void reset_port(unsigned n, bool power_on);
  void link_up(unsigned n);
  void kick(unsigned n);
  void interrupt(unsigned n, u32 what);
  void update_interrupts();
  bool running(const Port& p) const { return (p.cmd & 1) && !p.halted; }

  // ahci_command.cpp: command lists and FISes
  void execute(unsigned n, unsigned slot);
  bool post(unsigned n, unsigned at, const void* fis, std::size_t size);
  void signature(unsigned n);
  void finish(Task& t, End e);
  void finish_queued(Task& t, End e);
  bool to_host(Task& t, const std::vector<u8>& bytes);
  bool from_host(Task& t, std::vector<u8>& bytes);
  template <class F> bool pieces(Task& t, std::size_t bytes, F f);

  // ahci_ata.cpp: what the disk does
  End ata(Task& t, bool& pio);
  End transfer(Task& t, u64 first, u32 count, bool write);
  End set_features(Task& t);
  End read_log(Task& t);
  void identify(unsigned n, std::vector<u8>& to) const;

  std::array<Disk*, kPorts> disks_;
  u32 implemented_;
  u32 ghc_ = 0x80000000, is_ = 0;
  std::array<Port, kPorts> port_;
};

/// AHCI 1.3.1 "Port x Interrupt Status"
namespace ahci_is {
constexpr u32 d2h = 1, pio = 2, device_bits = 8, connect = 1u << 6, phy = 1u << 22, host_bus = 1u << 29, task_file = 1u << 30;
}

}  // namespace vt::emu::pci
