// SPDX-License-Identifier: GPL-2.0-or-later
// NVM Express 1.4, by the sections that each test names.
#include "pci/nvme.hpp"

#include "disk_rig.hpp"

using namespace vt;
using namespace vt::emu;
using namespace vt::emu::pci;

namespace {

FunctionSpec nvme_spec() {
  FunctionSpec s;
  s.bdf = Bdf(0, 5, 0), s.vendor = 0x1af4, s.device = 0x10f2, s.class_code = 0x010802, s.interrupt_pin = 1, s.msi = true;
  s.bars[0] = {BarKind::mem64, false, 0x4000, 0xfe000000};
  return s;
}

struct Command { u32 cdw0 = 0, nsid = 0, cdw2 = 0, cdw3 = 0; u64 metadata = 0, prp1 = 0, prp2 = 0; u32 cdw10 = 0, cdw11 = 0, cdw12 = 0, cdw13 = 0, cdw14 = 0, cdw15 = 0; };
struct Entry { u32 dw0, dw1; u16 head, queue, id, status; };

struct NvmeTest : testing::Test {
  static constexpr u64 kSize = u64{4} << 20, kAsq = 0x1000, kAcq = 0x2000, kSq = 0x3000, kCq = 0x4000, kList = 0x5000, kData = 0x10000;
  Ram ram;
  FakeClock clock;
  FakeLine pin;
  Stop stop;
  std::shared_ptr<MemoryImage> image = std::make_shared<MemoryImage>(kSize);
  Disk disk{"disk0", kSize, image, stop};
  ConfigSpace space;
  Nvme& nvme = static_cast<Nvme&>(space.add(std::make_unique<Nvme>(nvme_spec(), nullptr, ram, clock, &pin, &disk)));
  Device& bar = *nvme.spec().bars[0].device;
  unsigned tail[2] = {}, head[2] = {}, sizes[2] = {8, 8};
  u8 phase[2] = {1, 1};
  u16 next_id = 1;

  void SetUp() override {
    space.settle();
    space.write(Bdf(0, 5, 0), 4, 2, 6);
  }
  void enable(u32 aqa = 0x00070007) {
    bar.write(0x24, 4, aqa), bar.write(0x28, 8, kAsq), bar.write(0x30, 8, kAcq);
    bar.write(0x14, 4, 0x00460001);
    clock.pass(Nvme::kEnableDelay);
  }
  void msix(unsigned vectors = 2) {
    space.write(Bdf(0, 5, 0), 0xa2, 2, 0x8000);
    for (unsigned n = 0; n < vectors; ++n) bar.write(Nvme::kTable + 16 * n, 8, 0xfee00000), bar.write(Nvme::kTable + 16 * n + 8, 8, 0x40 + n);
  }
  u32 csts() { return static_cast<u32>(bar.read(0x1c, 4)); }
  void put(unsigned q, Command c) {
    c.cdw0 |= u32{next_id++} << 16;
    ram.put((q ? kSq : kAsq) + 64 * tail[q], c);
    tail[q] = (tail[q] + 1) % sizes[q];
  }
  void ring(unsigned q) { bar.write(0x1000 + 8 * q, 4, tail[q]); }
  bool done(unsigned q) const { return (ram.get<Entry>((q ? kCq : kAcq) + 16 * head[q]).status & 1) == phase[q]; }
  Entry take(unsigned q) {
    EXPECT_TRUE(done(q));
    const Entry e = ram.get<Entry>((q ? kCq : kAcq) + 16 * head[q]);
    head[q] = (head[q] + 1) % sizes[q];
    if (head[q] == 0) phase[q] ^= 1;
    bar.write(0x1004 + 8 * q, 4, head[q]);
    return e;
  }
  /// Status without phase, more and do-not-retry; the result's dword 0 in `result`.
  u16 run(unsigned q, const Command& c) {
    put(q, c), ring(q);
    clock.pass(Nvme::kDelay);
    const Entry e = take(q);
    EXPECT_EQ(e.id, next_id - 1);
    EXPECT_EQ(e.queue, q);
    result = e.dw0;
    return e.status >> 1 & 0x7ff;
  }
  u16 admin(u8 opcode, u32 nsid = 0, u32 d10 = 0, u32 d11 = 0, u64 prp1 = kData, u64 prp2 = 0) {
    Command c;
    c.cdw0 = opcode, c.nsid = nsid, c.cdw10 = d10, c.cdw11 = d11, c.prp1 = prp1, c.prp2 = prp2;
    return run(0, c);
  }
  void io_queues(unsigned vector = 1) {
    ASSERT_EQ(admin(0x05, 0, 7u << 16 | 1, vector << 16 | 3, kCq), 0);
    ASSERT_EQ(admin(0x01, 0, 7u << 16 | 1, 1u << 16 | 1, kSq), 0);
  }
  u16 io(u8 opcode, u64 sector, u32 count, u64 prp1 = kData, u64 prp2 = 0, u32 nsid = 1) {
    Command c;
    c.cdw0 = opcode, c.nsid = nsid, c.prp1 = prp1, c.prp2 = prp2, c.cdw10 = static_cast<u32>(sector), c.cdw11 = static_cast<u32>(sector >> 32), c.cdw12 = count - 1;
    return run(1, c);
  }
  u32 result = 0;
};

}  // namespace

TEST_F(NvmeTest, capabilities) {   // "Controller Capabilities"
  EXPECT_EQ(bar.read(0, 8), 0x00000020'0a0103ffu);
  EXPECT_EQ(bar.read(8, 4), 0x00010400u);
  EXPECT_EQ(bar.read(1, 1), 0x03u);
  bar.write(0, 8, 0), bar.write(0x1c, 4, ~0u), bar.write(0x24, 2, 0xffff);
  EXPECT_EQ(bar.read(0, 4), 0x0a0103ffu);
  EXPECT_EQ(csts(), 0u);
  EXPECT_EQ(bar.read(0x24, 4), 0u);
}

TEST_F(NvmeTest, ready_comes_after_enable_and_goes_with_it) {   // "Controller Status"
  bar.write(0x24, 4, 0x00070007), bar.write(0x14, 4, 0x00460001);
  clock.pass(Nvme::kEnableDelay - 1);
  EXPECT_EQ(csts(), 0u);
  clock.pass(1);
  EXPECT_EQ(csts(), 1u);
  bar.write(0x28, 4, 0xffffffff);              // locked while enabled
  EXPECT_EQ(bar.read(0x28, 4), 0u);
  bar.write(0x14, 4, 0x00464001);              // normal shutdown
  EXPECT_EQ(csts(), 9u);
  bar.write(0x14, 4, 0);
  EXPECT_EQ(csts(), 0u);
  for (u32 bad : {0x00460081u, 0x00460011u, 0x00460801u}) {   // pages of 8 KiB, another command set, weighted arbitration
    bar.write(0x14, 4, bad);
    clock.pass(Nvme::kEnableDelay);
    EXPECT_EQ(csts(), 2u) << bad;
    bar.write(0x14, 4, 0);
  }
}

TEST_F(NvmeTest, identify) {   // "Identify command"
  enable();
  ASSERT_EQ(admin(0x06, 0, 1), 0);
  EXPECT_EQ(ram.get<u16>(kData), 0x1af4);
  EXPECT_EQ(std::string(&reinterpret_cast<char&>(ram.memory[kData + 24]), 17), "Vitrine NVMe disk");
  EXPECT_EQ(ram.memory[kData + 77], 5);        // 128 KiB
  EXPECT_EQ(ram.get<u32>(kData + 516), 1u);
  ASSERT_EQ(admin(0x06, 1, 0), 0);
  EXPECT_EQ(ram.get<u64>(kData), kSize / 512);
  EXPECT_EQ(ram.memory[kData + 130], 9);
  ASSERT_EQ(admin(0x06, 0, 2), 0);
  EXPECT_EQ(ram.get<u64>(kData), 1u);
  ASSERT_EQ(admin(0x06, 1, 2), 0);
  EXPECT_EQ(ram.get<u32>(kData), 0u);
  ASSERT_EQ(admin(0x06, 1, 3), 0);
  EXPECT_EQ(ram.get<u16>(kData), 0x0801);
  EXPECT_EQ(admin(0x06, 2, 0), nvme_status::invalid_namespace);
  EXPECT_EQ(admin(0x06, 0, 0x55), nvme_status::invalid_field);
  EXPECT_EQ(admin(0x06, 0, 1, 0, kData + 8, kData + 0x3004), nvme_status::prp_offset);
  EXPECT_EQ(admin(0x06, 0, 1, 0, kData + 0x800, kData + 0x3000), 0);
  EXPECT_EQ(ram.memory[kData + 0x3000 + 2048 - 0x800], 0xc4);   // 25 W, in the second page
}

TEST_F(NvmeTest, queues_are_made_and_removed_in_order) {   // "Create I/O Completion Queue command" and its fellows
  enable();
  msix();
  using namespace nvme_status;
  EXPECT_EQ(admin(0x01, 0, 7u << 16 | 1, 1u << 16 | 1, kSq), no_completion_queue);
  EXPECT_EQ(admin(0x05, 0, 7u << 16, 3, kCq), invalid_queue);
  EXPECT_EQ(admin(0x05, 0, 7u << 16 | 17, 3, kCq), invalid_queue);
  EXPECT_EQ(admin(0x05, 0, 1, 3, kCq), queue_size);
  EXPECT_EQ(admin(0x05, 0, 1024u << 16 | 1, 3, kCq), queue_size);
  EXPECT_EQ(admin(0x05, 0, 7u << 16 | 1, 2, kCq), invalid_field);
  EXPECT_EQ(admin(0x05, 0, 7u << 16 | 1, 3, kCq + 4), prp_offset);
  EXPECT_EQ(admin(0x05, 0, 7u << 16 | 1, 17u << 16 | 3, kCq), invalid_vector);
  io_queues();
  EXPECT_EQ(admin(0x05, 0, 7u << 16 | 1, 3, kCq), invalid_queue);
  EXPECT_EQ(admin(0x01, 0, 7u << 16 | 1, 1u << 16 | 1, kSq), invalid_queue);
  EXPECT_EQ(admin(0x09, 0, 7, 0x000f000f), sequence_error);     // "Number of Queues" comes first
  EXPECT_EQ(admin(0x04, 0, 1), queue_in_use);
  EXPECT_EQ(admin(0x00, 0, 1), 0);
  EXPECT_EQ(admin(0x00, 0, 1), invalid_queue);
  EXPECT_EQ(admin(0x04, 0, 1), 0);
  EXPECT_EQ(admin(0x04, 0, 0), invalid_queue);
  EXPECT_EQ(admin(0x09, 0, 7, 0x00030003), 0);
  EXPECT_EQ(result, 0x000f000fu);
  EXPECT_EQ(admin(0x80), invalid_opcode);
}

TEST_F(NvmeTest, features_and_logs) {
  enable();
  using namespace nvme_status;
  EXPECT_EQ(admin(0x0a, 0, 6), 0);
  EXPECT_EQ(result, 1u);                       // the cache is on
  EXPECT_EQ(admin(0x09, 0, 6, 0), 0);
  EXPECT_EQ(admin(0x09, 0, 0x80000006, 0), invalid_field);
  EXPECT_EQ(admin(0x0a, 0, 0x0c), invalid_field);
  EXPECT_EQ(admin(0x09, 0, 2, 1), invalid_field);
  ASSERT_EQ(admin(0x02, 0, 15u << 16 | 1), 0);
  EXPECT_EQ(ram.get<u64>(kData), 3u);          // the third error is the latest
  EXPECT_EQ(ram.get<u16>(kData + 12), invalid_field << 1);
  ASSERT_EQ(admin(0x02, 0, 127u << 16 | 2), 0);
  EXPECT_EQ(ram.get<u64>(kData + 176), 3u);
  EXPECT_EQ(admin(0x02, 0, 127u << 16 | 3), 0);
  EXPECT_EQ(admin(0x02, 0, 127u << 16 | 0x70), invalid_log_page);
  EXPECT_EQ(admin(0x02, 0, 0xffffu << 16 | 2, 0xffff), invalid_field);
}

TEST_F(NvmeTest, reads_and_writes_through_prp_lists) {   // "Physical Region Page List"
  enable();
  msix();
  io_queues();
  ASSERT_EQ(io(2, 5, 1), 0);
  EXPECT_EQ(std::memcmp(&ram.memory[kData], &image->bytes[5 * 512], 512), 0);
  ram.put<u64>(kList, kData + 0x1004);
  ASSERT_EQ(io(2, 8, 16, kData + 0x200, kList), nvme_status::prp_offset);              // 8 KiB from within a page: a list, of whole pages
  for (unsigned n = 0; n < 40; ++n) ram.put<u64>(kList + 8 * n, kData + 0x1000 * (39 - n));   // pages in reverse
  ASSERT_EQ(io(2, 8, 16, kData + 0x200, kList), 0);
  EXPECT_EQ(std::memcmp(&ram.memory[kData + 0x200], &image->bytes[8 * 512], 4096 - 0x200), 0);
  EXPECT_EQ(std::memcmp(&ram.memory[kData + 39 * 0x1000], &image->bytes[8 * 512 + 4096 - 0x200], 4096), 0);
  EXPECT_EQ(std::memcmp(&ram.memory[kData + 38 * 0x1000], &image->bytes[8 * 512 + 8192 - 0x200], 0x200), 0);
  // A list that begins near the end of its page goes on in the page that its last entry names.
  ram.put<u64>(0x6ff0, kData + 0x1000), ram.put<u64>(0x6ff8, 0x7000);
  ram.put<u64>(0x7000, kData + 0x5000), ram.put<u64>(0x7008, kData + 0x6000);
  ASSERT_EQ(io(2, 100, 32, kData, 0x6ff0), 0);
  EXPECT_EQ(std::memcmp(&ram.memory[kData + 0x6000], &image->bytes[100 * 512 + 3 * 4096], 4096), 0);
  ASSERT_EQ(io(1, 1000, 32, kData, 0x6ff0), 0);
  std::vector<u8> back(32 * 512);
  ASSERT_TRUE(disk.read(1000, back.data(), 32));
  EXPECT_EQ(std::memcmp(back.data(), &image->bytes[100 * 512], back.size()), 0);
  EXPECT_EQ(io(0, 0, 1), 0);
  EXPECT_EQ(io(0, 0, 1, 0, 0, ~u32{0}), 0);
  ASSERT_EQ(io(8, 1000, 2), 0);
  ASSERT_TRUE(disk.read(1000, back.data(), 3));
  EXPECT_EQ(std::count(back.begin(), back.begin() + 1024, 0), 1024);
  EXPECT_EQ(std::memcmp(&back[1024], &image->bytes[102 * 512], 512), 0);
}

TEST_F(NvmeTest, errors_have_their_status) {   // "Status Code Type"
  enable();
  io_queues(0);
  using namespace nvme_status;
  EXPECT_EQ(io(2, kSize / 512 - 1, 2), lba_range);
  EXPECT_EQ(io(2, ~u64{0}, 1), lba_range);
  EXPECT_EQ(io(8, kSize / 512, 1), lba_range);
  EXPECT_EQ(io(2, 0, 257), invalid_field);     // beyond MDTS
  EXPECT_EQ(io(2, 0, 1, kData, 0, 2), invalid_namespace);
  EXPECT_EQ(io(5, 0, 1), invalid_opcode);
  EXPECT_EQ(io(2, 0, 1, kData + 2), prp_offset);
  Command c;
  c.cdw0 = 0x4002, c.nsid = 1;                 // SGLs are not offered
  EXPECT_EQ(run(1, c), invalid_field);
  ram.block_first = kData, ram.block_last = kData + 0xfff;
  EXPECT_EQ(io(2, 0, 1), transfer_error);
  EXPECT_EQ(io(1, 0, 1), transfer_error);
  EXPECT_EQ(disk.written_blocks(), 0u);
  ram.block_first = kList, ram.block_last = kList + 7;
  EXPECT_EQ(io(2, 0, 24, kData, kList), transfer_error);
  image->broken = true;
  EXPECT_EQ(io(2, 0, 1), unrecovered_read);
  EXPECT_EQ(stop.reason(), StopReason::input_lost);
}

TEST_F(NvmeTest, deallocated_sectors_read_as_zeroes) {   // "Dataset Management command"
  enable();
  io_queues(0);
  ram.put<u64>(kData, u64{16} << 32), ram.put<u64>(kData + 8, 8), ram.put<u64>(kData + 16, u64{1} << 32), ram.put<u64>(kData + 24, 100);
  Command c;
  c.cdw0 = 9, c.nsid = 1, c.prp1 = kData, c.cdw10 = 1, c.cdw11 = 4;
  ASSERT_EQ(run(1, c), 0);
  std::vector<u8> v(17 * 512);
  disk.read(8, v.data(), 17);
  EXPECT_EQ(std::count(v.begin(), v.begin() + 8192, 0), 8192);
  EXPECT_EQ(std::memcmp(&v[8192], &image->bytes[24 * 512], 512), 0);
  ram.put<u64>(kData + 24, kSize / 512);
  EXPECT_EQ(run(1, c), nvme_status::lba_range);
}

TEST_F(NvmeTest, each_queue_has_its_vector) {
  msix();
  enable();
  io_queues();
  ram.sent.clear();
  EXPECT_EQ(io(2, 0, 1), 0);
  EXPECT_EQ(ram.sent, std::vector<u32>{0x41});
  EXPECT_EQ(admin(0x06, 0, 1), 0);
  EXPECT_EQ(ram.sent, (std::vector<u32>{0x41, 0x40}));
  bar.write(Nvme::kTable + 16 + 12, 4, 1);     // masked, and all entries taken: nothing is left to be told
  EXPECT_EQ(io(2, 0, 1), 0);
  EXPECT_EQ(bar.read(Nvme::kPending, 8), 0u);
  put(1, {0, ~u32{0}}), ring(1);
  clock.pass(Nvme::kDelay);
  EXPECT_EQ(bar.read(Nvme::kPending, 8), 2u);
  EXPECT_FALSE(pin.level);
}

TEST_F(NvmeTest, the_pin_is_up_while_entries_wait) {   // "Pin Based, Single MSI, and Multiple MSI Behavior"
  enable();
  put(0, {}), ring(0);
  clock.pass(Nvme::kDelay);
  EXPECT_TRUE(pin.level);
  bar.write(0x0c, 4, 1);
  EXPECT_FALSE(pin.level);
  bar.write(0x10, 4, 1);
  EXPECT_TRUE(pin.level);
  take(0);
  EXPECT_FALSE(pin.level);
}

TEST_F(NvmeTest, a_full_completion_queue_holds_commands_back) {
  enable(0x00020007);                          // 8 commands, 3 completions
  sizes[0] = 8;
  for (int n = 0; n < 5; ++n) {
    Command c;
    c.cdw0 = 0x08;
    put(0, c);
  }
  ring(0);
  clock.pass(100 * Nvme::kDelay);
  const auto status = [&](unsigned n) { return ram.get<Entry>(kAcq + 16 * n).status; };
  EXPECT_EQ(status(0), 1);
  EXPECT_EQ(status(1), 1);
  EXPECT_EQ(status(2), 0);
  bar.write(0x1004, 4, 2);
  clock.pass(Nvme::kDelay);
  EXPECT_EQ(status(2), 1);
  EXPECT_EQ(ram.get<Entry>(kAcq).id, 4);       // wrapped, with the phase turned
  EXPECT_EQ(status(0), 0);
}

TEST_F(NvmeTest, wrong_doorbells_are_asynchronous_events) {   // "Asynchronous Event Information - Error Status"
  enable();
  for (int n = 0; n < 5; ++n) put(0, {0x0c});
  ring(0);
  clock.pass(Nvme::kDelay);
  EXPECT_EQ(take(0).status >> 1 & 0x7ff, nvme_status::too_many_events);   // four may wait
  bar.write(0x1000 + 8 * 3, 4, 1);             // no such queue
  Entry e = take(0);
  EXPECT_EQ(e.dw0, 0x00010000u);
  bar.write(0x1000, 4, 8);                     // no such entry; not told before the log was read
  EXPECT_FALSE(done(0));
  EXPECT_EQ(admin(0x02, 0, 15u << 16 | 1), 0);
  bar.write(0x1000, 4, 8);
  EXPECT_EQ(take(0).dw0, 0x00010100u);
}

TEST_F(NvmeTest, queues_that_cannot_be_reached_are_fatal) {   // "Controller Fatal Status"
  enable();
  ram.block_first = kAsq, ram.block_last = kAsq + 63;
  put(0, {0x06}), ring(0);
  clock.pass(Nvme::kDelay);
  EXPECT_EQ(csts(), 3u);
  bar.write(0x14, 4, 0);
  ram.block_first = kAcq, ram.block_last = kAcq + 15;
  tail[0] = 0;
  enable();
  put(0, {0x06}), ring(0);
  clock.pass(Nvme::kDelay);
  EXPECT_EQ(csts(), 3u);
}

TEST_F(NvmeTest, a_restored_controller_goes_on) {
  msix();
  enable();
  io_queues();
  ASSERT_EQ(io(1, 3, 1), 0);
  put(1, {2, 1}), ring(1);
  FakeLine other_pin;
  Disk other_disk("disk0", kSize, image, stop);
  Nvme other(nvme_spec(), nullptr, ram, clock, &other_pin, &other_disk);
  expect_complete_state(nvme, other, 60);
}
